"""Who is worked on and who waits: first come, first served, and not without end."""

from __future__ import annotations

import threading
from bisect import insort
from typing import TYPE_CHECKING

from edgewise.errors import Closed, DeadlineExceeded, QueueFull

if TYPE_CHECKING:
    from edgewise.engine.batching.job import Job

# The weight of the last request in the mean.
NEW = 0.3
LEAST_RETRY_S = 1.0
MOST_RETRY_S = 600.0


class Places:
    """The requests of a batch: those that are worked on, and a bounded queue of others. Any thread may use it.

    Args:
        parallel: how many are worked on at a time.
        queue_limit: how many may wait beside those that a place is free for.
    """

    def __init__(self, parallel: int, queue_limit: int) -> None:
        self._parallel = parallel
        self._queue_limit = queue_limit
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._active: list[Job] = []
        self._count = 0
        self._work_s = 0.0  # what a request takes from its beginning to its end
        self.is_open = True
        self._is_closing = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def active(self) -> list[Job]:
        """Those that are worked on, first come first."""
        with self._changed:
            return list(self._active)

    @property
    def all(self) -> list[Job]:
        """Those that are worked on, and those that wait."""
        with self._changed:
            return [*self._active, *self._waiting]

    @property
    def retry_after_s(self) -> float:
        """When a place in the queue is likely to be free, in seconds from now."""
        return min(max(self._work_s / self._parallel, LEAST_RETRY_S), MOST_RETRY_S)

    def add(self, job: Job) -> None:
        """Appends a job to the queue.

        Raises:
            QueueFull: if as many wait as may.
            Closed: if nothing is taken any more.
        """
        with self._changed:
            if not self.is_open:
                raise Closed("the batch takes no more requests: it is being closed")
            if len(self._waiting) + len(self._active) >= self._queue_limit + self._parallel:
                raise QueueFull(
                    f"{len(self._active)} requests are worked on and {len(self._waiting)} wait: the queue is full",
                    hint="try again later, or allow more requests in parallel or a longer queue",
                    retry_after_s=self.retry_after_s,
                )
            self._count += 1
            job.number = self._count
            self._waiting.append(job)
            self._changed.notify_all()

    def first(self) -> Job | None:
        """The job that has waited longest."""
        with self._changed:
            return self._waiting[0] if self._waiting else None

    def is_active(self, job: Job) -> bool:
        """Whether the job is worked on; not while it waits again."""
        return job in self._active

    def has_place(self) -> bool:
        """Whether one more can be worked on."""
        return len(self._active) < self._parallel

    def is_alone(self) -> bool:
        """Whether one job is worked on, none waits, and it is not time to end; cheap, for every token."""
        return len(self._active) == 1 and not self._waiting and not self._is_closing

    def begin(self, job: Job) -> bool:
        """Gives a waiting job its place; False if it is no longer there."""
        with self._changed:
            if job not in self._waiting:
                return False
            self._waiting.remove(job)
            insort(self._active, job, key=lambda one: one.number)
            return True

    def put_back(self, job: Job) -> None:
        """Lets a job wait again, in front of those that came later."""
        with self._changed:
            self._active.remove(job)
            insort(self._waiting, job, key=lambda one: one.number)

    def due(self, now_s: float) -> list[Job]:
        """Those that are to leave, because they are over, unwanted or late; the late ones fail for it."""
        leaving = []
        for job in self.all:
            if not job.is_over and not job.is_cancelled:
                try:
                    job.check_deadline(now_s)
                except DeadlineExceeded as error:
                    job.fail(error)
            if job.is_over or job.is_cancelled:
                leaving.append(job)
        return leaving

    def end(self, job: Job, work_s: float | None = None) -> None:
        """Takes a job out that is over, after it was worked on for so long."""
        with self._changed:
            for jobs in (self._waiting, self._active):
                if job in jobs:
                    jobs.remove(job)
            if work_s is not None:
                self._work_s = NEW * work_s + (1 - NEW) * self._work_s if self._work_s else work_s
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Takes a waiting job out at once; one that is worked on learns that it is cancelled."""
        with self._changed:
            job.is_cancelled = True
            if job in self._waiting:
                self._waiting.remove(job)
                self._changed.notify_all()

    def wait_for_work(self) -> bool:
        """Waits until there is a job; False when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._active or self._is_closing)
            return not self._is_closing

    def drain(self, timeout_s: float | None) -> bool:
        """Takes no more jobs, and waits until there are none; False if that took longer."""
        with self._changed:
            self.is_open = False
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._waiting and not self._active, timeout_s)

    def close(self) -> None:
        """Takes no more jobs, and lets `wait_for_work` say that it is time to end."""
        with self._changed:
            self.is_open, self._is_closing = False, True
            self._changed.notify_all()
