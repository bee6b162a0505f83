"""tokenizer.json: a vocabulary as the `tokenizers` library stores it, as byte-level BPE or as SentencePiece's BPE."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgewise.errors import ModelFileError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLANK = "\u2581"


@dataclass(frozen=True)
class AddedToken:
    """A token that is found in text before anything else."""

    id: int
    text: str
    is_special: bool
    strips_right: bool


@dataclass(frozen=True)
class TokenizerJson:
    """What a tokenizer.json holds.

    Attributes:
        kind: `bytes` is byte-level BPE, `spm` is BPE that falls back to bytes, as it comes from SentencePiece.
        tokens: ids of all token texts, those that were added aside.
        merges: pairs of texts, best first.
        unknown: the text of the token for what is unknown, if there is one.
        added: the added tokens.
        adds_blank: whether a blank goes before a text.
        before: texts of the special tokens that go before a text; None if that is not said.
        after: texts of those that go after it; None if that is not said.
    """

    kind: Literal["bytes", "spm"]
    tokens: dict[str, int]
    merges: list[tuple[str, str]]
    unknown: str | None
    added: list[AddedToken]
    adds_blank: bool
    before: list[str] | None
    after: list[str] | None


def read_tokenizer(values: dict[str, Any]) -> TokenizerJson:
    """Reads the object in a tokenizer.json.

    Raises:
        ModelFileError: if a part is missing or malformed.
        UnsupportedError: if it is no byte-pair encoding.
    """
    model = values.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict | list):
        raise ModelFileError('tokenizer.json: "model" has no "vocab"')
    # Old files do not name their model; only BPE has merges.
    kind = model.get("type") or ("BPE" if "merges" in model else None)
    if kind != "BPE" or not isinstance(model["vocab"], dict):
        raise UnsupportedError(f"tokenizer.json: a {kind} tokenizer; byte-pair encodings and WordPiece are converted")
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise UnsupportedError(f'tokenizer.json: "{name}" is {model[name]!r:.20}, which GGUF files cannot say')
    tokens = model["vocab"]
    if not all(type(token) is int and token >= 0 for token in tokens.values()):
        raise ModelFileError('tokenizer.json: "vocab" has ids that are no whole numbers')
    before, after = read_template(values.get("post_processor"))
    return TokenizerJson(
        "spm" if model.get("byte_fallback") else "bytes",
        tokens,
        [_merge(merge) for merge in model.get("merges") or []],
        model.get("unk_token"),
        [read_added(entry) for entry in values.get("added_tokens") or []],
        _adds_blank(values),
        before,
        after,
    )


def scores(tokenizer: TokenizerJson) -> dict[str, float]:
    """A score for each text, so that merging what scores best gives the tokens that the merges give.

    SentencePiece joins whatever two neighbours make a token. The merges say the same if all splits of a token into two
    others are among them, which is how they were made from a SentencePiece model.

    Raises:
        UnsupportedError: if some are not: then no scores give the same tokens.
    """
    found: dict[str, float] = {}
    for rank, (left, right) in enumerate(tokenizer.merges):
        found.setdefault(left + right, -float(rank))
    merges = set(tokenizer.merges)
    added = {token.text for token in tokenizer.added}
    for text in found:
        for split in range(1, len(text)):
            left, right = text[:split], text[split:]
            are_tokens = left in tokenizer.tokens and right in tokenizer.tokens
            if are_tokens and (left, right) not in merges and not added & {left, right}:
                raise UnsupportedError(
                    f"tokenizer.json: {left!r:.20} and {right!r:.20} do not merge to the token {text!r:.40}: "
                    "it was not made from a SentencePiece model, and GGUF files cannot say it",
                    hint="put the tokenizer.model that belongs to it into the folder, if there is one",
                )
    return found


def _merge(entry: Any) -> tuple[str, str]:
    """A pair, as a list or as one text with a blank between."""
    if isinstance(entry, str):
        left, _, right = entry.partition(" ")
        entry = [left, right]
    match entry:
        case [str(left), str(right)] if left and right:
            return left, right
    raise ModelFileError(f"tokenizer.json: {entry!r:.60} among the merges is no pair of texts")


def read_added(entry: Any) -> AddedToken:
    """An added token.

    Raises:
        ModelFileError: if the entry is malformed.
    """
    match entry:
        case {"id": int(token), "content": str(text)} if token >= 0:
            return AddedToken(token, text, entry.get("special") is True, entry.get("rstrip") is True)
    raise ModelFileError(f"tokenizer.json: {entry!r:.60} among the added tokens has no id and content")


def _adds_blank(values: dict[str, Any]) -> bool:
    for step in (*_flat(values.get("normalizer"), "normalizers"), *_flat(values.get("pre_tokenizer"), "pretokenizers")):
        if step.get("type") == "Prepend" and step.get("prepend") == _BLANK:
            return True
        if step.get("type") == "Metaspace":
            scheme = step.get("prepend_scheme")
            return scheme != "never" if scheme else step.get("add_prefix_space") is True
    return False


def read_template(processor: Any) -> tuple[list[str] | None, list[str] | None]:
    """The special tokens before and after a text."""
    for step in _flat(processor, "processors"):
        single = step.get("single")
        if step.get("type") == "TemplateProcessing" and isinstance(single, list):
            parts = [next(iter(part.items())) for part in single if isinstance(part, dict) and part]
            names = [kind for kind, _ in parts]
            middle = names.index("Sequence") if "Sequence" in names else len(parts)
            texts = [str(part.get("id")) if isinstance(part, dict) else "" for _, part in parts]
            return texts[:middle], texts[middle + 1 :]
    return None, None


def _flat(entry: Any, within: str) -> Iterator[dict[str, Any]]:
    """An entry, or the entries of a sequence."""
    if isinstance(entry, dict):
        if entry.get("type") == "Sequence" and isinstance(entry.get(within), list):
            for part in entry[within]:
                yield from _flat(part, within)
        else:
            yield entry


BYTE = re.compile(r"<0x[0-9A-F]{2}>")
"""How a token for a single byte is written."""
