"""Grammars in GBNF mean what they say, whatever the lexer would rather take."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from chat.grammars import KNOWN
from edgewise.chat import gbnf, lexemes
from edgewise.chat.gbnf import Characters, Choice, Node, Rule, Sequence
from edgewise.errors import InvalidArgument

llguidance = pytest.importorskip("llguidance", reason="the extra `serve` is not installed")


class Bytes:
    """A vocabulary of all bytes and an end."""

    tokens = [*(bytes([byte]) for byte in range(256)), b"</s>"]  # noqa: RUF012
    eos_token_id = bos_token_id = 256
    special_token_ids = [256]  # noqa: RUF012

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


VOCABULARY = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()))


def compiled(text: str) -> Any:
    lark = lexemes.to_lark(gbnf.parse(text))
    return llguidance.LLMatcher(VOCABULARY, llguidance.LLMatcher.grammar_from_lark(lark), log_level=0)


def takes(matcher: Any, text: str) -> bool:
    one = matcher.deep_copy()
    data = list(text.encode())
    return bool(one.try_consume_tokens(data) == len(data) and one.is_accepting())


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_grammar_takes_what_it_says(name: str) -> None:
    grammar, good, bad = KNOWN[name]
    matcher = compiled(grammar)
    assert not matcher.get_error()
    assert [text for text in good if not takes(matcher, text)] == []
    assert [text for text in bad if takes(matcher, text)] == []


def test_a_grammar_without_recursion_is_one_regular_expression() -> None:
    for name in ("list", "chess", "a greedy word"):
        assert lexemes.to_lark(gbnf.parse(KNOWN[name][0])).count("\n") == 1


def test_strings_of_json_stay_one_lexeme_as_masks_are_slow_otherwise() -> None:
    terminals = [line for line in lexemes.to_lark(gbnf.parse(KNOWN["json"][0])).splitlines() if line[0] == "T"]
    assert len(terminals) < 15


class Reference:
    """Decides by trying everything whether a grammar takes a text."""

    def __init__(self, rules: dict[str, Node], text: str) -> None:
        self._text = text
        places = range(len(text) + 1)
        self._ends: dict[tuple[str, int], set[int]] = {(name, place): set() for name in rules for place in places}
        is_growing = True
        while is_growing:
            is_growing = False
            for (name, place), known in self._ends.items():
                more = self._after(rules[name], place) - known
                known |= more
                is_growing |= bool(more)

    @property
    def takes(self) -> bool:
        return len(self._text) in self._ends["root", 0]

    def _after(self, node: Node, place: int) -> set[int]:
        if isinstance(node, Characters):
            is_there = place < len(self._text)
            fits = is_there and any(first <= ord(self._text[place]) <= last for first, last in node.ranges)
            return {place + 1} if fits else set()
        if isinstance(node, Rule):
            return self._ends[node.name, place]
        if isinstance(node, Choice):
            return {end for option in node.options for end in self._after(option, place)}
        if isinstance(node, Sequence):
            ends = {place}
            for part in node.parts:
                ends = {end for begin in ends for end in self._after(part, begin)}
            return ends
        ends, result = {place}, {place} if node.least == 0 else set()
        most = node.least + len(self._text) + 1 if node.most is None else node.most
        for count in range(1, most + 1):
            ends = {end for begin in ends for end in self._after(node.node, begin)}
            if count >= node.least:
                result |= ends
        return result


def random_grammar(chance: random.Random) -> str:
    def expression(depth: int) -> str:
        kind = chance.random()
        if depth == 0 or kind < 0.3:
            return chance.choice(['"a"', '"b"', '"ab"', '"c"', "[ab]", "[^a]", '"ba"', "[a-c]"])
        if kind < 0.45:
            return chance.choice("xyz")
        parts = [expression(depth - 1) for _ in range(chance.randint(2, 3))]
        if kind < 0.7:
            return " ".join(parts)
        if kind < 0.85:
            return f"({' | '.join(parts)})"
        return f"({parts[0]}){chance.choice(['*', '+', '?', '{2}', '{1,2}', '{2,}'])}"

    return "\n".join(f"{name} ::= {expression(3)}" for name in ("root", "x", "y", "z"))


def texts(chance: random.Random) -> Iterator[str]:
    for _ in range(30):
        yield "".join(chance.choice("abc") for _ in range(chance.randint(0, 7)))


def test_random_grammars_take_the_same_texts_as_the_reference() -> None:
    taken = 0
    for seed in range(300):
        chance = random.Random(seed)
        grammar = random_grammar(chance)
        rules = gbnf.parse(grammar)
        matcher = compiled(grammar)
        if matcher.is_error():  # nothing satisfies it
            short = ("".join(text) for length in range(5) for text in itertools.product("abc", repeat=length))
            assert not any(Reference(rules, text).takes for text in short), grammar
            continue
        for text in texts(chance):
            expected = Reference(rules, text).takes
            taken += expected
            assert takes(matcher, text) == expected, f"{grammar}\n{text!r}"
    assert taken > 500


def chain(length: int, body: str) -> str:
    """Rules that name the next one each; the last one is empty."""
    names = ["root", *(f"r{index}" for index in range(1, length))]
    lines = [f"{name} ::= {body.format(f'r{index + 1}')}" for index, name in enumerate(names)]
    return "\n".join([*lines, f'r{length} ::= ""'])


@pytest.mark.parametrize(
    ("grammar", "finding"),
    [
        ("", "no rule `root`"),
        ('x ::= "a"', "no rule `root`"),
        ("root ::= x", "line 1: there is no rule 'x'"),
        ('root ::= "a"\nroot ::= "b"', "line 2: a second rule"),
        ('root = "a"', "::="),
        ('root ::= "a', "does not end"),
        ("root ::= [a", "does not end"),
        ("root ::= []", "no character is left"),
        ("root ::= [z-a]", "ends below"),
        ('root ::= ("a"', r"'\)' is expected"),
        ('root ::= "a")', "not expected"),
        ('root ::= "a"{3,2}', "ends below"),
        ('root ::= "a"{x}', "a repetition is"),
        ('root ::= "a"{100000}', "repetitions"),
        ('root ::= "\\q"', "means nothing"),
        ('root ::= "\\u12"', "hexadecimal"),
        ("root ::= <think>", "tokens"),
        ("root ::= " + "(" * 5000, "inside each other"),
        ("root ::= " + '"a" ' * 10000, "characters; the limit"),
        (chain(2000, "{}"), "more than 1000 rules"),
        (chain(40, "{0} {0}"), "too large"),
        (chain(900, '"a" {}'), "too long a chain"),
    ],
)
def test_what_is_wrong_with_a_grammar_is_told_with_its_place(grammar: str, finding: str) -> None:
    with pytest.raises(InvalidArgument, match=finding):
        lexemes.to_lark(gbnf.parse(grammar))


def test_a_grammar_cut_anywhere_is_a_grammar_or_an_error() -> None:
    for name in ("json", "chess"):
        text = KNOWN[name][0]
        for end in range(0, len(text), 7):
            with contextlib.suppress(InvalidArgument):
                assert "root" in gbnf.parse(text[:end])
