"""JSON inside other text: where a value ends, told character by character, and what it says."""

from __future__ import annotations

import json
from typing import Any, NoReturn

_DEEPEST = 100
_BLANKS = " \t\r\n"
_SCALAR = frozenset("+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def shown(value: Any, most: int = 80) -> str:
    """A value as an error shows it to whoever sent it: as JSON, its beginning if it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (TypeError, ValueError, RecursionError):  # of a caller in Python: it is no JSON
        text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


class JsonScanner:
    """Follows one object or array.

    It tells at the first character that cannot be part of it, except within numbers and words, which `load` checks.
    """

    def __init__(self) -> None:
        self._open: list[str] = []
        self._expects = "value"
        self._string: str | None = None  # `key` or `value`, while inside one
        self._is_escaped = False
        self.is_over = False

    def feed(self, character: str) -> bool:
        """Takes the next character; False if no JSON continues so."""
        if self._string is not None:
            self._feed_string(character)
            return True
        if self._expects == "scalar":
            if character in _SCALAR:
                return True
            self._expects = "comma"
        if character in _BLANKS:
            return True
        return self._feed_structure(character)

    def _feed_string(self, character: str) -> None:
        if self._is_escaped:
            self._is_escaped = False
        elif character == "\\":
            self._is_escaped = True
        elif character == '"':
            self._expects = "colon" if self._string == "key" else "comma"
            self._string = None

    def _feed_structure(self, character: str) -> bool:
        expects = self._expects
        if expects in ("value", "first value"):
            return self._feed_value(character)
        if expects in ("key", "first key"):
            if character == '"':
                self._string = "key"
                return True
            return expects == "first key" and self._close(character)
        if expects == "colon":
            self._expects = "value"
            return character == ":"
        if character == ",":
            self._expects = "key" if self._open[-1] == "{" else "value"
            return True
        return self._close(character)

    def _feed_value(self, character: str) -> bool:
        if character in "{[":
            self._open.append(character)
            self._expects = "first key" if character == "{" else "first value"
            return len(self._open) <= _DEEPEST
        if not self._open:
            return False
        if character == '"':
            self._string = "value"
            return True
        if character == "]":
            return self._expects == "first value" and self._close(character)
        self._expects = "scalar"
        return character in _SCALAR

    def _close(self, character: str) -> bool:
        if not self._open or character != {"{": "}", "[": "]"}[self._open[-1]]:
            return False
        self._open.pop()
        self._expects = "comma"
        self.is_over = not self._open
        return True


def load(text: str) -> Any:
    """The value of a JSON text, also of one with line breaks inside strings, which models write.

    Raises:
        ValueError: if it is none.
    """
    try:
        value = json.loads(text, strict=False, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return _whole_characters(value) if "\\u" in text else value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _whole_characters(value: Any) -> Any:
    """Halves of characters, which JSON can write and UTF-8 cannot, become U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole_characters(item) for item in value]
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(item) for key, item in value.items()}
    return value
