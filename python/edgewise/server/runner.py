"""What computes a model's answers: the engine's batch, or a queue in front of an engine that takes one at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from edgewise.errors import EdgewiseError, InternalError, UnsupportedError
from edgewise.server.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgewise.engine.protocol import Engine, FinishReason, GenerateOptions, Generation, Piece, Timings


class Running(Protocol):
    """An answer that is being computed, read from another thread."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""

    @property
    def error(self) -> EdgewiseError | None:
        """Why it ended early."""

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why it ended."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens in the prompt."""

    @property
    def timings(self) -> Timings:
        """What it cost."""

    def poll(self) -> list[Piece]:
        """The pieces since the last call, without waiting."""

    def close(self) -> None:
        """Stops."""


class Runner(Protocol):
    """Computes answers."""

    @property
    def queued(self) -> int:
        """Answers that wait."""

    @property
    def active(self) -> int:
        """Answers that are computed now."""

    def submit(
        self,
        prompt: str | Sequence[int],
        options: GenerateOptions,
        *,
        constraint: object | None = None,
        deadline_s: float | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> Running:
        """Begins an answer, without waiting."""

    def close(self) -> None:
        """Ends every answer."""


class OneAtATime:
    """A thread that computes one answer after the other, first come first served.

    Args:
        engine: any engine.
        queue_limit: how many answers may wait.
    """

    def __init__(self, engine: Engine, *, queue_limit: int) -> None:
        self._engine = engine
        self._limit = queue_limit
        self._waiting: deque[_Turn] = deque()
        self._current: _Turn | None = None
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, daemon=True, name="edgewise-answers")
        self._thread.start()

    @property
    def queued(self) -> int:
        """Answers that wait."""
        return len(self._waiting)

    @property
    def active(self) -> int:
        """Answers that are computed now: one at most."""
        return int(self._current is not None)

    def submit(
        self,
        prompt: str | Sequence[int],
        options: GenerateOptions,
        *,
        constraint: object | None = None,
        deadline_s: float | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> Running:
        """Begins an answer; see `Runner.submit`.

        Raises:
            UnsupportedError: if the answer is to follow a grammar.
            ContextFull: if the prompt leaves no room for an answer.
            Refused: if too many wait already.
        """
        if constraint is not None:
            raise UnsupportedError(f"the {self._engine.name} engine can not hold answers to a schema or grammar")
        turn = _Turn(self._engine.generate(prompt, options), deadline_s, on_ready)
        with self._changed:
            if self._current is not None and len(self._waiting) >= self._limit:
                turn.close()
                raise Refused("overloaded", "the queue of this model is full", retry_after_s=1.0)
            self._waiting.append(turn)
            self._changed.notify()
        return turn

    def close(self) -> None:
        """Ends every answer, and the thread."""
        with self._changed:
            self._is_closed = True
            for turn in (*self._waiting, *([self._current] if self._current else [])):
                turn.close()
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._current = None
                while not self._waiting and not self._is_closed:
                    self._changed.wait()
                if not self._waiting:
                    return
                self._current = turn = self._waiting.popleft()
            turn.run()


class _Turn:
    """An answer in the queue of `OneAtATime`."""

    def __init__(self, generation: Generation, deadline_s: float | None, on_ready: Callable[[], None] | None) -> None:
        self._generation = generation
        self._deadline_s = None if deadline_s is None else time.perf_counter() + deadline_s
        self._on_ready = on_ready or (lambda: None)
        self._pieces: deque[Piece] = deque()
        self._is_closed = False
        self.is_over = False
        self.error: EdgewiseError | None = None

    @property
    def finish_reason(self) -> FinishReason | None:
        return self._generation.finish_reason

    @property
    def prompt_tokens(self) -> int:
        return self._generation.prompt_tokens

    @property
    def timings(self) -> Timings:
        return self._generation.timings

    def poll(self) -> list[Piece]:
        pieces = []
        while self._pieces:
            pieces.append(self._pieces.popleft())
        return pieces

    def close(self) -> None:
        self._is_closed = True

    def run(self) -> None:
        try:
            while not self._is_closed:
                if self._deadline_s is not None and time.perf_counter() > self._deadline_s:
                    raise Refused("timeout", "the answer was not there in time")
                piece = next(self._generation, None)
                if piece is None:
                    break
                self._pieces.append(piece)
                self._on_ready()
        except EdgewiseError as error:
            self.error = error
        except Exception as error:
            self.error = InternalError(f"{type(error).__name__}: {error}")
        finally:
            self._generation.close()
            self.is_over = True
            self._on_ready()
