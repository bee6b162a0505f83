"""Other work that needs the engine, in turn with the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from edgewise.engine.batching.ticket import TicketJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewise.engine.native import NativeEngine

T = TypeVar("T")


class CallJob(TicketJob[T], Generic[T]):
    """Calls a function between two steps. It needs no place, and no sequence of the batch.

    Args:
        work: what to call; it takes its turn at the engine by itself.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(None)
        self._work = work

    def call(self) -> None:
        """Calls it, and gives the ticket what it returns or raises."""
        self.is_over = True
        if self.ticket.set_running_or_notify_cancel():
            try:
                self.ticket.set_result(self._work())
            except BaseException as error:  # it belongs to whoever asked
                self.ticket.set_exception(error)

    def begin(self, engine: NativeEngine) -> None:
        """Takes nothing."""

    def leave(self, engine: NativeEngine) -> None:
        """Gives nothing back."""

    @property
    def pending(self) -> int:
        """No tokens."""
        return 0
