"""An answer of the core in the making."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from edgewise.engine.decoding import Decoding
from edgewise.engine.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgewise import _core
    from edgewise.engine.native import NativeEngine
    from edgewise.engine.progress import Sampled
    from edgewise.engine.protocol import Constraint, FinishReason, GenerateOptions, Piece, Timings


class Answer:
    """Iterates over the pieces of an answer; see `edgewise.engine.protocol.Generation`.

    The work is done when a piece is asked for. The token that was sampled last is not evaluated yet: its turn comes
    with the next step. A step gives one token, and more where guesses were right (see `edgewise.engine.decoding`).

    Args:
        engine: whose session is used.
        prompt: token ids; at least one, and fewer than the context holds.
        options: how the answer is made.
        constraint: see `NativeEngine.generate`.
        adjust: see `NativeEngine.generate`.
        should_stop: see `NativeEngine.generate`.
    """

    def __init__(
        self,
        engine: NativeEngine,
        prompt: list[int],
        options: GenerateOptions,
        *,
        constraint: Constraint | None = None,
        adjust: Callable[[list[int], bytes], bytes] | None = None,
        should_stop: Callable[[list[int], bytes], bool] | None = None,
    ) -> None:
        self._engine = engine
        self._progress = Progress(engine, prompt, options, constraint)
        self._adjust = adjust
        self._should_stop = should_stop
        self._is_free = adjust is None and should_stop is None and constraint is None
        self._decoding = Decoding(engine, self._progress, can_guess=self._is_free)
        self._sampled: deque[Sampled] = deque()  # tokens that no piece tells of yet
        self._is_kept = False
        self._is_over = False
        self._is_started = False

    @property
    def prompt_tokens(self) -> int:
        """Tokens in the prompt."""
        return self._progress.prompt_tokens

    @property
    def tokens(self) -> list[int]:
        """Token ids of the answer so far, end tokens excluded."""
        return self._progress.answer

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended; None while it goes on, and after `close`."""
        return self._progress.finish_reason

    @property
    def timings(self) -> Timings:
        """What it cost so far."""
        return self._progress.timings(*self._decoding.guessed)

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        while not self._is_over:
            piece = self._progress.show(*self._sampled.popleft()) if self._sampled else self._next()
            if self._progress.is_over:
                self.close()
            if piece is not None:
                return piece
        raise StopIteration

    def _next(self) -> Piece | None:
        held_all_along = self._engine.turns.take(self)
        try:
            piece = self._step(held_all_along)
        except BaseException:
            self.close()
            raise
        self._engine.turns.rest(self)
        return piece

    def close(self) -> None:
        """Stops; what was generated stays in the KV cache."""
        self._is_over = True
        try:
            if self._is_started and self._engine.turns.retake(self):
                self._keep_prompt()
        finally:
            self._engine.turns.leave(self)

    def _keep_prompt(self) -> None:
        if not self._is_kept:
            self._is_kept = True
            self._engine.keep(self._progress.tokens[: self.prompt_tokens], self._progress.namespace)

    def __del__(self) -> None:
        if hasattr(self, "_is_started"):
            self._is_kept = True  # garbage collection is no time to write
            self.close()

    def _step(self, held_all_along: bool) -> Piece | None:
        """The next token; None if the answer ended without one."""
        started_s = time.perf_counter()
        session, progress = self._engine.session, self._progress
        is_first = not self._is_started
        tokens = self._begin() if is_first else self._go_on(session, held_all_along)
        reason = self._evaluate(session, tokens)
        now_s = time.perf_counter()
        if is_first:
            self._is_started = True
            progress.evaluated, progress.prefill_s = len(tokens), now_s - started_s
        if reason is not None:
            return progress.end(reason)
        progress.sampled(now_s, now_s - started_s)
        return progress.show(*self._sampled.popleft())

    def _begin(self) -> list[int]:
        """The tokens of the prompt that have to be evaluated."""
        progress = self._progress
        progress.cached = self._engine.begin(progress.tokens, progress.namespace)
        return progress.tokens[progress.cached :]

    def _go_on(self, session: _core.Session, held_all_along: bool) -> list[int]:
        """The token that was sampled last, and those before it that the session has lost."""
        progress = self._progress
        if progress.is_full:
            if held_all_along:
                self._keep_prompt()
            self._is_kept = True  # or never will be: the session is about to begin otherwise
            progress.drop_older_half()
            held_all_along = False
        window = progress.window
        return window[-1:] if held_all_along else window[session.reuse(window, progress.namespace) :]

    def _evaluate(self, session: _core.Session, tokens: list[int]) -> FinishReason | None:
        """Evaluates tokens and samples what follows them, one token or more; says why if nothing is to follow."""
        progress = self._progress
        if self._is_free and progress.limit > 0:
            self._sampled.extend(self._decoding.advance(session, tokens, is_first=not self._is_started))
            return None
        session.evaluate(tokens)
        if progress.limit == 0:
            return "length"
        if progress.is_complete:
            return "stop"
        if self._should_stop is not None and self._should_stop(progress.tokens, session.logits()):
            return "stop"
        adjusted = None if self._adjust is None else self._adjust(progress.tokens, session.logits())
        allowed = progress.allowed()
        sampler, top_logprobs = progress.sampler, progress.top_logprobs
        self._sampled.append(session.sample(sampler, top_logprobs=top_logprobs, logits=adjusted, allowed=allowed))
        return None
