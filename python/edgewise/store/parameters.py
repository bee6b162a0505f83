"""What a model may say about how it is run: Ollama's options, by name and type."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WHOLE = """
    num_ctx num_keep num_predict num_batch num_gpu main_gpu num_thread draft_num_predict seed top_k repeat_last_n
    mirostat
"""
_NUMBERS = """
    temperature top_p min_p typical_p tfs_z repeat_penalty presence_penalty frequency_penalty mirostat_tau mirostat_eta
"""
_SWITCHES = "use_mmap use_mlock penalize_newline numa low_vram f16_kv vocab_only"

TYPES: dict[str, type] = {
    **dict.fromkeys(_WHOLE.split(), int),
    **dict.fromkeys(_NUMBERS.split(), float),
    **dict.fromkeys(_SWITCHES.split(), bool),
    "stop": list,
}
"""Type of each option's value; that of `stop` is a list of texts."""

_ARTICLES = {int: "a whole number", float: "a number", bool: "true or false", list: "a text or a list of texts"}


def typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Checks options that came as JSON.

    Raises:
        InvalidArgument: naming the option, if one is unknown or has another type.
    """
    return {name: _checked(name, value) for name, value in values.items() if value is not None}


def parsed(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Options from a Modelfile: texts become what their names ask for, and `stop` may come several times.

    Raises:
        InvalidArgument: naming the option, if one is unknown or its text does not fit.
    """
    found: dict[str, Any] = {}
    for name, text in pairs:
        kind = _kind(name)
        if kind is list:
            found.setdefault(name, []).append(text)
        else:
            found[name] = _of_text(name, text, kind)
    return found


def written(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Options as texts: what `parsed` reads."""
    pairs: list[tuple[str, str]] = []
    for name in sorted(values):
        several = values[name] if isinstance(values[name], list) else [values[name]]
        pairs += [(name, str(value).lower() if isinstance(value, bool) else str(value)) for value in several]
    return pairs


def _kind(name: str) -> type:
    if name not in TYPES:
        raise InvalidArgument(f"unknown parameter {name!r}", hint=f"known: {', '.join(TYPES)}")
    return TYPES[name]


def _of_text(name: str, text: str, kind: type) -> Any:
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        return _checked(name, kind(text))
    except (ValueError, KeyError):
        raise InvalidArgument(f"parameter {name} must be {_ARTICLES[kind]}, got {text!r:.60}") from None


def _checked(name: str, value: Any) -> Any:
    kind = _kind(name)
    if kind is list:
        texts = [value] if isinstance(value, str) else value
        if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
            return list(texts)
    elif kind is bool:
        if isinstance(value, bool):
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        if kind is float:
            return float(value)
        if value == int(value):
            return int(value)
    raise InvalidArgument(f"parameter {name} must be {_ARTICLES[kind]}, got {value!r:.60}")
