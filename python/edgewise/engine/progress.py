"""How far an answer has come: what it has said, what it may still say, and what it cost."""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.config import LARGEST
from edgewise.engine.memory import peak_memory_bytes
from edgewise.engine.protocol import Piece, Timings

if TYPE_CHECKING:
    from edgewise.engine.native import NativeEngine
    from edgewise.engine.protocol import Constraint, FinishReason, GenerateOptions

    Sampled = tuple[int, float | None, list[tuple[int, float]]]


class Progress:
    """One answer's tokens, text, limits and costs; it computes nothing.

    Args:
        engine: whose answer it is.
        prompt: token ids; at least one, and fewer than the context holds. The list is taken over.
        options: how the answer is made.
        constraint: what the answer may say.
    """

    def __init__(
        self,
        engine: NativeEngine,
        prompt: list[int],
        options: GenerateOptions,
        constraint: Constraint | None = None,
    ) -> None:
        self.tokens = self.window = prompt  # the window is what the context holds of them: all, until it is full
        self.prompt_tokens = len(prompt)
        self.namespace = options.cache_namespace
        self.constraint = constraint
        self.context_length = engine.context_length
        room = LARGEST if options.context_shift else self.context_length - len(prompt)
        self.limit = room if options.max_tokens is None else min(options.max_tokens, room)
        self._keep_tokens = len(prompt) if options.keep_tokens < 0 else min(options.keep_tokens, len(prompt))
        if prompt[0] == engine.tokenizer.bos:
            self._keep_tokens = max(self._keep_tokens, 1)
        self.dropped = self._newly_dropped = 0
        self.finish_reason: FinishReason | None = None
        self.is_over = False
        self.sampler = options.sampler()
        self.top_logprobs = min(options.top_logprobs, engine.vocabulary_size) if options.logprobs else None
        self._tokenizer, self._load_s = engine.tokenizer, engine.load_s
        self._text = _core.TextStream(list(options.stop))
        self._shown_tokens = options.shown_tokens
        self.cached = self.evaluated = 0
        self.started_s = self._sampled_s = time.perf_counter()
        self.queue_s = self.prefill_s = self.first_token_s = self.decode_s = 0.0
        self._gaps = array("d")  # seconds from one step's tokens to the next's

    @property
    def answer(self) -> list[int]:
        """Token ids of the answer so far, end tokens excluded."""
        return self.tokens[self.prompt_tokens :]

    @property
    def most_guesses(self) -> int:
        """How many guessed tokens the limit and the context leave room for."""
        left = self.prompt_tokens + self.limit - len(self.tokens)
        return min(left - 1, self.context_length - len(self.window))

    @property
    def is_full(self) -> bool:
        """Whether the context has no room for the last token."""
        return len(self.window) > self.context_length

    @property
    def is_complete(self) -> bool:
        """Whether the constraint lets nothing follow."""
        return self.constraint is not None and self.constraint.is_complete

    def allowed(self) -> bytes | None:
        """The mask of what may follow."""
        return None if self.constraint is None else self.constraint.allowed()

    def drop_older_half(self) -> None:
        """Makes room in a full context. What is left after the kept tokens is evaluated again, at its new positions."""
        keep = self._keep_tokens
        dropped = (len(self.window) - keep) // 2
        self.window = self.window[:keep] + self.window[keep + dropped :]
        self.dropped += dropped
        self._newly_dropped += dropped

    def sampled(self, now_s: float, step_s: float) -> None:
        """Counts a step of `step_s` seconds that gave tokens of the answer."""
        if self.first_token_s == 0.0:
            self.first_token_s = now_s - self.started_s
        else:
            self.decode_s += step_s
            self._gaps.append(now_s - self._sampled_s)
        self._sampled_s = now_s

    def show(self, token: int, logprob: float | None, top: list[tuple[int, float]]) -> Piece | None:
        """The piece of a sampled token; None if it ends the answer without further text."""
        if self._tokenizer.is_end(token):
            return self.end("stop", token)
        self.tokens.append(token)
        if self.window is not self.tokens:
            self.window.append(token)
        if self.constraint is not None:
            self.constraint.accept(token)
        dropped, self._newly_dropped = self._newly_dropped, 0
        text = self._text.push(self._tokenizer.pieces([token], special=token in self._shown_tokens))
        if self._text.is_stopped:
            self._finish("stop")
        elif self.is_complete:
            self._finish("stop")
            text += self._text.finish()
        elif len(self.tokens) - self.prompt_tokens >= self.limit:
            self._finish("length")
            text += self._text.finish()
        return Piece(token, text, logprob, tuple(top), dropped)

    def end(self, reason: FinishReason, token: int = -1) -> Piece | None:
        """Ends without a further token; text that was held back still comes out."""
        self._finish(reason)
        text = self._text.finish()
        return Piece(token, text, None) if text else None

    def timings(self, drafted_tokens: int, accepted_tokens: int) -> Timings:
        """What it cost so far, with what guesses did for it."""
        gaps = sorted(self._gaps)
        return Timings(
            load_s=self._load_s,
            time_to_first_token_s=self.first_token_s,
            cached_tokens=self.cached,
            evaluated_tokens=self.evaluated,
            generated_tokens=len(self.tokens) - self.prompt_tokens,
            prefill_s=self.prefill_s,
            decode_s=self.decode_s,
            peak_memory_bytes=peak_memory_bytes(),
            drafted_tokens=drafted_tokens,
            accepted_tokens=accepted_tokens,
            dropped_tokens=self.dropped,
            queue_s=self.queue_s,
            inter_token_p50_s=_share(gaps, 0.5),
            inter_token_p95_s=_share(gaps, 0.95),
        )

    def _finish(self, reason: FinishReason) -> None:
        self.finish_reason = reason
        self.is_over = True


def _share(ascending: list[float], share: float) -> float:
    """What this share of the values does not exceed; 0 without any."""
    return ascending[min(int(share * len(ascending)), len(ascending) - 1)] if ascending else 0.0
