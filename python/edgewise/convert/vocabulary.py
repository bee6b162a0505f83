"""The tokenizer of a model folder, as the metadata of a GGUF file."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from edgewise.convert import pre_tokenizers
from edgewise.convert.fields import read_json, read_json_if_there
from edgewise.convert.sentencepiece import read_model
from edgewise.convert.special_tokens import special_metadata
from edgewise.convert.tokenizer_json import BYTE, AddedToken, TokenizerJson, read_tokenizer, scores
from edgewise.convert.wordpiece import WordPieceJson, is_wordpiece, read_wordpiece
from edgewise.errors import ModelFileError, SystemRefused

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edgewise.convert.metadata import Metadata

_BLANK = "\u2581"
_LOWEST = -1000.0  # the score of tokens that are not found by merging, as converters of the field write it
_UNUSED_NAMES = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")


class TokenType(IntEnum):
    """What a token is, as GGUF numbers it."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass
class Vocabulary:
    """The tokens of a model; both lists have one entry for each.

    Attributes:
        tokens: their texts.
        types: what they are.
        metadata: the keys that say how text becomes tokens.
        before: texts of the special tokens that go before a text; None if that is not said.
        after: texts of those that go after it; None if that is not said.
        special: ids of tokens by role, where the tokenizer itself knows them.
        strips: whether some tokens take in the white space behind them.
        ignored: how many added tokens the model has no room for.
    """

    tokens: list[str]
    types: list[TokenType]
    metadata: Metadata
    before: list[str] | None = None
    after: list[str] | None = None
    special: dict[str, int] = field(default_factory=dict)
    strips: bool = False
    ignored: int = 0


def tokenizer_metadata(folder: Path, size: int, pre_tokenizer: str | None = None) -> tuple[Metadata, Vocabulary]:
    """All keys below `tokenizer`.

    Args:
        folder: the model folder.
        size: tokens that the model has.
        pre_tokenizer: name of the pre-tokenizer, where tokenizer.json has one that is not known here.

    Raises:
        ModelFileError: if there is no tokenizer, a part of it is malformed, or it has more tokens than the model.
        UnsupportedError: if it is of a kind that GGUF files cannot say, or its pre-tokenizer is unknown.
    """
    vocabulary = _read(folder, size, pre_tokenizer)
    metadata = dict(vocabulary.metadata)
    metadata["tokenizer.ggml.tokens"] = vocabulary.tokens
    metadata["tokenizer.ggml.token_type"] = [int(kind) for kind in vocabulary.types]
    metadata |= special_metadata(folder, vocabulary)
    return metadata, vocabulary


def _read(folder: Path, size: int, pre_tokenizer: str | None) -> Vocabulary:
    path, model_path = folder / "tokenizer.json", folder / "tokenizer.model"
    values = read_json(path) if path.exists() else None
    if values is not None and is_wordpiece(values):
        return _from_wordpiece(read_wordpiece(values), size)
    tokenizer = None if values is None else read_tokenizer(values)
    if values is not None and tokenizer is not None and tokenizer.kind == "bytes":
        return _from_bytes(tokenizer, size, pre_tokenizer or pre_tokenizers.name_of(values))
    if model_path.exists():
        try:
            data = model_path.read_bytes()
        except OSError as error:
            raise SystemRefused(f"{model_path} cannot be read: {error}") from error
        return _from_sentencepiece(data, folder, size, tokenizer)
    if tokenizer is None:
        raise ModelFileError(f"{folder} has no tokenizer: tokenizer.json or tokenizer.model is needed")
    return _from_fallback(tokenizer, size)


def _from_bytes(tokenizer: TokenizerJson, size: int, pre: str) -> Vocabulary:
    """Byte-level BPE."""
    vocabulary = _empty(size, {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre})
    for text, token in tokenizer.tokens.items():
        _put(vocabulary, token, text, TokenType.NORMAL)
    known = tokenizer.tokens.keys() | {token.text for token in tokenizer.added}
    for left, right in tokenizer.merges:
        if not {left, right, left + right} <= known:
            raise ModelFileError(f"tokenizer.json: the merge {left!r:.30} {right!r:.30} is not one of tokens")
    vocabulary.metadata["tokenizer.ggml.merges"] = [f"{left} {right}" for left, right in tokenizer.merges]
    _add(vocabulary, tokenizer.added)
    _take_template(vocabulary, tokenizer)
    return vocabulary


def _from_wordpiece(tokenizer: WordPieceJson, size: int) -> Vocabulary:
    """WordPiece."""
    vocabulary = _empty(size, {"tokenizer.ggml.model": "bert", "tokenizer.ggml.pre": "default"})
    for text, token in tokenizer.tokens.items():
        _put(vocabulary, token, text, TokenType.UNKNOWN if text == tokenizer.unknown else TokenType.NORMAL)
    _add(vocabulary, tokenizer.added)
    vocabulary.before, vocabulary.after = [tokenizer.first], [tokenizer.last]
    ids = {role: tokenizer.tokens[getattr(tokenizer, role)] for role in ("first", "last", "unknown")}
    vocabulary.special = {"bos": ids["first"], "sep": ids["last"], "unk": ids["unknown"]}
    vocabulary.metadata |= {
        "tokenizer.ggml.cls_token_id": ids["first"],
        "tokenizer.ggml.normalizer.lowercase": tokenizer.lowercases,
        "tokenizer.ggml.normalizer.strip_accents": tokenizer.strips_accents,
    }
    return vocabulary


def _from_sentencepiece(data: bytes, folder: Path, size: int, tokenizer: TokenizerJson | None) -> Vocabulary:
    """A tokenizer.model, and the tokens that were added beside it."""
    model = read_model(data, str(folder / "tokenizer.model"))
    vocabulary = _empty(size, _SPM | {"tokenizer.ggml.add_space_prefix": model.adds_blank})
    found = [_LOWEST] * size
    for token, piece in enumerate(model.pieces):
        _put(vocabulary, token, piece.text, TokenType(piece.type))
        found[token] = piece.score
    vocabulary.special = model.special
    _add(vocabulary, _added_beside(folder) if tokenizer is None else tokenizer.added)
    if tokenizer is not None:
        _take_template(vocabulary, tokenizer)
    vocabulary.metadata["tokenizer.ggml.scores"] = found
    return vocabulary


def _from_fallback(tokenizer: TokenizerJson, size: int) -> Vocabulary:
    """A tokenizer.json that was made from a SentencePiece model."""
    vocabulary = _empty(size, _SPM | {"tokenizer.ggml.add_space_prefix": tokenizer.adds_blank})
    by_text = scores(tokenizer)
    found = [_LOWEST] * size
    lowest = -float(len(tokenizer.merges))
    for text, token in tokenizer.tokens.items():
        kind = TokenType.BYTE if BYTE.fullmatch(text) else TokenType.NORMAL
        _put(vocabulary, token, text, TokenType.UNKNOWN if text == tokenizer.unknown else kind)
        found[token] = by_text.get(text, lowest)
    _add(vocabulary, tokenizer.added)
    _take_template(vocabulary, tokenizer)
    vocabulary.metadata["tokenizer.ggml.scores"] = found
    return vocabulary


_SPM: Metadata = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default"}


def _empty(size: int, metadata: Metadata) -> Vocabulary:
    """Rows of the embedding that no token has get names, as engines need one for each."""
    return Vocabulary([f"[PAD{token}]" for token in range(size)], [TokenType.UNUSED] * size, dict(metadata))


def _put(vocabulary: Vocabulary, token: int, text: str, kind: TokenType) -> None:
    if token >= len(vocabulary.tokens):
        raise ModelFileError(
            f"the tokenizer has a token {token}, {text!r:.40}; config.json says that there are {len(vocabulary.tokens)}"
        )
    vocabulary.tokens[token], vocabulary.types[token] = text, kind


def _add(vocabulary: Vocabulary, added: Iterable[AddedToken]) -> None:
    for token in added:
        if token.id >= len(vocabulary.tokens):
            vocabulary.ignored += 1  # some models name tokens for pictures that the text model has not
            continue
        vocabulary.strips |= token.strips_right
        if (
            vocabulary.types[token.id] in (TokenType.UNKNOWN, TokenType.BYTE)
            and vocabulary.tokens[token.id] == token.text
        ):
            continue
        if token.is_special or _looks_special(token.text):
            _put(vocabulary, token.id, token.text, TokenType.CONTROL)
        else:  # compared with text as it is, whose blanks are blanks
            _put(vocabulary, token.id, token.text.replace(_BLANK, " "), TokenType.USER_DEFINED)


def _looks_special(text: str) -> bool:
    """Whether a text is written as only control tokens are; files say so inconsistently."""
    brackets = (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))
    return text in _UNUSED_NAMES or any(text.startswith(left) and text.endswith(right) for left, right in brackets)


def _take_template(vocabulary: Vocabulary, tokenizer: TokenizerJson) -> None:
    vocabulary.before, vocabulary.after = tokenizer.before, tokenizer.after


def _added_beside(folder: Path) -> list[AddedToken]:
    """Added tokens of a folder without tokenizer.json: tokenizer_config.json has them, or added_tokens.json."""
    older: dict[str, Any] = read_json_if_there(folder / "added_tokens.json")
    found = {token: AddedToken(token, text, False, False) for text, token in older.items() if type(token) is int}
    entries = read_json_if_there(folder / "tokenizer_config.json").get("added_tokens_decoder")
    for key, entry in entries.items() if isinstance(entries, dict) else ():
        match entry:
            case {"content": str(text)} if key.isdecimal():
                is_special, strips = entry.get("special") is True, entry.get("rstrip") is True
                found[int(key)] = AddedToken(int(key), text, is_special, strips)
    return list(found.values())
