"""What computes a model's answers: the engine's batch, or a queue in front of an engine that takes one at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from edgewise.engine.batching import Batch, Stream
from edgewise.engine.batching.stream import End, Outlet
from edgewise.engine.native import NativeEngine
from edgewise.errors import Closed, DeadlineExceeded, QueueFull, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgewise.engine.protocol import Constraint, Engine, GenerateOptions, Generation, Timings


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
        constraint: Constraint | None = None,
        deadline_s: float | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> Stream:
        """Begins an answer, without waiting."""

    def close(self) -> None:
        """Ends every answer."""


def runner_of(engine: Engine, *, parallel: int, queue_limit: int) -> Runner:
    """What suits an engine: the core's answers share its steps, others take turns."""
    if isinstance(engine, NativeEngine):
        return Batched(engine, parallel=parallel, queue_limit=queue_limit)
    return OneAtATime(engine, queue_limit=queue_limit)


class Batched(Batch):
    """The engine's batch, which takes prompts as text, too."""

    def submit(
        self,
        prompt: str | Sequence[int],
        options: GenerateOptions | None = None,
        *,
        constraint: Constraint | None = None,
        deadline_s: float | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> Stream:
        """Begins an answer; see `Batch.submit`."""
        tokens = self.engine.tokenize(prompt, parse_special=True) if isinstance(prompt, str) else prompt
        return super().submit(tokens, options, constraint=constraint, deadline_s=deadline_s, on_ready=on_ready)


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
        constraint: Constraint | None = None,
        deadline_s: float | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> Stream:
        """Begins an answer; see `Runner.submit`.

        Raises:
            UnsupportedError: if the answer is to follow a grammar.
            ContextFull: if the prompt leaves no room for an answer.
            QueueFull: if too many wait already.
            Closed: if no more are taken.
        """
        if constraint is not None:
            raise UnsupportedError(f"the {self._engine.name} engine can not hold answers to a schema or grammar")
        with self._changed:
            if self._is_closed:
                raise Closed("the model was closed")
            if self._current is not None and len(self._waiting) >= self._limit:
                raise QueueFull(f"{self._limit} requests wait for this model already", retry_after_s=1.0)
            turn = _Turn(self._engine.generate(prompt, options), deadline_s, on_ready)
            self._waiting.append(turn)
            self._changed.notify()
        return Stream(turn, turn.outlet)

    def close(self) -> None:
        """Ends every answer, and the thread."""
        with self._changed:
            self._is_closed = True
            for turn in self._waiting:
                turn.fail(Closed("the model was closed before the answer began"))
            self._waiting.clear()
            if self._current is not None:
                self._current.cancel()
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
        self._arrived_s = time.perf_counter()
        self._deadline_s = None if deadline_s is None else self._arrived_s + deadline_s
        self._queue_s = 0.0
        self._is_cancelled = False
        self.outlet = Outlet(on_ready)

    @property
    def prompt_tokens(self) -> int:
        return self._generation.prompt_tokens

    @property
    def timings(self) -> Timings:
        return replace(self._generation.timings, queue_s=self._queue_s)

    def cancel(self) -> None:
        self._is_cancelled = True

    def run(self) -> None:
        self._queue_s = time.perf_counter() - self._arrived_s
        end = End()
        try:
            while not self._is_cancelled:
                if self._deadline_s is not None and time.perf_counter() > self._deadline_s:
                    raise DeadlineExceeded("the answer was not there in time")
                piece = next(self._generation, None)
                if piece is None:
                    end = End(self._generation.finish_reason)
                    break
                self.outlet.put([piece])
        except Exception as error:
            end = End(error=error)
        finally:
            self._generation.close()
            self.outlet.put([], end)

    def fail(self, error: BaseException) -> None:
        self._generation.close()
        self.outlet.put([], End(error=error))
