"""The reader's end of an answer that another thread computes."""

from __future__ import annotations

import queue
from collections import deque
from typing import TYPE_CHECKING, Protocol

from edgewise.engine.batching.job import known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgewise.engine.protocol import FinishReason, Piece, Timings
    from edgewise.errors import EdgewiseError


class Source(Protocol):
    """What computes an answer."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens in the prompt."""

    @property
    def timings(self) -> Timings:
        """What it cost so far."""

    def cancel(self) -> None:
        """Ends the work within a step; called from any thread, once or several times."""


class End:
    """The end of an answer.

    Args:
        reason: why it ended; None if it was cut off.
        error: what cut it off.
    """

    def __init__(self, reason: FinishReason | None = None, error: BaseException | None = None) -> None:
        self.reason = reason
        self.error = None if error is None else known(error)


class Outlet:
    """The computing thread's end: pieces go in, a `Stream` reads them.

    Args:
        on_ready: called when there is something to read; what it raises means that nobody reads.
    """

    def __init__(self, on_ready: Callable[[], None] | None = None) -> None:
        self.said: queue.SimpleQueue[tuple[list[Piece], End | None]] = queue.SimpleQueue()
        self._on_ready = on_ready
        self.is_ended = False

    def put(self, pieces: list[Piece], end: End | None = None) -> bool:
        """Hands pieces over, and the end; nothing may follow that. False if nobody reads."""
        if self.is_ended:
            return False
        self.is_ended = end is not None
        self.said.put((pieces, end))
        if self._on_ready is not None:
            try:
                self._on_ready()
            except Exception:  # such as an event loop that is closed: the reader's fault, and nobody else's
                return False
        return True


class Stream:
    """An answer in the making; see `edgewise.engine.protocol.Generation`. One thread reads it.

    Iterate over it from a thread that may wait, or `poll` it whenever `on_ready` was called.

    Args:
        source: what computes it.
        outlet: where that puts it.
    """

    def __init__(self, source: Source, outlet: Outlet) -> None:
        self._source = source
        self._outlet = outlet
        self._said = outlet.said
        self._pieces: deque[Piece] = deque()
        self._is_ended = False
        self._finish_reason: FinishReason | None = None
        self._error: EdgewiseError | None = None
        self._is_raised = False

    @property
    def prompt_tokens(self) -> int:
        """Tokens in the prompt."""
        return self._source.prompt_tokens

    @property
    def timings(self) -> Timings:
        """What it cost so far."""
        return self._source.timings

    @property
    def has_end(self) -> bool:
        """Whether nothing more will be computed; what there is may not be read yet. Any thread may ask."""
        return self._outlet.is_ended

    @property
    def is_over(self) -> bool:
        """Whether all was read and nothing follows."""
        return self._is_ended and not self._pieces

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended; None while there is more to read, after an error, and after `close`."""
        return self._finish_reason if self.is_over else None

    @property
    def error(self) -> EdgewiseError | None:
        """What cut the answer off, once everything before it was read; iterating raises it."""
        return self._error if self.is_over else None

    def poll(self) -> list[Piece]:
        """What is there now, without waiting. Never raises: see `error`."""
        while not self._is_ended:
            try:
                self._take(*self._said.get_nowait())
            except queue.Empty:
                break
        pieces = list(self._pieces)
        self._pieces.clear()
        return pieces

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        while not self._pieces and not self._is_ended:
            self._take(*self._said.get())
        if self._pieces:
            return self._pieces.popleft()
        if self._error is not None and not self._is_raised:
            self._is_raised = True
            raise self._error
        raise StopIteration

    def close(self) -> None:
        """Stops the work within a step, and gives nothing more."""
        if not self._is_ended:
            self._is_ended = True
            self._source.cancel()
            self._said.put(([], End()))  # whoever waits in another thread
        self._pieces.clear()

    def __del__(self) -> None:
        if hasattr(self, "_is_raised") and not self._is_ended:
            self._source.cancel()

    def _take(self, pieces: list[Piece], end: End | None) -> None:
        if self._is_ended:
            return
        self._pieces.extend(pieces)
        if end is not None:
            self._is_ended = True
            self._finish_reason, self._error = end.reason, end.error
