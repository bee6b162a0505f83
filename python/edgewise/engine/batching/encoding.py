"""Batches of an encoder: every pass takes texts of all requests, in turn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgewise.engine.batching.calling import CallJob
from edgewise.engine.batching.embedding import EmbedTicket
from edgewise.engine.batching.interface import Worker
from edgewise.engine.batching.ticket import TicketJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.engine.batching.job import Job
    from edgewise.engine.batching.places import Places
    from edgewise.engine.encoder import Pooling
    from edgewise.engine.native import NativeEngine


class EncodeJob(TicketJob[list[list[float]]]):
    """Texts as vectors. Encoders hold nothing between two passes, so that it takes no sequence.

    Args:
        texts: token ids; at least one each.
        pooling: how the states of a text become one vector.
        deadline_s: see `Job`.
    """

    def __init__(self, texts: Sequence[list[int]], pooling: Pooling, deadline_s: float | None) -> None:
        self.ticket: EmbedTicket = EmbedTicket()
        super().__init__(deadline_s, self.ticket)
        self.texts = list(texts)
        self.pooling = pooling
        self._vectors: list[list[float]] = []

    def begin(self, engine: NativeEngine) -> None:
        """Takes nothing."""

    def leave(self, engine: NativeEngine) -> None:
        """Gives nothing back."""

    @property
    def pending(self) -> int:
        """Tokens of the texts that have no vector."""
        return sum(map(len, self.texts[self.done :]))

    @property
    def done(self) -> int:
        """How many texts have their vector."""
        return len(self._vectors)

    def take(self, vectors: list[list[float]]) -> None:
        """Takes the vectors of the next texts."""
        self._vectors.extend(vectors)
        if self.done == len(self.texts):
            self.ticket.told(self.asked_s, self.begun_s, self.texts)
            self.succeed(self._vectors)


class Passes(Worker):
    """Works on the requests to an encoder, pass by pass; one thread uses it.

    Args:
        engine: an encoder.
        places: the requests.
        most: tokens of a pass; a longer text has one of its own.
    """

    def __init__(self, engine: NativeEngine, places: Places, most: int) -> None:
        self._engine = engine
        self._places = places
        self._most = most

    def step(self) -> None:
        """Lets requests begin, and makes one pass over texts of those that are worked on."""
        while isinstance(job := self._places.first(), CallJob):
            if self._places.begin(job):
                job.call()
                self._places.end(job)
        while self._places.has_place() and (waiting := self._places.first()) and not isinstance(waiting, CallJob):
            if self._places.begin(waiting):
                waiting.begun_s = time.perf_counter()
        self._weed()
        jobs = [job for job in self._places.active if isinstance(job, EncodeJob)]
        if jobs:
            self._pass(jobs)
            self._weed()

    def end(self, error: BaseException) -> None:
        """Ends all requests with an error."""
        for job in self._places.all:
            job.fail(error)
            self._leave(job)

    def _pass(self, jobs: list[EncodeJob]) -> None:
        pooling = jobs[0].pooling
        jobs = [job for job in jobs if job.pooling == pooling]
        counts = portions([[len(text) for text in job.texts[job.done :]] for job in jobs], self._most)
        texts = [job.texts[job.done : job.done + count] for job, count in zip(jobs, counts, strict=True)]
        try:
            rows = self._engine.embed([text for own in texts for text in own], pooling)
        except Exception as error:
            for job in jobs:
                job.fail(error)
            return
        vectors = iter(one[0] for one in rows)
        for job, own in zip(jobs, texts, strict=True):
            job.take([next(vectors) for _ in own])

    def _weed(self) -> None:
        for job in self._places.due(time.perf_counter()):
            self._leave(job)

    def _leave(self, job: Job) -> None:
        self._places.end(job, job.worked_s(time.perf_counter()))
        job.flush()


def portions(lengths: Sequence[Sequence[int]], most: int) -> list[int]:
    """How many of its texts each request has in the next pass: one in turn, as long as they fit.

    Args:
        lengths: tokens of the texts of each request, at least one.
        most: tokens of the pass. The first text is in it, however long.
    """
    counts = [0] * len(lengths)
    open_requests = list(range(len(lengths)))
    room = most
    while open_requests:
        for index in list(open_requests):
            own = lengths[index]
            if counts[index] == len(own) or (own[counts[index]] > room and any(counts)):
                open_requests.remove(index)
                continue
            room -= own[counts[index]]
            counts[index] += 1
    return counts
