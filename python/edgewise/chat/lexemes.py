"""From GBNF to the Lark dialect of llguidance, without changing the language.

llguidance parses lexemes (regular expressions), and each takes as many characters as it can. GBNF knows no such rule:
after `[a-z]+` a `"b"` may follow. So as much of a grammar becomes one lexeme as can without that mattering, since long
lexemes are fast; what would take characters that belong to its successor is taken apart, in the end into single ones.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.chat.gbnf import Characters, Choice, Repetition, Rule, Sequence
from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgewise.chat.gbnf import Node, Ranges

_MOST_POSITIONS = 3_000  # characters in one lexeme, repetitions written out
_MOST_STEPS = 1_000_000  # of comparing lexemes
_SURROGATES = (0xD800, 0xDFFF)


def to_lark(rules: dict[str, Node]) -> str:
    """A grammar for llguidance of the same texts.

    Raises:
        InvalidArgument: if it is too large to be compared with itself.
    """
    try:
        return _Translation(rules).lark()
    except RecursionError:
        raise InvalidArgument("grammar: its rules name each other in too long a chain") from None


@dataclass(frozen=True)
class _Automaton:
    """A lexeme's characters by position (Glushkov): which come first, which may be last, which follow which."""

    characters: list[Ranges]
    is_nullable: bool
    first: frozenset[int]
    last: frozenset[int]
    following: list[set[int]]


class _TooLarge(Exception):
    """A lexeme has too many positions."""


class _Translation:
    def __init__(self, rules: dict[str, Node]) -> None:
        self._rules = rules
        self._recursive = _recursive_rules(rules)
        self._apart: set[Node] = set()  # nodes that cannot be lexemes
        self._automata: dict[Node, _Automaton] = {}
        self._regular: dict[Node, bool] = {}
        self._steps = 0

    def lark(self) -> str:
        root: Node = Rule("root")
        if "root" not in self._recursive and self._automaton(root) is not None:
            return f"start: {self._terminal(root)}\n"
        while self._take_apart():
            pass
        lexemes: dict[Node, str] = {}
        names = {name: f"r{index}" for index, name in enumerate(self._rules)}
        lines = [f"start: {names['root']}"]
        for name in self._reachable():
            lines.append(f"{names[name]}: {self._written(self._rules[name], names, lexemes)}")
        lines += [f"{name}: {self._terminal(node)}" for node, name in lexemes.items()]
        return "\n".join(lines) + "\n"

    # What is a lexeme

    def _is_lexeme(self, node: Node) -> bool:
        return node not in self._apart and self._is_regular(node) and self._automaton(node) is not None

    def _is_regular(self, node: Node) -> bool:
        if node not in self._regular:
            is_flat = not isinstance(node, Rule) or node.name not in self._recursive
            self._regular[node] = is_flat and all(self._is_regular(child) for child in _children(node))
        return self._regular[node]

    def _parts(self, sequence: Sequence) -> list[Node]:
        """The parts of a sequence, neighbours that make a lexeme together as one."""
        result: list[Node] = []
        run: list[Node] = []
        for part in (*sequence.parts, None):
            if part is not None and self._is_lexeme(part):
                run.append(part)
                continue
            together = Sequence(tuple(run))
            result += [together] if len(run) > 1 and together != sequence and self._is_lexeme(together) else run
            run = []
            if part is not None:
                result.append(part)
        return result

    def _pieces(self, node: Node) -> list[Node]:
        """What a node that is no lexeme consists of."""
        return self._parts(node) if isinstance(node, Sequence) else list(_children(node))

    def _reachable(self) -> list[str]:
        """Rules that are not inside of lexemes alone."""
        found = ["root"]
        for name in found:
            for node in self._walk(self._rules[name]):
                if isinstance(node, Rule) and not self._is_lexeme(node) and node.name not in found:
                    found.append(node.name)
        return found

    def _walk(self, node: Node) -> Iterator[Node]:
        """A node and those inside it, down to the lexemes."""
        yield node
        if not self._is_lexeme(node):
            for piece in self._pieces(node):
                yield from self._walk(piece)

    # Which lexemes cannot be

    def _take_apart(self) -> bool:
        """Finds lexemes that would take what belongs to another's successor; whether there were any."""
        begins = self._begins()
        after: dict[Node, set[Ranges]] = {}
        ends: dict[str, set[Ranges]] = {name: set() for name in self._rules}
        while True:
            before = sum(map(len, after.values())) + sum(map(len, ends.values()))
            for name in self._reachable():
                self._follow(self._rules[name], ends[name], begins, after, ends)
            if sum(map(len, after.values())) + sum(map(len, ends.values())) == before:
                break
        greedy = {
            other
            for lexeme, successors in after.items()
            for other in after
            if not isinstance(other, Characters) and self._takes(lexeme, other, successors)
        }
        self._apart |= greedy
        return bool(greedy)

    def _follow(
        self,
        node: Node,
        successors: set[Ranges],
        begins: dict[str, tuple[bool, set[Ranges]]],
        after: dict[Node, set[Ranges]],
        ends: dict[str, set[Ranges]],
    ) -> None:
        """Notes what may come after each lexeme inside a node, given what may come after the node."""
        if self._is_lexeme(node):
            after.setdefault(node, set()).update(successors)
        elif isinstance(node, Rule):
            ends[node.name].update(successors)
        elif isinstance(node, Repetition):
            again = self._begin(node.node, begins)[1] if node.most != 1 else set()
            self._follow(node.node, successors | again, begins, after, ends)
        elif isinstance(node, Choice):
            for option in node.options:
                self._follow(option, successors, begins, after, ends)
        else:
            for part in reversed(self._pieces(node)):
                self._follow(part, successors, begins, after, ends)
                is_nullable, first = self._begin(part, begins)
                successors = successors | first if is_nullable else first

    def _begins(self) -> dict[str, tuple[bool, set[Ranges]]]:
        """Of every rule: whether it may be empty, and with which characters it may begin."""
        begins: dict[str, tuple[bool, set[Ranges]]] = {name: (False, set()) for name in self._rules}
        while True:
            before = dict(begins)
            for name in self._reachable():
                begins[name] = self._begin(self._rules[name], begins)
            if begins == before:
                return begins

    def _begin(self, node: Node, begins: dict[str, tuple[bool, set[Ranges]]]) -> tuple[bool, set[Ranges]]:
        if self._is_lexeme(node):
            automaton = self._automata[node]
            return automaton.is_nullable, {automaton.characters[position] for position in automaton.first}
        if isinstance(node, Rule):
            return begins[node.name]
        if isinstance(node, Repetition):
            is_nullable, first = self._begin(node.node, begins)
            return is_nullable or node.least == 0, first
        if isinstance(node, Choice):
            options = [self._begin(option, begins) for option in node.options]
            return any(one for one, _ in options), set().union(*(first for _, first in options))
        result: set[Ranges] = set()
        for part in self._pieces(node):
            is_nullable, first = self._begin(part, begins)
            result = result | first
            if not is_nullable:
                return False, result
        return True, result

    def _takes(self, lexeme: Node, other: Node, successors: set[Ranges]) -> bool:
        """Whether there is a word of a lexeme after which another one could go on with what may follow the word."""
        one, two = self._automata[lexeme], self._automata[other]
        pairs = deque((p, q) for p in one.first for q in two.first if _overlap(one.characters[p], two.characters[q]))
        seen = set(pairs)
        while pairs:
            p, q = pairs.popleft()
            for next_q in two.following[q]:
                if p in one.last and any(_overlap(two.characters[next_q], ranges) for ranges in successors):
                    return True
                for next_p in one.following[p]:
                    self._count_step()
                    pair = (next_p, next_q)
                    if pair not in seen and _overlap(one.characters[next_p], two.characters[next_q]):
                        seen.add(pair)
                        pairs.append(pair)
        return False

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise InvalidArgument("grammar: too large: its rules have too many ways to go on")

    # Writing

    def _written(self, node: Node, names: dict[str, str], lexemes: dict[Node, str]) -> str:
        if self._is_lexeme(node):
            return lexemes.setdefault(node, f"T{len(lexemes)}")
        if isinstance(node, Rule):
            return names[node.name]
        if isinstance(node, Repetition):
            most = "" if node.most is None else str(node.most)
            return f"({self._written(node.node, names, lexemes)}){{{node.least},{most}}}"
        pieces = [self._written(piece, names, lexemes) for piece in self._pieces(node)]
        return f"({' | '.join(pieces)})" if isinstance(node, Choice) else " ".join(pieces)

    def _terminal(self, node: Node) -> str:
        return f"/{regex}/" if (regex := self._regex(node)) else '""'

    def _regex(self, node: Node) -> str:
        if isinstance(node, Characters):
            return "[" + "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in _scalars(node.ranges)) + "]"
        if isinstance(node, Rule):
            return self._regex(self._rules[node.name])
        if isinstance(node, Repetition):
            most = "" if node.most is None else str(node.most)
            return f"(?:{self._regex(node.node)}){{{node.least},{most}}}"
        texts = [self._regex(child) for child in _children(node)]
        return f"(?:{'|'.join(texts)})" if isinstance(node, Choice) else "".join(texts)

    def _automaton(self, node: Node) -> _Automaton | None:
        """The automaton of a node that is regular; None if it would be too large."""
        if node not in self._automata:
            characters: list[Ranges] = []
            following: list[set[int]] = []
            try:
                is_nullable, first, last = self._build(node, characters, following)
            except _TooLarge:
                self._apart.add(node)
                return None
            self._automata[node] = _Automaton(characters, is_nullable, frozenset(first), frozenset(last), following)
        return self._automata[node]

    def _build(
        self, node: Node, characters: list[Ranges], following: list[set[int]]
    ) -> tuple[bool, set[int], set[int]]:
        """Adds the positions of a node; whether it may be empty, its first and its last positions."""
        self._count_step()
        if isinstance(node, Characters):
            if len(characters) == _MOST_POSITIONS:
                raise _TooLarge
            characters.append(node.ranges)
            following.append(set())
            return False, {len(characters) - 1}, {len(characters) - 1}
        if isinstance(node, Rule):
            return self._build(self._rules[node.name], characters, following)
        if isinstance(node, Choice):
            is_nullable, first, last = False, set[int](), set[int]()
            for option in node.options:
                option_nullable, option_first, option_last = self._build(option, characters, following)
                is_nullable, first, last = is_nullable or option_nullable, first | option_first, last | option_last
            return is_nullable, first, last
        if isinstance(node, Repetition):
            return self._build_repetition(node, characters, following)
        is_nullable, first, last = True, set[int](), set[int]()
        for part in node.parts:
            part_nullable, part_first, part_last = self._build(part, characters, following)
            for position in last:
                following[position] |= part_first
            first = first | part_first if is_nullable else first
            last = last | part_last if part_nullable else part_last
            is_nullable = is_nullable and part_nullable
        return is_nullable, first, last

    def _build_repetition(
        self, node: Repetition, characters: list[Ranges], following: list[set[int]]
    ) -> tuple[bool, set[int], set[int]]:
        """Writes a repetition out: each copy is reached from the one before it; from `least` on it may be the last."""
        count = max(node.least, 1) if node.most is None else node.most
        is_nullable, first, last, previous = node.least == 0, set[int](), set[int](), set[int]()
        for index in range(count):
            copy_nullable, copy_first, copy_last = self._build(node.node, characters, following)
            is_nullable = is_nullable or copy_nullable
            first = first or copy_first
            for position in previous:
                following[position] |= copy_first
            if is_nullable or index + 1 >= node.least:
                last |= copy_last
            previous = copy_last
            if node.most is None and index + 1 == count:
                for position in copy_last:
                    following[position] |= copy_first
        return is_nullable, first, last


def _children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Sequence):
        return node.parts
    if isinstance(node, Choice):
        return node.options
    return (node.node,) if isinstance(node, Repetition) else ()


def _recursive_rules(rules: dict[str, Node]) -> set[str]:
    """Rules that are recursive, or name one that is."""
    named = {name: set(_named(node)) for name, node in rules.items()}
    flat: set[str] = set()
    while True:
        more = {name for name, others in named.items() if name not in flat and others <= flat}
        if not more:
            return rules.keys() - flat
        flat |= more


def _named(node: Node) -> Iterator[str]:
    if isinstance(node, Rule):
        yield node.name
    for child in _children(node):
        yield from _named(child)


def _overlap(one: Ranges, other: Ranges) -> bool:
    return any(a <= d and c <= b for a, b in one for c, d in other)


def _scalars(ranges: Ranges) -> Iterator[tuple[int, int]]:
    """The same without halves of characters, which no text has."""
    low, high = _SURROGATES
    for first, last in ranges:
        if first < low:
            yield first, min(last, low - 1)
        if last > high:
            yield max(first, high + 1), last
