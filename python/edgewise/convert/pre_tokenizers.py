"""Which pre-tokenizer of GGUF a tokenizer.json means: its steps are compared with those of published models.

Nothing is guessed: other steps are an error that says what to pass. Sources: the tokenizer.json files of the models
that each name comes from, and llama.cpp's expressions for it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from edgewise.errors import UnsupportedError

Step: TypeAlias = tuple[str, str]
"""What a step does and its expression, if it has one."""

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + _REST
_QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + _REST
_LOWER_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
_UPPER_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
_REST_WITH_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = rf"{_LOWER_WORD}|{_UPPER_WORD}|\p{{N}}|{_REST_WITH_SLASH}"
_GPT4O = (
    rf"{_LOWER_WORD}{_CONTRACTIONS}?|{_UPPER_WORD}{_CONTRACTIONS}?|"
    rf"\p{{N}}{{1,3}}|{_REST_WITH_SLASH}"
)
_DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
    r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_BYTES: Step = ("bytes", "")
_GPT2: Step = ("gpt2 words", "")
_DIGIT: Step = ("digits", "")

_NAMES: dict[tuple[Step, ...], str] = {
    (_GPT2,): "gpt-2",
    (_DIGIT, _GPT2): "smollm",
    (("split", _LLAMA3), _BYTES): "dbrx",
    (("split", _QWEN2), _BYTES): "qwen2",
    (("split", _TEKKEN), _BYTES): "tekken",
    (("split", _GPT4O), _BYTES): "gpt-4o",
    (
        ("split", r"[\r\n]"),
        ("split", r"\s?\p{L}+"),
        ("split", r"\s?\p{P}+"),
        ("split", "[一-龥ࠀ-一가-퟿]+"),
        _DIGIT,
        _BYTES,
    ): "deepseek-coder",
    (("split", r"\p{N}{1,3}"), ("split", "[一-龥\u3040-ゟ\u30a0-ヿ]+"), ("split", _DEEPSEEK3), _BYTES): "deepseek-v3",
}
# Where words that the vocabulary has are tokens whatever the merges say.
_NAMES_OF_WHOLE_WORDS = {"dbrx": "llama-bpe", "tekken": "tekken"}


def name_of(tokenizer: dict[str, Any]) -> str:
    """The name for `tokenizer.ggml.pre`.

    Args:
        tokenizer: the object in tokenizer.json; its model is byte-level BPE.

    Raises:
        UnsupportedError: if the steps are not those of a name that is known here.
    """
    steps = tuple(_steps(tokenizer.get("pre_tokenizer")))
    name = _NAMES.get(steps)
    model = tokenizer.get("model")
    if name is not None and isinstance(model, dict) and model.get("ignore_merges") is True:
        name = _NAMES_OF_WHOLE_WORDS.get(name)
    normalizer = tokenizer.get("normalizer")
    kind = normalizer.get("type") if isinstance(normalizer, dict) else None
    if name is None or kind not in (None, "NFC"):
        shown = " > ".join(f"{kind} {expression}".strip() for kind, expression in steps) or "none"
        raise UnsupportedError(
            f"tokenizer.json: its pre-tokenizer is not one that is known here: {shown:.300}",
            hint=f"if you know its name in GGUF, pass it: --pre-tokenizer NAME, such as {', '.join(NAMES)}",
        )
    return name


NAMES = sorted({*_NAMES.values(), *_NAMES_OF_WHOLE_WORDS.values()})


def _steps(entry: Any) -> list[Step]:
    """The steps of a pre-tokenizer, in order; unknown ones by their type."""
    if not isinstance(entry, dict):
        return []
    kind = entry.get("type")
    if kind == "Sequence" and isinstance(entry.get("pretokenizers"), list):
        return [step for part in entry["pretokenizers"] for step in _steps(part)]
    if kind == "ByteLevel" and entry.get("add_prefix_space") is False:
        return [_GPT2 if entry.get("use_regex", True) else _BYTES]
    if kind == "Digits" and entry.get("individual_digits") is True:
        return [_DIGIT]
    pattern = entry.get("pattern")
    if kind == "Split" and isinstance(pattern, dict):
        # With an expression that matches everything, both spellings keep all its matches.
        keeps = (entry.get("behavior"), entry.get("invert")) in (("Isolated", False), ("Removed", True))
        expression = pattern.get("Regex")
        if keeps and isinstance(expression, str):
            return [("split", expression)]
    return [(f"{kind}", "(with other settings)")]
