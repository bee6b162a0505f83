"""Answers under a constraint always have its form, and what cannot be served is refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chat.constrained import answer, may_follow, takes
from chat.grammars import KNOWN
from edgewise import EngineConfig, InvalidArgument, UnsupportedError
from edgewise.chat.grammar import Grammars
from edgewise.engine.models import DEMO
from edgewise.engine.native import NativeEngine

pytest.importorskip("llguidance", reason="the extra `serve` is not installed")
jsonschema = pytest.importorskip("jsonschema")

SEEDS = range(4)


@pytest.fixture(scope="module")
def engine() -> Iterator[NativeEngine]:
    with NativeEngine(DEMO, EngineConfig(context_length=512)) as opened:
        yield opened


@pytest.fixture(scope="module")
def grammars(engine: NativeEngine) -> Grammars:
    return Grammars(engine)


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


TREE = {
    "$defs": {
        "node": closed(
            value={"type": "integer"},
            children={"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/node"}},
        ),
    },
    "$ref": "#/$defs/node",
}
SCHEMAS: dict[str, Any] = {
    "person": closed(name={"type": "string", "maxLength": 20}, age={"type": "integer", "minimum": 0, "maximum": 120}),
    "choices": closed(size={"enum": ["small", "large", 3, None]}, is_new={"type": "boolean"}, kind={"const": 'ü\n"'}),
    "numbers": closed(
        a={"type": "number", "minimum": -1.5, "exclusiveMaximum": 2},
        b={"type": "integer", "multipleOf": 7, "maximum": 10_000, "minimum": -10_000},
        c={"type": "number", "multipleOf": 0.25, "minimum": 0, "maximum": 10},
    ),
    "list": {"type": "array", "minItems": 2, "maxItems": 3, "items": {"type": "string", "pattern": "^[a-c]{2,4}$"}},
    "tuple": {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "null"}], "items": False, "minItems": 2},
    "options": {
        "anyOf": [closed(a={"type": "null"}), closed(b={"type": "boolean"}), {"type": "integer", "maximum": 9}]
    },
    "one of": {"oneOf": [closed(k={"const": "x"}), closed(k={"const": "y"}, n={"type": "boolean"})]},
    "all of": {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 1000}, {"multipleOf": 2}]},
    "optional": {
        "type": "object",
        "properties": {"a": {"type": "boolean"}, "b": {"type": "string", "maxLength": 3}, "c": {"type": "null"}},
        "required": ["c"],
        "additionalProperties": False,
    },
    "map": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "boolean"}},
    "patterns": {
        "type": "object",
        "patternProperties": {"^s_[a-z]{1,5}$": {"type": "boolean"}, "^i_[a-z]{1,5}$": {"type": "null"}},
        "additionalProperties": False,
        "maxProperties": 3,
    },
    "formats": closed(address={"type": "string", "format": "ipv4"}, id={"type": "string", "format": "uuid"}),
    "tree": TREE,
    "definitions": {"definitions": {"t": {"type": "boolean"}}, **closed(a={"$ref": "#/definitions/t"})},
    "search": {"type": "string", "pattern": "[0-9]{3}", "maxLength": 12},
    "text": {"type": "string", "minLength": 2, "maxLength": 30},
    "integer": {"type": "integer", "minimum": -5, "exclusiveMaximum": 1_000_000},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_answers_parse_and_satisfy_the_schema(engine: NativeEngine, grammars: Grammars, name: str) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMAS[name], format_checker=jsonschema.FormatChecker())
    ended = 0
    for seed in SEEDS:
        text, is_whole = answer(engine, grammars.json_schema(SCHEMAS[name]), seed, max_tokens=400)
        if is_whole:
            validator.validate(json.loads(text))
        ended += is_whole
    assert ended


def test_any_object_is_an_object(engine: NativeEngine, grammars: Grammars) -> None:
    constraint = grammars.json_object()
    assert takes(engine, constraint, '{"a": [1, {"b": null}],\n    "c": "é"}')
    assert not takes(engine, grammars.json_object(), "[1]")
    assert not takes(engine, grammars.json_object(), '{"a":      1}')


def test_a_regular_expression_is_matched_whole(engine: NativeEngine, grammars: Grammars) -> None:
    for seed in SEEDS:
        text, is_whole = answer(engine, grammars.regex("[a-c]{3}-[0-9]{2}"), seed)
        assert is_whole
        assert len(text) == 6
        assert set(text[:3]) <= set("abc")
        assert text[4:].isdecimal()


def test_a_grammar_in_lark_and_in_gbnf(engine: NativeEngine, grammars: Grammars) -> None:
    for constraint in (
        grammars.lark('start: "x" a\na: "(" a ")" | "y"'),
        grammars.gbnf('root ::= "x" a\na ::= "(" a ")" | "y"'),
    ):
        assert takes(engine, constraint, "x((y))")


@pytest.mark.parametrize("name", KNOWN)
def test_known_grammars_take_what_they_say_in_tokens(engine: NativeEngine, grammars: Grammars, name: str) -> None:
    grammar, good, bad = KNOWN[name]
    assert [text for text in good if text and not takes(engine, grammars.gbnf(grammar), text)] == []
    assert [text for text in bad if text and takes(engine, grammars.gbnf(grammar), text)] == []


def test_json_of_the_known_grammar_parses(engine: NativeEngine, grammars: Grammars) -> None:
    for seed in range(3):
        text, is_whole = answer(engine, grammars.gbnf(KNOWN["json"][0]), seed, max_tokens=300)
        if is_whole:
            assert isinstance(json.loads(text), dict)


def test_an_answer_is_complete_where_nothing_may_follow(grammars: Grammars, engine: NativeEngine) -> None:
    constraint = grammars.regex("ab")
    assert not constraint.is_complete
    assert takes(engine, constraint, "ab")
    assert constraint.is_complete


def test_every_end_token_may_end_an_answer_that_may_end(grammars: Grammars, engine: NativeEngine) -> None:
    constraint = grammars.regex("a+")
    ends = [token for token in range(engine.vocabulary_size) if engine.tokenizer.is_end(token)]
    assert not any(may_follow(constraint, end) for end in ends)
    assert takes(engine, constraint, "a")
    assert not constraint.is_complete
    assert all(may_follow(constraint, end) for end in ends)


def test_a_mask_has_a_bit_for_every_token(grammars: Grammars, engine: NativeEngine) -> None:
    mask = grammars.json_object().allowed()
    assert len(mask) == (engine.vocabulary_size + 7) // 8


def test_a_token_that_is_not_allowed_is_not_accepted(grammars: Grammars, engine: NativeEngine) -> None:
    constraint = grammars.regex("[0-9]")
    (letter,) = engine.tokenize("a", add_special=False)[-1:]
    with pytest.raises(InvalidArgument, match="not allowed"):
        constraint.accept(letter)


def test_constraints_of_one_grammar_do_not_know_of_each_other(grammars: Grammars, engine: NativeEngine) -> None:
    first, second = grammars.regex("ab?c"), grammars.regex("ab?c")
    assert takes(engine, first, "abc")
    assert takes(engine, second, "ac")


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def referring(length: int) -> dict[str, Any]:
    steps = {f"d{index}": {"items": {"$ref": f"#/$defs/d{index + 1}"}} for index in range(length)}
    return {"$defs": {**steps, f"d{length}": {}}, "$ref": "#/$defs/d0"}


REFUSED: dict[str, tuple[Any, str]] = {
    "no schema": ([1], "an object or a boolean"),
    "no JSON": ({"const": float("nan")}, "not JSON"),
    "a type that there is not": ({"type": "strange"}, "strange"),
    "unique items": ({"type": "array", "uniqueItems": True}, "uniqueItems"),
    "nothing": (False, "says nothing"),
    "nothing satisfies it": ({"type": "integer", "minimum": 3, "maximum": 2}, ""),
    "a loop": ({"$ref": "#"}, "no text satisfies it"),
    "leads nowhere": ({"$ref": "#/$defs/x"}, "leads nowhere"),
    "elsewhere": ({"$ref": "https://example.org/schema"}, ""),
    "a lookahead": ({"type": "string", "pattern": "(?=a)b"}, ""),
    "many keys that may be the same": ({"type": "object", "minProperties": 5}, "minProperties"),
    "a format that there is not": ({"type": "string", "format": "strange"}, "strange"),
    "too deep": (nested(200), "inside each other"),
    "much too deep": (nested(5000), "inside each other"),
    "a long chain": (referring(300), "inside each other"),
    "too many properties": ({"type": "object", "properties": {f"p{i}": {} for i in range(5000)}}, "5000 properties"),
    "too many patterns": (
        {"type": "object", "patternProperties": {f"^p{i}_": {} for i in range(300)}},
        "300 patternProperties",
    ),
    "too much at once": ({"allOf": [{"type": "string", "pattern": f"a.{{{i}}}b"} for i in range(60)]}, "for one value"),
    "too much at once, below": (
        {"allOf": [{"properties": {"a": {"allOf": [{"pattern": f"a.{{{i}}}b"} for i in range(9)]}}}] * 9},
        "for one value",
    ),
    "a large divisor": ({"type": "integer", "multipleOf": 1_000_003}, "multipleOf"),
    "too long": ({"enum": ["x" * 300_000]}, "characters; the limit"),
    "too many choices": ({"enum": [f"{i}" * 4 for i in range(30_000)]}, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_refused_up_front(grammars: Grammars, name: str) -> None:
    schema, finding = REFUSED[name]
    with pytest.raises(InvalidArgument, match=f"JSON schema.*{finding}"):
        grammars.json_schema(schema)


def test_options_of_the_compiler_do_not_come_from_the_schema(grammars: Grammars) -> None:
    with pytest.raises(InvalidArgument, match="uniqueItems"):
        grammars.json_schema({"type": "array", "uniqueItems": True, "x-guidance": {"lenient": True}})


def test_what_pydantic_writes_is_served(grammars: Grammars) -> None:
    inner: dict[str, Any] = {
        "title": "Inner",
        "type": "object",
        "properties": {"x": {"type": "integer"}},
        "required": ["x"],
    }
    schema: Any = inner
    for level in range(8):
        name = f"Level{level}"
        schema = {
            "$defs": {**schema.get("$defs", {}), name: {key: value for key, value in schema.items() if key != "$defs"}},
            "type": "object",
            "properties": {"inner": {"allOf": [{"$ref": f"#/$defs/{name}"}], "description": "d"}},
            "required": ["inner"],
        }
    assert grammars.json_schema(schema).allowed()


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "grammar"),
        ("start: nowhere", "nowhere"),
        ("start: /(/", "grammar"),
        ("start: " + "(" * 5000 + '"a"' + ")" * 5000, "nested"),
        ("start: r0\n" + "\n".join(f'r{i}: "(" r{i + 1} ")"' for i in range(3000)) + '\nr3000: "a"', "rules"),
        ("start: A\nA: " + " & ".join(f"/(.*)a(.{{{i + 3}}})b(.*)/" for i in range(30)), "intersections"),
        ("start: %json " + json.dumps(referring(300)), "inside each other"),
        ("start: %json {", "%json"),
        ("x" * 100_000, "characters; the limit"),
        ("start: start", "no text satisfies it"),
    ],
)
def test_grammars_that_cannot_be_served_are_refused(grammars: Grammars, text: str, finding: str) -> None:
    with pytest.raises(InvalidArgument, match=finding):
        grammars.lark(text)


@pytest.mark.parametrize("text", ["(", "(?=a)", "x" * 20_000, "(" * 5000 + ")" * 5000])
def test_regular_expressions_that_cannot_be_served_are_refused(grammars: Grammars, text: str) -> None:
    with pytest.raises(InvalidArgument, match="regular expression"):
        grammars.regex(text)


def test_a_grammar_that_becomes_too_complex_ends_with_an_error(grammars: Grammars, engine: NativeEngine) -> None:
    rules = "\n".join(f'r{i}: "x"+ r{(i * 7 + 1) % 800} | "xx" r{(i * 3 + 2) % 800} | "a"' for i in range(800))
    constraint = grammars.lark("start: " + " | ".join(f"r{i}" for i in range(800)) + "\n" + rules)
    (token,) = engine.tokenize("x", add_special=False)[-1:]

    def go_on() -> None:
        for _ in range(50):
            constraint.allowed()
            constraint.accept(token)

    with pytest.raises(InvalidArgument, match=r"not allowed here|cannot be followed"):
        go_on()


def test_an_engine_without_a_vocabulary_constrains_nothing() -> None:
    class Foreign:
        name = "llamacpp"

    with pytest.raises(UnsupportedError, match="llamacpp"):
        Grammars(Foreign())  # type: ignore[arg-type]
