"""What every engine offers, whatever runs the model."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from edgewise import _core
from edgewise.config import LARGEST, require_number, require_whole
from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from edgewise.config import EngineConfig, EngineName
    from edgewise.engine.images import ImagePrompt

FinishReason = Literal["stop", "length"]

# Seeds that ask for any: llama.cpp's default, and the same number as a signed one.
ANY_SEED = (-1, 0xFFFFFFFF)

FRACTIONS = (
    "temperature",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "frequency_penalty",
    "presence_penalty",
)


@dataclass(frozen=True)
class GenerateOptions:
    """How an answer is made.

    Args:
        max_tokens: the longest answer, in tokens; None is as much as the context holds.
        temperature: 0 takes the likeliest token; below 0 samples from the unscaled distribution of all tokens.
        top_k: sample among this many likeliest tokens; 0 or less, or more than there are, for all.
        top_p: sample among the likeliest tokens that together have this probability.
        min_p: drop tokens less likely than this share of the likeliest.
        typical_p: locally typical sampling; 1 is off.
        repeat_penalty: divides the logits of recent tokens; 1 is off.
        frequency_penalty: lowers the logit of a recent token by this for each time it occurred.
        presence_penalty: lowers the logit of a recent token by this once.
        penalty_last_n: how many tokens of the answer count as recent; -1 for all.
        logit_bias: added to the logits of these tokens.
        seed: the same seed gives the same text; None, -1 and 0xFFFFFFFF take a new one each time.
        stop: texts that end the answer and are not part of it.
        mirostat: (tau, eta) of Mirostat 2.0 sampling, which takes the place of the top-k to typical options.
        logprobs: report the log-probability of each token.
        top_logprobs: how many of the likeliest tokens to report with it.
        context_shift: when the context is full, drop the older half of its tokens and go on, in place of ending with
            `length`. Pieces and timings say how many were dropped. With max_tokens None only the model ends the answer.
        keep_tokens: how many of the prompt's first tokens are never dropped; -1 for all of it. A beginning-of-sequence
            token always stays.
        cache_namespace: prompts of one namespace, in memory or on disk, are never found from another, such as another
            user's.
        shown_tokens: special tokens whose text is part of the answer's; others are not shown.

    Raises:
        InvalidArgument: if a value is out of its range.
    """

    max_tokens: int | None = None
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_last_n: int = 64
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    stop: tuple[str, ...] = ()
    mirostat: tuple[float, float] | None = None
    logprobs: bool = True
    top_logprobs: int = 0
    context_shift: bool = False
    keep_tokens: int = 0
    cache_namespace: str = ""
    shown_tokens: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.max_tokens is not None:
            require_whole("max_tokens", self.max_tokens, 0, None)
        require_whole("top_logprobs", self.top_logprobs, 0, None)
        require_whole("keep_tokens", self.keep_tokens, -1)
        for name in ("top_k", "penalty_last_n"):
            require_whole(name, getattr(self, name), None, None)
        if self.seed is not None:
            require_whole("seed", self.seed, None, None)
        for name in FRACTIONS:
            require_number(name, getattr(self, name))
        if self.mirostat is not None:
            tau, eta = self.mirostat
            require_number("mirostat's tau", tau)
            require_number("mirostat's eta", eta)
        for token, bias in self.logit_bias.items():
            require_whole("logit_bias: a token id", token, 0)
            require_number(f"logit_bias[{token}]", bias)
        _require_texts("stop", self.stop)
        if not isinstance(self.cache_namespace, str):
            raise InvalidArgument(f"cache_namespace must be a text, got {self.cache_namespace!r}")

    @property
    def chosen_seed(self) -> int:
        """The seed; a new random one where none was given or any will do."""
        return int.from_bytes(os.urandom(4), "little") if self.seed in (None, *ANY_SEED) else int(self.seed or 0)

    def sampler(self) -> _core.Sampler:
        """The core's sampler with these options.

        Raises:
            InvalidArgument: naming the option that is out of its range.
        """
        return _core.Sampler(
            temperature=self.temperature,
            top_k=min(max(self.top_k, 0), LARGEST),
            top_p=self.top_p,
            min_p=self.min_p,
            typical_p=self.typical_p,
            repeat_penalty=self.repeat_penalty,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            penalty_last_n=min(self.penalty_last_n, LARGEST) if self.penalty_last_n >= 0 else LARGEST,
            logit_bias=list(self.logit_bias.items()),
            mirostat=self.mirostat,
            seed=self.chosen_seed % 2**64,
        )


def _require_texts(name: str, texts: object) -> None:
    if not isinstance(texts, tuple):
        hint = f"{name}=({texts!r},)" if isinstance(texts, str) else None
        raise InvalidArgument(f"{name} must be a tuple of texts, got {texts!r}", hint=hint)
    for text in texts:
        if not isinstance(text, str):
            raise InvalidArgument(f"{name} must be a tuple of texts, got {text!r} in it")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InvalidArgument(f"{name} {text!r} holds half a character; no text can contain it")


@dataclass(frozen=True)
class Piece:
    """One token of an answer.

    Args:
        token: its id.
        text: what can be shown now: whole characters, and nothing that may turn out to begin a stop text. May be
            empty; what was held back comes with a later piece.
        logprob: natural logarithm of the token's probability, before any sampling option; None if not asked for.
        top_logprobs: the likeliest tokens with theirs, likeliest first.
        dropped_tokens: how many tokens the context lost just before this one; see `GenerateOptions.context_shift`.
    """

    token: int
    text: str
    logprob: float | None
    top_logprobs: tuple[tuple[int, float], ...] = ()
    dropped_tokens: int = 0


@dataclass(frozen=True)
class Timings:
    """What an answer cost.

    Args:
        load_s: seconds to open the model.
        time_to_first_token_s: seconds from the request to the first token.
        cached_tokens: prompt tokens that the KV cache already held, or that came from disk.
        evaluated_tokens: prompt tokens that were evaluated.
        generated_tokens: tokens of the answer.
        prefill_s: seconds spent on evaluating the prompt.
        decode_s: seconds spent on the tokens after the first.
        peak_memory_bytes: the most memory that this process has had resident; 0 where the system does not say.
        drafted_tokens: tokens that speculative decoding guessed.
        accepted_tokens: guesses that were right.
        dropped_tokens: how many tokens the context lost; see `GenerateOptions.context_shift`.
        queue_s: seconds from the request until its work began; part of the time to the first token.
        inter_token_p50_s: the median of the seconds from one token to the next.
        inter_token_p95_s: what 95 % of them do not exceed.
    """

    load_s: float
    time_to_first_token_s: float
    cached_tokens: int
    evaluated_tokens: int
    generated_tokens: int
    prefill_s: float
    decode_s: float
    peak_memory_bytes: int
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    dropped_tokens: int = 0
    queue_s: float = 0.0
    inter_token_p50_s: float = 0.0
    inter_token_p95_s: float = 0.0

    @property
    def prefill_tokens_per_second(self) -> float:
        """Evaluated prompt tokens over the time that they took; cached ones count nowhere."""
        return self.evaluated_tokens / self.prefill_s if self.prefill_s > 0 else 0.0

    @property
    def decode_tokens_per_second(self) -> float:
        """Tokens after the first over the time that they took."""
        return (self.generated_tokens - 1) / self.decode_s if self.decode_s > 0 and self.generated_tokens > 1 else 0.0


class Constraint(Protocol):
    """What an answer may say next. It belongs to one answer; its methods are called from whichever thread computes."""

    def allowed(self) -> bytes | None:
        """The tokens that may follow: token `i` has bit `i % 8` of byte `i // 8`. None is every token.

        An end token in it may end the answer. Tokens for which the mask is too short are not in it.
        """

    def accept(self, token: int) -> None:
        """Takes the token that was chosen; end tokens are not told."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing but the end may follow: the answer ends with `stop`, without an end token."""


class Generation(Protocol):
    """An answer in the making: iterate over its pieces. Closing it early stops the work."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens in the prompt."""

    @property
    def finish_reason(self) -> FinishReason | None:
        """`stop` after an end token or a stop text, `length` at the limit, None while it goes on."""

    @property
    def timings(self) -> Timings:
        """What it cost so far."""

    def __iter__(self) -> Iterator[Piece]: ...

    def __next__(self) -> Piece: ...

    def close(self) -> None:
        """Stops; what was generated stays in the KV cache."""


@runtime_checkable
class Engine(Protocol):
    """An open model. Threads may share one: each answer has the engine to itself, the others wait their turn."""

    @staticmethod
    def open(path: str | Path, config: EngineConfig | None = None, *, engine: EngineName | None = None) -> Engine:
        """Opens a model file with the engine that suits it; see `edgewise.engine.open`."""
        from edgewise.engine import open as open_engine

        return open_engine(path, config, engine=engine)

    @property
    def name(self) -> str:
        """`native` or `llamacpp`."""

    @property
    def path(self) -> Path:
        """The model file."""

    @property
    def metadata(self) -> Mapping[str, object]:
        """The file's metadata."""

    @property
    def context_length(self) -> int:
        """Tokens that prompt and answer may have together."""

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens that the model knows."""

    def tokenize(self, text: str | bytes, *, add_special: bool = True, parse_special: bool = False) -> list[int]:
        """Text to token ids.

        Args:
            text: what to split.
            add_special: add the tokens that the model expects around a text, such as its beginning-of-sequence token.
            parse_special: read `<|name|>` as that special token, not as text.
        """

    def detokenize(self, tokens: Sequence[int], *, special: bool = False) -> bytes:
        """Token ids to the bytes of their text.

        Args:
            tokens: the ids.
            special: write special tokens out instead of leaving them away.
        """

    def generate(self, prompt: str | Sequence[int] | ImagePrompt, options: GenerateOptions | None = None) -> Generation:
        """Continues a prompt. What the KV cache shares with it is not evaluated again.

        Args:
            prompt: text, which gets the special tokens that the model expects, or token ids as they are; with images
                where the engine sees them.
            options: how the answer is made.

        Raises:
            ContextFull: if the prompt leaves no room for an answer.
            InvalidArgument: if a token id is not in the vocabulary.
            UnsupportedError: if there are images, and the engine does not see them.
        """

    def close(self) -> None:
        """Gives the memory back. Closing twice is fine; using a closed engine is an `InvalidArgument`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
