"""One answer after the other, for engines that share no steps; the same interface as that of a `Batch`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edgewise.engine.batching.calling import CallJob
from edgewise.engine.batching.interface import Batching, Worker
from edgewise.engine.batching.job import Job
from edgewise.engine.batching.stream import End, Outlet, Stream
from edgewise.engine.images import ImagePrompt
from edgewise.engine.protocol import GenerateOptions, Timings
from edgewise.errors import InvalidArgument, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgewise.engine.batching.embedding import EmbedTicket
    from edgewise.engine.batching.places import Places
    from edgewise.engine.batching.scoring import ScoreTicket
    from edgewise.engine.encoder import Pooling
    from edgewise.engine.protocol import Constraint, Engine, Generation

NOTHING = Timings(0.0, 0.0, 0, 0, 0, 0.0, 0.0, 0)


class SerialBatch(Batching):
    """Works on one request at a time.

    Args:
        engine: what computes; it must stay open until the batch is closed.
        queue_limit: how many may wait.
    """

    def __init__(self, engine: Engine, *, queue_limit: int = 64) -> None:
        super().__init__(engine, 1, queue_limit)
        self._name = engine.name
        self._start(_Worker(engine, self._places))

    def submit(
        self,
        prompt: Sequence[int] | ImagePrompt,
        options: GenerateOptions | None = None,
        *,
        constraint: Constraint | None = None,
        deadline_s: float | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> Stream:
        """See `Batching.submit`; a constraint is an `UnsupportedError`."""
        if constraint is not None:
            raise UnsupportedError(f"the {self._name} engine cannot constrain answers")
        options = options or GenerateOptions()
        options.sampler()  # refuses what is out of range
        if not isinstance(prompt, ImagePrompt):  # the engine alone knows how many tokens an image has
            prompt = self._checked(prompt)
            if not prompt:
                raise InvalidArgument("the prompt has no tokens")
            self._check_length(len(prompt) + 1)
        job = _SerialJob(prompt, options, deadline_s, on_ready, self._places)
        self._places.add(job)
        return Stream(job, job.outlet)

    def score(
        self,
        prefix: Sequence[int],
        continuations: Sequence[Sequence[int]],
        *,
        deadline_s: float | None = None,
        namespace: str = "",
    ) -> ScoreTicket:
        """Not served: an `UnsupportedError`."""
        raise UnsupportedError(f"the {self._name} engine gives no scores")

    def embed(
        self, texts: Sequence[Sequence[int]], pooling: Pooling | None = None, *, deadline_s: float | None = None
    ) -> EmbedTicket:
        """Not served: an `UnsupportedError`."""
        raise UnsupportedError(f"the {self._name} engine gives no embeddings")


class _Worker(Worker):
    """Answers the request that has waited longest."""

    def __init__(self, engine: Engine, places: Places) -> None:
        self._engine = engine
        self._places = places

    def step(self) -> None:
        job = self._places.first()
        if job is None or not self._places.begin(job):
            return
        try:
            if isinstance(job, CallJob):
                job.call()
            elif isinstance(job, _SerialJob):
                job.answer(self._engine)
        finally:
            self._places.end(job, time.perf_counter() - job.begun_s)

    def end(self, error: BaseException) -> None:
        for job in self._places.all:
            job.fail(error)
            job.flush()
            self._places.end(job)


class _SerialJob(Job):
    def __init__(
        self,
        prompt: list[int] | ImagePrompt,
        options: GenerateOptions,
        deadline_s: float | None,
        on_ready: Callable[[], None] | None,
        places: Places,
    ) -> None:
        super().__init__(deadline_s)
        self.outlet = Outlet(on_ready)
        self._prompt, self._options = prompt, options
        self._places = places
        self._answer: Generation | None = None
        self._end: End | None = None

    @property
    def prompt_tokens(self) -> int:
        """Tokens in the prompt; where there are images, known once the answer begins."""
        if isinstance(self._prompt, ImagePrompt):
            return 0 if self._answer is None else self._answer.prompt_tokens
        return len(self._prompt)

    @property
    def timings(self) -> Timings:
        """What the engine says, but for the time before it was asked."""
        if self._answer is None:
            return NOTHING
        queue_s = self.begun_s - self.asked_s
        timings = self._answer.timings
        return replace(timings, queue_s=queue_s, time_to_first_token_s=timings.time_to_first_token_s + queue_s)

    def cancel(self) -> None:
        """Lets the engine stop at its next token."""
        self._places.cancel(self)
        if self._answer is not None:
            self._answer.close()

    def answer(self, engine: Engine) -> None:
        """Has the engine answer, and tells every piece at once."""
        self.begun_s = time.perf_counter()
        answer = None
        try:
            self.check_deadline(self.begun_s)
            answer = self._answer = engine.generate(self._prompt, self._options)
            for piece in answer:
                if self.is_cancelled or not self.outlet.put([piece]):
                    break
                self.check_deadline(time.perf_counter())
            self._end = End(answer.finish_reason)
        except Exception as error:
            self.fail(error)
        finally:
            if answer is not None:
                answer.close()
            self.flush()

    def begin(self, engine: object) -> None:
        """Takes nothing."""

    def leave(self, engine: object) -> None:
        """Gives nothing back."""

    @property
    def pending(self) -> int:
        """Nothing that shares steps."""
        return 0

    def flush(self) -> None:
        """Tells the end."""
        if self._end is not None:
            self.outlet.put([], self._end)

    def fail(self, error: BaseException) -> None:
        """Ends with an error."""
        self.is_over = True
        self._end = End(error=error)
