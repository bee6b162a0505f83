"""Jobs whose result comes all at once."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Generic, TypeVar

from edgewise.engine.batching.job import Job, known

if TYPE_CHECKING:
    from edgewise.errors import EdgewiseError

T = TypeVar("T")


class TicketJob(Job, Generic[T]):
    """A job with a ticket: `result()` waits, `cancel()` stops the work within a step.

    Args:
        deadline_s: see `Job`.
        ticket: a new one, where it has more to tell than the result.
    """

    def __init__(self, deadline_s: float | None, ticket: Future[T] | None = None) -> None:
        super().__init__(deadline_s)
        # Never marked as running, so that it can be cancelled all along.
        self.ticket: Future[T] = Future() if ticket is None else ticket
        self._result: T | None = None
        self._error: EdgewiseError | None = None

    def succeed(self, result: T) -> None:
        """Ends with a result; `flush` hands it over."""
        self.is_over = True
        self._result = result

    def fail(self, error: BaseException) -> None:
        """Ends with an error; `flush` hands it over."""
        self.is_over = True
        self._error = known(error)

    def flush(self) -> None:
        """Hands over the result or the error."""
        with contextlib.suppress(InvalidStateError):  # cancelled, or told before
            if self._error is not None:
                self.ticket.set_exception(self._error)
            elif self._result is not None:
                self.ticket.set_result(self._result)
