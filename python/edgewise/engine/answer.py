"""An answer of the core in the making."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.config import LARGEST
from edgewise.engine.memory import peak_memory_bytes
from edgewise.engine.protocol import Piece, Timings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgewise.engine.native import NativeEngine
    from edgewise.engine.protocol import FinishReason, GenerateOptions

    Sampled = tuple[int, float | None, list[tuple[int, float]]]


class Answer:
    """Iterates over the pieces of an answer; see `edgewise.engine.protocol.Generation`.

    The work is done when a piece is asked for. The token that was sampled last is not evaluated yet: its turn comes
    with the next step. A step gives one token, and more where guesses were right (see `edgewise.engine.speculation`).

    Args:
        engine: whose session is used.
        prompt: token ids; at least one, and fewer than the context holds.
        options: how the answer is made.
        adjust: see `NativeEngine.generate`.
        should_stop: see `NativeEngine.generate`.
    """

    def __init__(
        self,
        engine: NativeEngine,
        prompt: list[int],
        options: GenerateOptions,
        *,
        adjust: Callable[[list[int], bytes], bytes] | None = None,
        should_stop: Callable[[list[int], bytes], bool] | None = None,
    ) -> None:
        self._engine = engine
        self._tokens = self._window = prompt  # the window is what the context holds of them: all, until it is full
        self._prompt_tokens = len(prompt)
        self._context_length = engine.context_length
        room = self._context_length - len(prompt)
        if options.context_shift:
            room = LARGEST
        self._limit = room if options.max_tokens is None else min(options.max_tokens, room)
        self._keep_tokens = len(prompt) if options.keep_tokens < 0 else min(options.keep_tokens, len(prompt))
        if prompt[0] == engine.tokenizer.bos:
            self._keep_tokens = max(self._keep_tokens, 1)
        self._dropped = self._newly_dropped = 0
        self._namespace = options.cache_namespace
        self._is_kept = False
        self._adjust = adjust
        self._should_stop = should_stop
        self._top_logprobs = min(options.top_logprobs, engine.vocabulary_size) if options.logprobs else None
        self._text = _core.TextStream(list(options.stop))
        sees_logits = adjust is not None or should_stop is not None
        self._speculation = None if sees_logits else engine.speculation(prompt)
        self._drafter = None if self._speculation is None else engine.drafter()
        self._sampled: deque[Sampled] = deque()  # tokens that no piece tells of yet
        self._sampler = options.sampler()
        self._finish_reason: FinishReason | None = None
        self._is_over = False
        self._is_started = False
        self._cached = self._evaluated = 0
        self._started_s = time.perf_counter()
        self._prefill_s = self._first_token_s = self._decode_s = 0.0

    @property
    def prompt_tokens(self) -> int:
        """Tokens in the prompt."""
        return self._prompt_tokens

    @property
    def tokens(self) -> list[int]:
        """Token ids of the answer so far, end tokens excluded."""
        return self._tokens[self._prompt_tokens :]

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended; None while it goes on, and after `close`."""
        return self._finish_reason

    @property
    def timings(self) -> Timings:
        """What it cost so far."""
        return Timings(
            load_s=self._engine.load_s,
            time_to_first_token_s=self._first_token_s,
            cached_tokens=self._cached,
            evaluated_tokens=self._evaluated,
            generated_tokens=len(self._tokens) - self._prompt_tokens,
            prefill_s=self._prefill_s,
            decode_s=self._decode_s,
            peak_memory_bytes=peak_memory_bytes(),
            drafted_tokens=self._speculation.drafted if self._speculation else 0,
            accepted_tokens=self._speculation.accepted if self._speculation else 0,
            dropped_tokens=self._dropped,
        )

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        while not self._is_over:
            piece = self._show(*self._sampled.popleft()) if self._sampled else self._next()
            if self._is_over:
                self._leave()
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
        self._leave()

    def _leave(self) -> None:
        try:
            if self._is_started and self._engine.turns.retake(self):
                self._keep_prompt()
        finally:
            self._engine.turns.leave(self)

    def _keep_prompt(self) -> None:
        if not self._is_kept:
            self._is_kept = True
            self._engine.keep(self._tokens[: self._prompt_tokens], self._namespace)

    def __del__(self) -> None:
        if hasattr(self, "_is_started"):
            self._is_kept = True  # garbage collection is no time to write
            self.close()

    def _step(self, held_all_along: bool) -> Piece | None:
        """The next token; None if the answer ended without one."""
        started_s = time.perf_counter()
        session = self._engine.session
        is_first = not self._is_started
        tokens = self._begin() if is_first else self._go_on(session, held_all_along)
        reason = self._evaluate(session, tokens)
        now_s = time.perf_counter()
        if is_first:
            self._is_started = True
            self._evaluated, self._prefill_s = len(tokens), now_s - started_s
        if reason is not None:
            return self._end(reason)
        if is_first:
            self._first_token_s = now_s - self._started_s
        else:
            self._decode_s += now_s - started_s
        return self._show(*self._sampled.popleft())

    def _begin(self) -> list[int]:
        """The tokens of the prompt that have to be evaluated."""
        self._cached = self._engine.begin(self._tokens, self._namespace)
        return self._tokens[self._cached :]

    def _go_on(self, session: _core.Session, held_all_along: bool) -> list[int]:
        """The token that was sampled last, and those before it that the session has lost."""
        if len(self._window) > self._context_length:
            if held_all_along:
                self._keep_prompt()
            self._is_kept = True  # or never will be: the session is about to begin otherwise
            self._drop_older_half()
            held_all_along = False
        return self._window[-1:] if held_all_along else self._window[session.reuse(self._window, self._namespace) :]

    def _evaluate(self, session: _core.Session, tokens: list[int]) -> FinishReason | None:
        """Evaluates tokens and samples what follows them, one token or more; says why if nothing is to follow."""
        if self._limit > 0 and self._adjust is None and self._should_stop is None:
            self._sampled.extend(self._advance(session, tokens))
            return None
        session.evaluate(tokens)
        if self._limit == 0:
            return "length"
        if self._should_stop is not None and self._should_stop(self._tokens, session.logits()):
            return "stop"
        adjusted = None if self._adjust is None else self._adjust(self._tokens, session.logits())
        self._sampled.append(session.sample(self._sampler, top_logprobs=self._top_logprobs, logits=adjusted))
        return None

    def _advance(self, session: _core.Session, tokens: list[int]) -> list[Sampled]:
        speculation = self._speculation
        if speculation is None or not self._is_started or len(tokens) > 1:
            return session.advance(tokens, self._sampler, self._top_logprobs, speculation)
        left = self._prompt_tokens + self._limit - len(self._tokens)
        most = min(left - 1, self._context_length - len(self._window))
        guesses = None
        if self._drafter is not None:
            count = speculation.ask(most)
            guesses = self._drafter.propose(self._tokens, count) if count else []
        return session.advance(tokens, self._sampler, self._top_logprobs, speculation, most, guesses)

    def _drop_older_half(self) -> None:
        """Makes room in a full context. What is left after the kept tokens is evaluated again, at its new positions."""
        keep = self._keep_tokens
        dropped = (len(self._window) - keep) // 2
        self._window = self._window[:keep] + self._window[keep + dropped :]
        self._dropped += dropped
        self._newly_dropped += dropped

    def _show(self, token: int, logprob: float | None, top: list[tuple[int, float]]) -> Piece | None:
        """The piece of a sampled token; None if it ends the answer without further text."""
        if self._engine.tokenizer.is_end(token):
            return self._end("stop", token)
        self._tokens.append(token)
        if self._window is not self._tokens:
            self._window.append(token)
        dropped, self._newly_dropped = self._newly_dropped, 0
        text = self._text.push(self._engine.tokenizer.pieces([token]))
        if self._text.is_stopped:
            self._finish("stop")
        elif len(self._tokens) - self._prompt_tokens >= self._limit:
            self._finish("length")
            text += self._text.finish()
        return Piece(token, text, logprob, tuple(top), dropped)

    def _end(self, reason: FinishReason, token: int = -1) -> Piece | None:
        """Ends without a further token; text that was held back still comes out."""
        self._finish(reason)
        text = self._text.finish()
        return Piece(token, text, None) if text else None

    def _finish(self, reason: FinishReason) -> None:
        self._finish_reason = reason
        self._is_over = True
