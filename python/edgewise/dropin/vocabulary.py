"""The vocabulary half of `Llama`: text to tokens and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgewise import _core
    from edgewise.engine.protocol import Engine


class Vocabulary:
    """What `Llama` knows of its tokens. Engines without a tokenizer of the core answer themselves."""

    _engine: Engine | None
    _tokenizer: _core.Tokenizer | None
    _file_metadata: Mapping[str, object]

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = False) -> list[int]:
        """Text to token ids.

        Args:
            text: UTF-8.
            add_bos: add the special tokens that the model expects around a text.
            special: read `<|name|>` as that special token.
        """
        if self._tokenizer is not None:
            return self._tokenizer.encode(text, add_special=add_bos, parse_special=special)
        return self._opened.tokenize(text, add_special=add_bos, parse_special=special)

    def detokenize(
        self, tokens: Sequence[int], prev_tokens: Sequence[int] | None = None, special: bool = False
    ) -> bytes:
        """Token ids to the bytes of their text.

        Args:
            tokens: the ids; after a leading beginning-of-sequence token the text's first space is left away.
            prev_tokens: accepted; it changes nothing, as there.
            special: write special tokens out.
        """
        if self._tokenizer is None:
            return self._opened.detokenize(tokens, special=special)
        text = self._tokenizer.pieces(tokens, special=special)
        return text.removeprefix(b" ") if list(tokens[:1]) == [self.token_bos()] else text

    def n_vocab(self) -> int:
        """Number of tokens in the vocabulary."""
        return len(self._tokenizer) if self._tokenizer is not None else self._opened.vocabulary_size

    def token_bos(self) -> int:
        """The beginning-of-sequence token, -1 if there is none."""
        return self._special("bos")

    def token_eos(self) -> int:
        """The end-of-sequence token, -1 if there is none."""
        return self._special("eos")

    def token_nl(self) -> int:
        """The token of a line break, -1 if there is none."""
        return self._special("newline")

    @property
    def _opened(self) -> Engine:
        if self._engine is None:
            raise InvalidArgument("this Llama has no weights to compute with: it is closed, or vocab_only=True")
        return self._engine

    def _special(self, name: str) -> int:
        if self._tokenizer is not None:
            token = getattr(self._tokenizer, name)
        else:
            token = self._file_metadata.get(f"tokenizer.ggml.{name}_token_id")
        return token if isinstance(token, int) else -1
