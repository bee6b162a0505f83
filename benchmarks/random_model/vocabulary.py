"""Synthetic vocabularies of any size that every GGUF loader accepts."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import Literal

from gguf import GGUFWriter, TokenType

VocabularyKind = Literal["bpe", "spm"]
_LETTERS = "etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLUCMFWYPVBGKJQXZ0123456789"


@dataclass(frozen=True)
class Vocabulary:
    """What the `tokenizer.ggml.*` keys of a file hold.

    Attributes:
        kind: byte-level BPE ("gpt2" in GGUF) or SentencePiece BPE ("llama" in GGUF).
        pre: the pre-tokenizer of byte-level BPE.
        tokens: the text of each token.
        types: the `TokenType` of each token.
        merges: pairs of byte-level BPE, best first.
        scores: log probabilities of SentencePiece tokens.
        bos_id: the token that begins a text.
        eos_id: the token that ends a text.
    """

    kind: VocabularyKind
    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    scores: list[float]
    bos_id: int
    eos_id: int

    def add_to(self, writer: GGUFWriter) -> None:
        """Write the keys of this vocabulary into the metadata of a file."""
        writer.add_tokenizer_model("gpt2" if self.kind == "bpe" else "llama")
        writer.add_tokenizer_pre(self.pre if self.kind == "bpe" else "default")
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.kind == "bpe":
            writer.add_token_merges(self.merges)
        else:
            writer.add_token_scores(self.scores)
            writer.add_add_space_prefix(True)
        writer.add_bos_token_id(self.bos_id)
        writer.add_eos_token_id(self.eos_id)
        writer.add_add_bos_token(True)


def make_vocabulary(kind: VocabularyKind, size: int, *, special_count: int = 4, pre: str = "llama-bpe") -> Vocabulary:
    """A vocabulary of all bytes, systematic pieces up to `size`, and control tokens.

    Args:
        kind: byte-level BPE or SentencePiece BPE.
        size: how many tokens.
        special_count: control tokens within `size` (byte-level BPE; SentencePiece has its three).
        pre: the pre-tokenizer that a byte-level BPE names.

    Raises:
        ValueError: if the bytes and the control tokens do not fit into `size`.
    """
    if size < 256 + max(special_count, 3):
        raise ValueError(f"a vocabulary of {size} tokens has no room for 256 bytes and the control tokens")
    return _byte_level(size, special_count, pre) if kind == "bpe" else _sentencepiece(size)


def _byte_level(size: int, special_count: int, pre: str) -> Vocabulary:
    merges = list(islice(_merges(), size - special_count - 256))
    tokens = [_byte_letter(byte) for byte in range(256)] + [left + right for left, right in merges]
    types = [int(TokenType.NORMAL)] * len(tokens) + [int(TokenType.CONTROL)] * special_count
    bos_id = len(tokens)
    tokens += [f"<|special_{index}|>" for index in range(special_count)]
    return Vocabulary("bpe", pre, tokens, types, [f"{a} {b}" for a, b in merges], [], bos_id, bos_id + 1)


def _sentencepiece(size: int) -> Vocabulary:
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [int(TokenType.UNKNOWN), int(TokenType.CONTROL), int(TokenType.CONTROL)] + [int(TokenType.BYTE)] * 256
    pieces = ["\u2581", *_LETTERS] + [left + right for left, right in islice(_merges(space="\u2581"), size)]
    tokens += pieces[: size - len(tokens)]
    types += [int(TokenType.NORMAL)] * (size - len(types))
    scores = [0.0] * 259 + [-float(index) for index in range(size - 259)]
    return Vocabulary("spm", "default", tokens, types, [], scores, 1, 2)


def _merges(space: str = "\u0120") -> Iterator[tuple[str, str]]:
    """Pairs whose parts exist before them: all pairs of letters, then letters behind those, and so on."""
    words = [space, *_LETTERS]
    while True:
        longer = []
        for left, right in product(words, _LETTERS):
            yield left, right
            longer.append(left + right)
        words = longer


def _byte_letter(byte: int) -> str:
    """The printable character that stands for a byte in byte-level BPE (the table of GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if byte in printable:
        return chr(byte)
    return chr(256 + [other for other in range(256) if other not in printable].index(byte))
