"""Calls that are written with tags of their own around each part, not as JSON."""

# ruff: noqa: RUF001, RUF002  DeepSeek's marks have wide bars

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from edgewise.chat.json_text import load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgewise.chat.calls import Call
    from edgewise.chat.tools import Tool

_FUNCTION = re.compile(r"\s*<function=([^>\s]+)>(.*?)(?:</function>\s*|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"\s*<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
_PAIRS = re.compile(r"\s*<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_DEEPSEEK = re.compile(
    r"\s*<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>([^\n]+)\n```json\n(.*?)\n```|(.*?)<｜tool▁sep｜>(.*?))<｜tool▁call▁end｜>\s*",
    re.DOTALL,
)
_CALL = re.compile(r"\s*call:([\w.\-]+)(\{.*\})\s*", re.DOTALL)
_BARE_KEY = re.compile(r"([{,]\s*)([A-Za-z_][\w.\-]*)(\s*:)")


def xml_calls(tools: Mapping[str, Tool]) -> Callable[[str], list[Call] | None]:
    """Reads `<function=name><parameter=key>value</parameter></function>` and `name<arg_key>...<arg_value>...`."""

    def read(text: str) -> list[Call] | None:
        if text.lstrip().startswith("<function="):
            return _functions(text, tools)
        name, mark, _ = text.partition("<arg_key>")
        name = name.strip()
        if not re.fullmatch(r"[\w.\-]+", name):
            return None
        return _one(name, _PAIRS, text[text.index(mark) :] if mark else "", tools)

    return read


def deepseek_calls(text: str) -> list[Call] | None:
    """Reads calls between `<｜tool▁call▁begin｜>` and `<｜tool▁call▁end｜>`."""
    calls: list[Call] = []
    place = 0
    while found := _DEEPSEEK.match(text, place):
        place = found.end()
        try:
            arguments = load(found[2] or found[4] or "")
        except ValueError:
            return None
        if not isinstance(arguments, dict):
            return None
        calls.append(((found[1] or found[3] or "").strip(), arguments))
    return calls if place == len(text) and all(name for name, _ in calls) else None


def quoted_calls(quote: str) -> Callable[[str], list[Call] | None]:
    """Reads `call:name{key:value}`, whose texts stand between two of `quote`."""

    def read(text: str) -> list[Call] | None:
        found = _CALL.fullmatch(text)
        if found is None:
            return None
        parts = found[2].split(quote)
        if len(parts) % 2 == 0:
            return None
        for index, part in enumerate(parts):
            parts[index] = json.dumps(part) if index % 2 else _BARE_KEY.sub(r'\1"\2"\3', part)
        try:
            arguments = load("".join(parts))
        except ValueError:
            return None
        return [(found[1], arguments)] if isinstance(arguments, dict) else None

    return read


def _functions(text: str, tools: Mapping[str, Tool]) -> list[Call] | None:
    calls: list[Call] = []
    place = 0
    while found := _FUNCTION.match(text, place):
        place = found.end()
        one = _one(found[1], _PARAMETER, found[2], tools)
        if one is None:
            return None
        calls += one
    return calls if not text[place:].strip() else None


def _one(name: str, pattern: re.Pattern[str], text: str, tools: Mapping[str, Tool]) -> list[Call] | None:
    arguments: dict[str, Any] = {}
    place = 0
    while found := pattern.match(text, place):
        place = found.end()
        key = found[1].strip()
        is_text = name in tools and tools[name].is_text(key)
        arguments[key] = found[2] if is_text else _value(found[2])
    return [(name, arguments)] if not text[place:].strip() else None


def _value(text: str) -> Any:
    try:
        return load(text)
    except ValueError:
        return text
