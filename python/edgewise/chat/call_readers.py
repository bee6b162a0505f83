"""Readers of calls: each follows the text behind an opening mark until it is a call or none."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from edgewise.chat.calls import ARGUMENTS, NAMES, WRAPPERS, calls_in, calls_in_python
from edgewise.chat.json_text import JsonScanner, load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgewise.chat.calls import Call
    from edgewise.chat.tools import Tool

_FIRST_KEY = re.compile(r'\s*(?:\[\s*)?\{\s*"((?:[^"\\]|\\.)*)"')
_BARE_KEYS = frozenset({*NAMES, *ARGUMENTS, *WRAPPERS, "type", "id"})
_CODE_TOOLS = ("python", "code_interpreter", "ipython")
_HEADER = re.compile(r"\s*([\w.\-/:]+)\s*(?:\[CALL_ID\][^\[{]*)?(?:\[ARGS\])?\s*")
_LONGEST_HEADER = 300  # characters, also of a first key


class Verdict(Enum):
    """What a reader says of a character."""

    MORE = "it belongs to the call, which goes on"
    OVER = "it is the last one of the call"
    PASSED = "the call ended before `leftover`, to which it belongs"
    NONE = "this is no call"


class CallReader(Protocol):
    """Follows the text behind an opening mark."""

    @property
    def calls(self) -> list[Call]:
        """The calls that were found."""

    @property
    def leftover(self) -> str:
        """See `Verdict.PASSED`."""

    def feed(self, character: str) -> Verdict:
        """Takes the next character."""

    def end(self) -> bool:
        """The answer ends here; whether that leaves a call."""


class JsonReader:
    """A JSON object or array of calls, then a closing mark that may be missing.

    Args:
        tools: the tools by name.
        closing: marks of which one may follow.
        is_bare: no mark said that a call begins, so the JSON must look like one from its first key on, and name a tool.
    """

    def __init__(self, tools: Mapping[str, Tool], closing: tuple[str, ...] = (), *, is_bare: bool = False) -> None:
        self.calls: list[Call] = []
        self.leftover = ""
        self._tools = tools
        self._closing = closing
        self._is_bare = self._is_key_unknown = is_bare
        self._scanner = JsonScanner()
        self._text = ""
        self._tail = ""

    def feed(self, character: str) -> Verdict:
        """Takes the next character."""
        if self._scanner.is_over:
            return self._feed_tail(character)
        self._text += character
        if not self._scanner.feed(character) or self._is_something_else():
            return Verdict.NONE
        if not self._scanner.is_over:
            return Verdict.MORE
        if not self._read():
            return Verdict.NONE
        return Verdict.MORE if self._closing else Verdict.OVER

    def end(self) -> bool:
        """The answer ends here; whether that leaves a call."""
        return self._scanner.is_over

    def _is_something_else(self) -> bool:
        if not self._is_key_unknown:
            return False
        found = _FIRST_KEY.match(self._text)
        self._is_key_unknown = found is None
        return len(self._text) > _LONGEST_HEADER if found is None else found[1] not in _BARE_KEYS

    def _read(self) -> bool:
        try:
            calls = calls_in(load(self._text))
        except ValueError:
            calls = None
        if calls is None or (self._is_bare and any(name not in self._tools for name, _ in calls)):
            return False
        self.calls = calls
        return True

    def _feed_tail(self, character: str) -> Verdict:
        self._tail += character
        mark = self._tail.lstrip()
        if mark in self._closing:
            return Verdict.OVER
        if any(closing.startswith(mark) for closing in self._closing):
            return Verdict.MORE
        self.leftover = self._tail
        return Verdict.PASSED


class BareListReader:
    """A list that begins an answer: of calls in JSON, or in Python, `[f(a=1), g()]`."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self.calls: list[Call] = []
        self.leftover = ""
        self._tools = tools
        self._json = JsonReader(tools, is_bare=True)
        self._is_decided = self._is_python = False
        self._text = ""
        self._quote = ""
        self._is_escaped = False
        self._depth = 0

    def feed(self, character: str) -> Verdict:
        """Takes the next character."""
        self._text += character
        if self._is_decided:
            return self._feed(character)
        begun = self._text[1:].lstrip()
        if not begun:
            return Verdict.MORE
        self._is_decided = True
        self._is_python = begun[0].isalpha() or begun[0] == "_"
        return [self._feed(one) for one in self._text][-1]

    def end(self) -> bool:
        """The answer ends here; whether that leaves a call."""
        return False

    def _feed(self, character: str) -> Verdict:
        if self._is_python:
            return self._feed_python(character)
        verdict = self._json.feed(character)
        self.calls = self._json.calls
        return verdict

    def _feed_python(self, character: str) -> Verdict:
        """Counts brackets outside of strings."""
        if self._quote:
            if self._is_escaped or character == "\\":
                self._is_escaped = not self._is_escaped
            elif character == self._quote:
                self._quote = ""
            return Verdict.MORE
        if character in "'\"":
            self._quote = character
        self._depth += (character in "([{") - (character in ")]}")
        if self._depth > 0:
            return Verdict.MORE
        calls = calls_in_python(self._text, {name: tool.parameters for name, tool in self._tools.items()})
        if calls is None or any(name not in self._tools for name, _ in calls):
            return Verdict.NONE
        self.calls = calls
        return Verdict.OVER


class UntilReader:
    """Everything up to a closing mark, which a function reads.

    Args:
        closing: the mark; the end of the answer does as well.
        read: the text before the mark to calls, or None if it holds none.
    """

    def __init__(self, closing: str, read: Callable[[str], list[Call] | None]) -> None:
        self.calls: list[Call] = []
        self.leftover = ""
        self._closing = closing
        self._read = read
        self._text = ""

    def feed(self, character: str) -> Verdict:
        """Takes the next character."""
        self._text += character
        if not self._text.endswith(self._closing):
            return Verdict.MORE
        return Verdict.OVER if self._take(self._text.removesuffix(self._closing)) else Verdict.NONE

    def end(self) -> bool:
        """The answer ends here; whether that leaves a call."""
        return self._take(self._text)

    def _take(self, text: str) -> bool:
        self.calls = self._read(text) or []
        return bool(self.calls)


class EitherReader:
    """JSON if it begins with a bracket, else what another reader makes of it.

    Args:
        json: reads JSON.
        other: reads anything else.
    """

    def __init__(self, json: JsonReader, other: CallReader) -> None:
        self._reader: CallReader | None = None
        self._json = json
        self._other = other

    @property
    def calls(self) -> list[Call]:
        """The calls that were found."""
        return self._reader.calls if self._reader else []

    @property
    def leftover(self) -> str:
        """See `Verdict.PASSED`."""
        return self._reader.leftover if self._reader else ""

    def feed(self, character: str) -> Verdict:
        """Takes the next character."""
        if self._reader is None:
            if character.isspace():
                return Verdict.MORE
            self._reader = self._json if character in "{[" else self._other
        return self._reader.feed(character)

    def end(self) -> bool:
        """The answer ends here; whether that leaves a call."""
        return self._reader is not None and self._reader.end()


class NamedReader:
    """A name and then its arguments: `name[ARGS]{...}`, also with `[CALL_ID]...` between."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.leftover = ""
        self._header = ""
        self._name = ""
        self._scanner = JsonScanner()
        self._text = ""

    def feed(self, character: str) -> Verdict:
        """Takes the next character."""
        if not self._name:
            if character != "{":
                self._header += character
                return Verdict.MORE if len(self._header) <= _LONGEST_HEADER else Verdict.NONE
            found = _HEADER.fullmatch(self._header)
            if found is None:
                return Verdict.NONE
            self._name = found[1]
        self._text += character
        if not self._scanner.feed(character):
            return Verdict.NONE
        if not self._scanner.is_over:
            return Verdict.MORE
        try:
            self.calls = [(self._name, load(self._text))]
        except ValueError:
            return Verdict.NONE
        return Verdict.OVER

    def end(self) -> bool:
        """The answer ends here; whether that leaves a call."""
        return False


def python_calls(tools: Mapping[str, Tool]) -> Callable[[str], list[Call] | None]:
    """Reads a Python expression; other code is a call of the tool that runs code, where one is offered."""

    def read(text: str) -> list[Call] | None:
        calls = calls_in_python(text, {name: tool.parameters for name, tool in tools.items()})
        runner = next((name for name in _CODE_TOOLS if name in tools), None)
        if runner is not None and text.strip() and (calls is None or any(name not in tools for name, _ in calls)):
            return [(runner, {"code": text.strip()})]
        return calls

    return read
