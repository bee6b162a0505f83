"""One step of a batch after the other: who takes part, with how many tokens, and who gives way where room lacks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgewise.engine.batching.answering import AnswerJob
from edgewise.engine.batching.calling import CallJob
from edgewise.engine.batching.interface import Worker
from edgewise.engine.batching.job import held_to
from edgewise.engine.batching.pace import Pace
from edgewise.errors import ContextFull

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewise import _core
    from edgewise.engine.batching.job import Job, Work
    from edgewise.engine.batching.places import Places
    from edgewise.engine.native import NativeEngine

    Plan = list[tuple[Job, list[Work]]]

# Positions of the KV cache come in blocks; a running answer is about to need one more.
BLOCK = 32
# Waking a reader costs more than the shortest of steps: tokens that come faster than this are told together.
SOON_S = 0.002


class Steps(Worker):
    """Works on the jobs of a batch; one thread uses it.

    Args:
        engine: what computes.
        places: the jobs.
        stall_s: what a prompt may add to another stream's next token, in seconds.
        most: prompt tokens of a step at most.
    """

    def __init__(self, engine: NativeEngine, places: Places, stall_s: float, most: int) -> None:
        self._engine = engine
        self._places = places
        self._pace = Pace(stall_s, most)
        self._lacks_room = False  # whoever waits needs that somebody leaves
        self._told: list[Job] = []  # jobs that may have something to tell
        self._told_s = 0.0

    def step(self) -> None:
        """Lets jobs begin, computes one step of all that are worked on, and lets those leave that are over.

        Raises:
            InvalidArgument: if the engine is closed.
        """
        self._call()
        turns = self._engine.turns
        turns.take(self)
        try:
            self._weed()
            self._admit()
            self._compute(self._engine.session)
            self._weed()
            if turns.is_wanted:
                self._let_others()
        finally:
            turns.leave(self)
            self._tell()

    def end(self, error: BaseException) -> None:
        """Ends all jobs with an error."""
        turns = self._engine.turns
        turns.take(self)
        try:
            for job in self._places.all:
                job.fail(error)
                self._leave(job)
        finally:
            turns.leave(self)
            self._tell()

    def _call(self) -> None:
        """Does other work that has waited longest; it takes its turn by itself."""
        while isinstance(job := self._places.first(), CallJob):
            if self._places.begin(job):
                job.call()
                self._places.end(job)

    def _weed(self) -> None:
        for job in self._places.due(time.perf_counter()):
            self._leave(job)

    def _leave(self, job: Job) -> None:
        try:
            job.leave(self._engine)
        except Exception as error:
            if not job.is_over:
                job.fail(error)
        self._places.end(job, job.worked_s(time.perf_counter()))
        self._lacks_room = False
        self._told.append(job)

    def _tell(self) -> None:
        """Tells readers what is new, unless that can wait for another step that takes no time."""
        told, self._told = self._told, []
        now_s = time.perf_counter()
        if now_s - self._told_s < SOON_S and self._goes_on():
            self._told = [job for job in told if not (job.is_over or job.is_cancelled)]
        else:
            self._told_s = now_s
        for job in told:
            if job not in self._told:
                job.flush()

    def _goes_on(self) -> bool:
        """Whether the next step has the next token of all there are, and nothing besides."""
        active = self._places.active
        is_decoding = bool(active) and all(job.is_decoding for job in active)
        return is_decoding and not self._places.waiting and not self._engine.turns.is_wanted

    def _admit(self) -> None:
        """Lets jobs begin, in their order, while there are places and room."""
        session = self._engine.session
        while self._places.has_place() and not self._lacks_room:
            job = self._places.first()
            if job is None or isinstance(job, CallJob):
                return
            try:
                job.begin(self._engine)
            except Exception as error:
                job.fail(error)
                self._leave(job)
                continue
            others = self._places.active
            needed = job.pending + sum(other.pending for other in others) + BLOCK * (len(others) + 1)
            if session.room < needed:
                session.end(0)  # what `engine.generate` left gives way
            if others and session.room < needed:
                job.leave(self._engine)
                self._lacks_room = True
            elif any(_evaluates_for(other, job) for other in others):
                job.leave(self._engine)  # and begins with what that has evaluated then
                return
            elif not self._places.begin(job):
                job.leave(self._engine)

    def _compute(self, session: _core.Session) -> None:
        jobs = self._places.active
        for job in jobs:
            self._guard(job, lambda job=job: job.prepare(self._engine))  # type: ignore[misc]
        jobs = [job for job in jobs if not job.is_over]
        if not jobs:
            return
        self._told.extend(jobs)
        first = jobs[0]
        if len(jobs) == 1 and isinstance(first, AnswerJob) and first.can_advance:
            self._advance(session, first)
            return
        others = sum(job.is_decoding for job in jobs)
        budget = self._pace.chunk(others)
        plan: Plan = []
        for job in jobs:
            work = job.work(budget)
            if work:
                plan.append((job, work))
                budget -= 0 if job.is_decoding else _count(work)
        if plan:
            self._evaluate(session, plan)
        for job in jobs:
            if budget > 0 and not job.is_over and self._places.is_active(job):
                budget -= self._compute_alone(session, job, budget)

    def _advance(self, session: _core.Session, job: AnswerJob) -> None:
        """Steps of the only answer, as long as it is the only one and nobody else wants the engine."""
        turns, places = self._engine.turns, self._places
        now_s = told_s = time.perf_counter()
        try:
            while True:
                step_s = -now_s
                job.advance(session)
                now_s = time.perf_counter()
                step_s += now_s
                job.check_deadline(now_s)
                if job.is_over or not job.can_advance or job.is_cancelled or turns.is_wanted or not places.is_alone():
                    return
                if step_s > SOON_S or now_s - told_s > SOON_S:
                    job.flush()
                    told_s = now_s
        except ContextFull as error:
            self._make_room(session, error)
        except Exception as error:
            job.fail(error)

    def _evaluate(self, session: _core.Session, plan: Plan) -> None:
        """A step of several jobs. Where it fails, each has its own, so that only those fail that must."""
        others = sum(job.is_decoding for job, _ in plan)
        prompt_tokens = sum(_count(work) for job, work in plan if not job.is_decoding)
        started_s = time.perf_counter()
        try:
            session.step([one for _, work in plan for one in work])
        except ContextFull as error:
            self._make_room(session, error)
            return
        except Exception as error:
            if len(plan) == 1:
                plan[0][0].fail(error)
            else:
                for one in plan:
                    if self._places.is_active(one[0]):
                        self._evaluate(session, [one])
            return
        step_s = time.perf_counter() - started_s
        for job, work in plan:
            self._guard(job, lambda job=job, work=work: job.took(session, work, step_s))  # type: ignore[misc]
        self._choose(session, [job for job, _ in plan], step_s)
        self._pace.took(others, prompt_tokens, time.perf_counter() - started_s)

    def _choose(self, session: _core.Session, jobs: list[Job], step_s: float) -> None:
        """Chooses the next token of those whose last one was evaluated."""
        choosing, choices = [], []
        for job in jobs:
            try:
                choice = job.choice()
            except Exception as error:
                job.fail(error)
                continue
            if choice is not None:
                choosing.append(job)
                choices.append(choice)
        if not choices:
            return
        for job, sampled in zip(choosing, session.sample_each(choices), strict=True):
            self._guard(job, lambda job=job, sampled=sampled: job.chose(held_to(sampled), step_s))  # type: ignore[misc]

    def _compute_alone(self, session: _core.Session, job: Job, most: int) -> int:
        """Work that cannot share a step; how many tokens it was."""
        started_s = time.perf_counter()
        count = 0
        try:
            count = job.compute(session, most)
        except ContextFull as error:
            self._make_room(session, error)
        except Exception as error:
            job.fail(error)
        if count:
            self._pace.took(0, count, time.perf_counter() - started_s)
        return count

    def _make_room(self, session: _core.Session, error: ContextFull) -> None:
        """Something gives way where the cache has no room for the next step: the youngest, if it is not the only one.

        What it had evaluated is remembered until the room is needed, and is evaluated again when it goes on.
        """
        jobs = self._places.active
        youngest = jobs[-1]
        if len(session) > 0:
            session.end(0)  # what `engine.generate` left
        elif len(jobs) > 1:
            youngest.leave(self._engine)
            self._places.put_back(youngest)
            self._lacks_room = True
        elif youngest.shrink():
            youngest.leave(self._engine)
            youngest.begin(self._engine)
        else:
            youngest.fail(error)

    def _let_others(self) -> None:
        """Lets whoever waits for the engine have all of the cache; answers find again what was not needed of theirs."""
        for job in self._places.active:
            if isinstance(job, AnswerJob):
                job.leave(self._engine)
                self._places.put_back(job)
        self._lacks_room = False

    @staticmethod
    def _guard(job: Job, work: Callable[[], None]) -> None:
        """Lets nobody but the job itself feel what goes wrong in it."""
        try:
            work()
        except Exception as error:
            job.fail(error)


def _evaluates_for(other: Job, job: Job) -> bool:
    """Whether a prompt that is being evaluated begins as that of another job does, beyond what the cache has of it."""
    (namespace, theirs, _), (own, tokens, held) = other.beginning, job.beginning
    end = min(len(theirs), len(tokens) - 1)
    if namespace != own or end - held < BLOCK or theirs[:held] != tokens[:held]:
        return False
    return _shared(theirs, tokens, held, end) - held >= BLOCK


def _shared(a: list[int], b: list[int], start: int, end: int) -> int:
    """How far two texts that are alike up to `start` stay so, at most to `end`."""
    while start < end:
        middle = (start + end + 1) // 2
        if a[start:middle] == b[start:middle]:
            start = middle
        else:
            end = middle - 1
    return start


def _count(work: list[Work]) -> int:
    return sum(len(tokens) for _, tokens, _ in work)
