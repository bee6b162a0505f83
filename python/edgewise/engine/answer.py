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
        room = engine.context_length - len(prompt)
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
        self._speculation = engine.speculation() if adjust is None and should_stop is None else None
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
        guesses = self._go_on(session, held_all_along) if self._is_started else self._prefill(session)
        if self._limit == 0:
            return self._end("length")
        if self._should_stop is not None and self._should_stop(self._tokens, session.logits()):
            return self._end("stop")
        self._sample(session, guesses)
        now_s = time.perf_counter()
        if self._first_token_s == 0.0:
            self._first_token_s = now_s - self._started_s
        else:
            self._decode_s += now_s - started_s
        return self._show(*self._sampled.popleft())

    def _prefill(self, session: _core.Session) -> list[int]:
        started_s = time.perf_counter()
        self._cached = self._engine.begin(self._tokens, self._namespace)
        session.evaluate(self._tokens[self._cached :])
        self._evaluated = len(self._tokens) - self._cached
        self._prefill_s = time.perf_counter() - started_s
        self._is_started = True
        return []

    def _go_on(self, session: _core.Session, held_all_along: bool) -> list[int]:
        """Evaluates the last token, and guesses behind it, which it gives."""
        room = self._engine.context_length - len(self._window)
        if room < 0:
            if held_all_along:
                self._keep_prompt()
            self._is_kept = True  # or never will be: the session is about to begin otherwise
            self._drop_older_half()
            held_all_along = False
        start = len(self._window) - 1 if held_all_along else session.reuse(self._window)
        last = self._window[start:]
        if self._speculation is None or len(last) > 1:
            session.evaluate(last)
            return []
        left = self._limit - (len(self._tokens) - self._prompt_tokens)
        started_s = time.perf_counter()
        guesses = self._speculation.propose(self._tokens, min(left - 1, room), self._engine.vocabulary_size)
        guessed_s = time.perf_counter()
        session.evaluate(last + guesses, all_logits=True)
        self._speculation.took(1 + len(guesses), time.perf_counter() - guessed_s, guessed_s - started_s)
        return guesses

    def _drop_older_half(self) -> None:
        """Makes room in a full context. What is left after the kept tokens is evaluated again, at its new positions."""
        keep = self._keep_tokens
        dropped = (len(self._window) - keep) // 2
        self._window = self._window[:keep] + self._window[keep + dropped :]
        self._dropped += dropped
        self._newly_dropped += dropped

    def _sample(self, session: _core.Session, guesses: list[int]) -> None:
        """Samples the next token, and the one behind it for every guess that was right."""
        for row in range(len(guesses) + 1):
            adjusted = None if self._adjust is None else self._adjust(self._tokens, session.logits())
            sampled = session.sample(self._sampler, top_logprobs=self._top_logprobs, logits=adjusted, row=row)
            self._sampled.append(sampled)
            if row == len(guesses) or sampled[0] != guesses[row] or self._engine.tokenizer.is_end(sampled[0]):
                break
        if self._speculation is not None:
            self._speculation.saw(guesses, [token for token, _, _ in self._sampled])
        if len(self._sampled) <= len(guesses):
            session.truncate(len(self._window) + len(self._sampled) - 1)

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
