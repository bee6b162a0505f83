"""tokenizer.json with a WordPiece vocabulary, in the spelling of GGUF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgewise.convert.tokenizer_json import AddedToken, read_added, read_template
from edgewise.errors import ModelFileError, UnsupportedError

_BEGINS_WORD = "\u2581"
_GOES_ON = "##"
# What engines take for granted of WordPiece files.
_MEANT: tuple[tuple[str, str, Any], ...] = (
    ("model", "continuing_subword_prefix", _GOES_ON),
    ("model", "max_input_chars_per_word", 100),
    ("normalizer", "type", "BertNormalizer"),
    ("normalizer", "clean_text", True),
    ("normalizer", "handle_chinese_chars", True),
    ("pre_tokenizer", "type", "BertPreTokenizer"),
)


@dataclass(frozen=True)
class WordPieceJson:
    """What a tokenizer.json holds.

    Attributes:
        tokens: ids by texts, as GGUF spells them: what begins a word has U+2581 in front.
        unknown: the text of the token for words that cannot be cut.
        added: the added tokens.
        first: the text of the token before a text.
        last: the text of the token behind it.
        lowercases: whether text is put into lower case.
        strips_accents: whether accents go.
    """

    tokens: dict[str, int]
    unknown: str
    added: list[AddedToken]
    first: str
    last: str
    lowercases: bool
    strips_accents: bool


def is_wordpiece(values: dict[str, Any]) -> bool:
    """Whether the object in a tokenizer.json is of this kind."""
    model = values.get("model")
    return isinstance(model, dict) and model.get("type") == "WordPiece"


def read_wordpiece(values: dict[str, Any]) -> WordPieceJson:
    """Reads the object in a tokenizer.json.

    Raises:
        ModelFileError: if a part is missing or malformed.
        UnsupportedError: if it prepares text in a way that GGUF files cannot say.
    """
    for step, name, meant in _MEANT:
        found = (values.get(step) or {}).get(name)
        if found != meant:
            raise UnsupportedError(
                f'tokenizer.json: "{name}" of its {step} is {found!r:.40}; GGUF files mean {meant!r}'
            )
    model, normalizer = values["model"], values["normalizer"]
    tokens = model.get("vocab")
    if not isinstance(tokens, dict) or not all(type(token) is int and token >= 0 for token in tokens.values()):
        raise ModelFileError('tokenizer.json: "vocab" is not an object of token ids')
    added = [read_added(entry) for entry in values.get("added_tokens") or []]
    whole = {token.text for token in added}
    spelled = {_spelled(text, whole): token for text, token in tokens.items()}
    if len(spelled) != len(tokens):
        raise UnsupportedError("tokenizer.json: two tokens of the vocabulary are one as GGUF files spell them")
    unknown, lowercases = model.get("unk_token"), normalizer.get("lowercase", True)
    if unknown not in tokens:
        raise ModelFileError(
            f"tokenizer.json: {unknown!r:.40}, the token for what is unknown, is not in its vocabulary"
        )
    first, last = _ends(values.get("post_processor"))
    for text in (first, last):
        if text not in tokens:
            raise UnsupportedError("tokenizer.json: texts do not stand between two tokens, as GGUF files mean")
    accents = normalizer.get("strip_accents")
    strips = lowercases if accents is None else accents
    return WordPieceJson(spelled, unknown, added, first, last, lowercases is True, strips is True)


def _spelled(text: str, whole: set[str]) -> str:
    """A token's text in GGUF. Special tokens stay as they are, and so does what looks like one."""
    if text in whole or (text.startswith("[") and text.endswith("]") and len(text) > 2):
        return text
    return text.removeprefix(_GOES_ON) if text.startswith(_GOES_ON) and text != _GOES_ON else _BEGINS_WORD + text


def _ends(processor: Any) -> tuple[str, str]:
    """The tokens before and behind a text; empty where there are none, or more."""
    match processor:
        case {"type": "BertProcessing", "cls": [str(first), _], "sep": [str(last), _]}:
            return first, last
    before, after = read_template(processor)
    return (before[0], after[0]) if before and after and len(before) == len(after) == 1 else ("", "")
