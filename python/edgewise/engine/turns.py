"""Who may use an engine now: first come, first served, and nobody waits for a stream that nobody reads."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

# A stream that has not asked for a token for this long, in seconds, lets the next one in.
PATIENCE_S = 1.0


class Turns:
    """Hands the engine to one answer at a time, in the order of asking.

    An answer keeps its turn from its first token to its last. It loses it when somebody waits and it has been idle for
    `patience_s`, or when the thread that used it last asks for a new turn (that thread cannot go on reading while it
    waits). An answer that comes back after losing its turn learns so, and rebuilds its state.

    Args:
        patience_s: how long an unread answer keeps others waiting, in seconds.
        clock: tells the time, in seconds.
    """

    def __init__(self, patience_s: float = PATIENCE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._holder: object = None
        self._holder_thread = 0
        self._is_busy = False
        self._idle_since = 0.0

    def take(self, who: object) -> bool:
        """Waits for the turn of `who` and marks the engine busy until `rest` or `leave`.

        Returns:
            True if `who` held the turn all along, False if the engine may have been used by others since.

        Raises:
            InvalidArgument: in a forked child, which has none of the engine's threads, and from a callback of the
                answer that this thread is computing, which would wait for itself.
        """
        if os.getpid() != self._process:
            raise InvalidArgument(
                f"this engine was opened in process {self._process}; a forked child cannot use its threads",
                hint="open the model in the child, or start the child with spawn in place of fork",
            )
        thread = threading.get_ident()
        with self._changed:
            if self._is_busy and self._holder_thread == thread:
                raise InvalidArgument(
                    "a callback asks the engine that is computing the answer it belongs to",
                    hint="open the model a second time for it; the weights are shared",
                )
            if self._holder is who and not self._is_busy:
                self._is_busy = True
                self._holder_thread = thread
                return True
            ticket = object()
            self._waiting.append(ticket)
            try:
                while not (self._waiting[0] is ticket and self._is_free_for(thread)):
                    self._changed.wait(timeout=self._patience_s / 4)
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
            self._holder, self._holder_thread, self._is_busy = who, thread, True
            return False

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for a turn."""
        return bool(self._waiting)

    def retake(self, who: object) -> bool:
        """Marks the engine busy if `who` held the turn all along and is doing nothing with it; never waits."""
        with self._changed:
            is_held = self._holder is who and not self._is_busy and os.getpid() == self._process
            if is_held:
                self._holder_thread, self._is_busy = threading.get_ident(), True
            return is_held

    def rest(self, who: object) -> None:
        """Keeps the turn, but does nothing with the engine for now."""
        with self._changed:
            if self._holder is who:
                self._is_busy = False
                self._idle_since = self._clock()
                self._changed.notify_all()

    def leave(self, who: object) -> None:
        """Gives the turn back; fine also when it was lost before."""
        with self._changed:
            if self._holder is who:
                self._holder, self._is_busy = None, False
                self._changed.notify_all()

    def _is_free_for(self, thread: int) -> bool:
        if self._is_busy:
            return False
        idle_s = self._clock() - self._idle_since
        return self._holder is None or self._holder_thread == thread or idle_s >= self._patience_s
