"""The small parts of the surface: things that callers of `llama_cpp.Llama` find on it beside completions and chats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edgewise.dropin.hooks import require_numpy
from edgewise.errors import UnsupportedError

if TYPE_CHECKING:
    from edgewise.dropin.hooks import Scores, Tokens
    from edgewise.dropin.vocabulary import Vocabulary


class LlamaTokenizer:
    """The tokenizer of a `Llama`, for callers that want nothing else of it.

    Args:
        llama: whose tokens.
    """

    def __init__(self, llama: Vocabulary) -> None:
        self._llama = llama

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = True) -> list[int]:
        """UTF-8 to token ids; see `Llama.tokenize`."""
        return self._llama.tokenize(text, add_bos, special)

    def detokenize(
        self, tokens: Sequence[int], prev_tokens: Sequence[int] | None = None, special: bool = False
    ) -> bytes:
        """Token ids to UTF-8; see `Llama.detokenize`."""
        return self._llama.detokenize(tokens, prev_tokens, special)

    def encode(self, text: str, add_bos: bool = True, special: bool = True) -> list[int]:
        """Text to token ids."""
        return self.tokenize(text.encode("utf-8", errors="ignore"), add_bos, special)

    def decode(self, tokens: Sequence[int]) -> str:
        """Token ids to text."""
        return self.detokenize(tokens).decode("utf-8", errors="ignore")


class Conveniences:
    """What `Llama` shows beside its main methods."""

    cache: object = None
    """What `set_cache` was given. Prompts in memory are found again without it."""

    if TYPE_CHECKING:
        create_chat_completion: Any
        _native: Any

    def tokenizer(self) -> LlamaTokenizer:
        """The tokenizer alone."""
        return LlamaTokenizer(self)  # type: ignore[arg-type]  # Llama is a Vocabulary too

    @property
    def n_threads(self) -> int:
        """Threads that compute."""
        return int(self._native.session.threads)

    @property
    def input_ids(self) -> Tokens:
        """The tokens evaluated so far; needs numpy."""
        ids: Tokens = require_numpy("input_ids").array(self._native.session.tokens, dtype="int32")
        return ids

    def create_chat_completion_openai_v1(self, *arguments: Any, **named: Any) -> Any:
        """As `create_chat_completion`, in the types of the openai package.

        Raises:
            UnsupportedError: if that package is not installed.
        """
        try:
            from openai.types.chat import ChatCompletion, ChatCompletionChunk
        except ImportError:
            raise UnsupportedError(
                "create_chat_completion_openai_v1 needs the openai package", hint="pip install openai"
            ) from None
        answer = self.create_chat_completion(*arguments, **named)
        if isinstance(answer, Iterator):
            return (ChatCompletionChunk(**chunk) for chunk in answer)
        return ChatCompletion(**answer)

    @staticmethod
    def logits_to_logprobs(logits: Scores, axis: int = -1) -> Scores:
        """Log-probabilities of logits; needs numpy.

        Args:
            logits: any shape.
            axis: along which the probabilities sum to 1.
        """
        np = require_numpy("logits_to_logprobs")
        shifted = np.asarray(logits, dtype=np.single)
        shifted = shifted - shifted.max(axis=axis, keepdims=True)
        logprobs: Scores = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
        return logprobs

    @staticmethod
    def longest_token_prefix(a: Sequence[int], b: Sequence[int]) -> int:
        """How many tokens two sequences share from their start on."""
        shared = 0
        for x, y in zip(a, b, strict=False):
            if x != y:
                break
            shared += 1
        return shared
