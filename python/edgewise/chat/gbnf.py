"""Grammars in llama.cpp's GBNF, read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgewise.errors import InvalidArgument

_LARGEST_TEXT = 32_000  # characters
_MOST_RULES = 1_000
_DEEPEST = 100
_MOST_REPETITIONS = 2_000
_LAST = 0x10FFFF
_BLANKS = " \t\r\n"
_NAME = re.compile(r"[A-Za-z0-9_\-]+")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-", "^": "^", "/": "/"}
_HEX = {"x": 2, "u": 4, "U": 8}

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Characters:
    """One character out of some ranges, whose ends belong to them."""

    ranges: Ranges


@dataclass(frozen=True)
class Rule:
    """What the rule of this name says."""

    name: str


@dataclass(frozen=True)
class Sequence:
    """Several things, one after the other; none is the empty text."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of several things."""

    options: tuple[Node, ...]


@dataclass(frozen=True)
class Repetition:
    """Something again and again; `most` None is without end."""

    node: Node
    least: int
    most: int | None


Node = Characters | Rule | Sequence | Choice | Repetition


def parse(text: str) -> dict[str, Node]:
    """The rules of a grammar by name; `root` is among them, and every rule that another names.

    Raises:
        InvalidArgument: naming the line and what is wrong there, or the limit that the grammar exceeds.
    """
    if len(text) > _LARGEST_TEXT:
        raise InvalidArgument(f"grammar: {len(text)} characters; the limit is {_LARGEST_TEXT}")
    rules = _Parser(text).rules()
    if "root" not in rules:
        raise InvalidArgument("grammar: there is no rule `root`, where it begins")
    return rules


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._depth = 0
        self._named: dict[str, int] = {}

    def rules(self) -> dict[str, Node]:
        rules: dict[str, Node] = {}
        self._skip(lines=True)
        while self._place < len(self._text):
            name = self._name()
            self._skip(lines=False)
            self._expect("::=")
            if name in rules:
                raise self._error(f"a second rule {name!r}")
            if len(rules) == _MOST_RULES:
                raise self._error(f"more than {_MOST_RULES} rules")
            self._skip(lines=True)
            rules[name] = self._choice(is_nested=False)
            if self._peek() and self._peek() not in "\r\n":
                raise self._error(f"{self._peek()!r} is not expected here")
            self._skip(lines=True)
        for name, place in self._named.items():
            if name not in rules:
                self._place = place
                raise self._error(f"there is no rule {name!r}")
        return rules

    def _choice(self, *, is_nested: bool) -> Node:
        options = [self._sequence(is_nested=is_nested)]
        while self._peek() == "|":
            self._place += 1
            self._skip(lines=True)
            options.append(self._sequence(is_nested=is_nested))
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self, *, is_nested: bool) -> Node:
        parts: list[Node] = []
        while True:
            node = self._one()
            if node is None:
                break
            self._skip(lines=is_nested)
            parts += self._repeated(node, is_nested=is_nested)
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _one(self) -> Node | None:
        character = self._peek()
        if character == '"':
            return self._literal()
        if character == "[":
            return self._class()
        if character == ".":
            self._place += 1
            return Characters(((0, _LAST),))
        if character == "(":
            return self._group()
        if character in "<!" and character:
            raise self._error("tokens in grammars are not supported")
        if not _NAME.match(character):
            return None
        place = self._place
        name = self._name()
        self._named.setdefault(name, place)
        return Rule(name)

    def _group(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(f"more than {_DEEPEST} brackets inside each other")
        self._place += 1
        self._skip(lines=True)
        node = self._choice(is_nested=True)
        self._expect(")")
        self._depth -= 1
        return node

    def _repeated(self, node: Node, *, is_nested: bool) -> list[Node]:
        """What a node and the signs behind it are; a literal's sign means all of it."""
        while (sign := self._peek()) and sign in "*+?{":
            least, most = self._bounds(sign)
            if max(least, most or 0) > _MOST_REPETITIONS:
                raise self._error(f"more than {_MOST_REPETITIONS} repetitions")
            node = Sequence(()) if most == 0 else Repetition(node, least, most)
            self._skip(lines=is_nested)
        return list(node.parts) if isinstance(node, Sequence) else [node]

    def _bounds(self, sign: str) -> tuple[int, int | None]:
        if sign != "{":
            self._place += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        found = re.compile(r"\{\s*(\d{1,9})\s*(?:(,)\s*(\d{1,9})?\s*)?\}").match(self._text, self._place)
        if found is None:
            raise self._error("a repetition is {2}, {2,} or {2,4}")
        self._place = found.end()
        least = int(found[1])
        most = int(found[3]) if found[3] else None if found[2] else least
        if most is not None and most < least:
            raise self._error("a repetition ends below its beginning")
        return least, most

    def _literal(self) -> Node:
        self._place += 1
        parts: list[Node] = []
        while self._peek() != '"':
            code = self._character()
            parts.append(Characters(((code, code),)))
        self._place += 1
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _class(self) -> Node:
        self._place += 1
        is_negated = self._peek() == "^"
        self._place += is_negated
        ranges: list[tuple[int, int]] = []
        while self._peek() != "]":
            first = last = self._character()
            if self._peek() == "-" and self._text[self._place + 1 : self._place + 2] != "]":
                self._place += 1
                last = self._character()
            if last < first:
                raise self._error("a range ends below its beginning")
            ranges.append((first, last))
        self._place += 1
        chosen = _complement(_merged(ranges)) if is_negated else _merged(ranges)
        if not chosen:
            raise self._error("no character is left in these brackets")
        return Characters(chosen)

    def _character(self) -> int:
        character = self._peek()
        if character in ("", "\n"):
            raise self._error("a text or a class does not end in its line")
        self._place += 1
        if character != "\\":
            return ord(character)
        escape = self._peek()
        self._place += 1
        if escape in _HEX:
            digits = self._text[self._place : self._place + _HEX[escape]]
            if not re.fullmatch(f"[0-9a-fA-F]{{{_HEX[escape]}}}", digits) or int(digits, 16) > _LAST:
                raise self._error(f"\\{escape} needs {_HEX[escape]} hexadecimal digits of a character")
            self._place += len(digits)
            return int(digits, 16)
        if escape not in _ESCAPES:
            raise self._error(f"\\{escape} means nothing")
        return ord(_ESCAPES[escape])

    def _name(self) -> str:
        found = _NAME.match(self._text, self._place)
        if found is None:
            raise self._error("a rule's name is expected here")
        self._place = found.end()
        return found[0]

    def _peek(self) -> str:
        return self._text[self._place : self._place + 1]

    def _expect(self, text: str) -> None:
        if not self._text.startswith(text, self._place):
            raise self._error(f"{text!r} is expected here")
        self._place += len(text)

    def _skip(self, *, lines: bool) -> None:
        """Passes over blanks and comments, and over line breaks where a rule may go on."""
        while character := self._peek():
            if character == "#":
                end = self._text.find("\n", self._place)
                self._place = len(self._text) if end < 0 else end
            elif character in (_BLANKS if lines else " \t"):
                self._place += 1
            else:
                break

    def _error(self, finding: str) -> InvalidArgument:
        line = self._text.count("\n", 0, self._place) + 1
        return InvalidArgument(f"grammar, line {line}: {finding}")


def _merged(ranges: list[tuple[int, int]]) -> Ranges:
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return tuple(result)


def _complement(ranges: Ranges) -> Ranges:
    result: list[tuple[int, int]] = []
    begin = 0
    for first, last in ranges:
        if begin < first:
            result.append((begin, first - 1))
        begin = last + 1
    return (*result, (begin, _LAST)) if begin <= _LAST else tuple(result)
