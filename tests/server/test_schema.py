"""Shapes are checked, and what does not fit is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgewise.errors import InvalidArgument
from edgewise.server.schema import (
    ANYTHING,
    FLAG,
    TEXT,
    check,
    either,
    fields,
    listing,
    mapping,
    number,
    one_of,
    parse,
    whole,
)

SHAPE = fields(
    {"name": TEXT},
    count=whole(0, 9),
    share=number(0, 1),
    is_on=FLAG,
    size=one_of("small", "large"),
    words=listing(TEXT, least=1, most=3),
    stop=either(TEXT, listing(TEXT)),
    more=mapping(whole()),
    inner=fields({"a": FLAG}),
    any=ANYTHING,
)


@pytest.mark.parametrize(
    ("value", "finding"),
    [
        ({}, "name is required"),
        ({"name": None}, "name is required"),
        ({"name": 1}, "name must be a text, got 1"),
        ({"name": "x", "count": 10}, "count must be between 0 and 9, got 10"),
        ({"name": "x", "count": True}, "count must be a whole number, got true"),
        ({"name": "x", "count": 1.5}, "count must be a whole number, got 1.5"),
        ({"name": "x", "share": "all"}, 'share must be a number, got "all"'),
        ({"name": "x", "is_on": 1}, "is_on must be true or false, got 1"),
        ({"name": "x", "size": "medium"}, 'size must be one of "small", "large", got "medium"'),
        ({"name": "x", "words": []}, "words must have at least 1 items, got 0"),
        ({"name": "x", "words": ["a", 2]}, r"words\[1\] must be a text, got 2"),
        ({"name": "x", "stop": ["a", 2]}, r"stop\[1\] must be a text, got 2"),
        ({"name": "x", "stop": 3}, "stop must be a text or a list, each item a text, got 3"),
        ({"name": "x", "more": {"b": "c"}}, "more.b must be a whole number"),
        ({"name": "x", "inner": {}}, "inner.a is required"),
        ([], "the body must be an object"),
        ({"name": "x" * 10**6, "count": "y" * 10**6}, "count must be a whole number"),
    ],
)
def test_what_does_not_fit_is_named(value: Any, finding: str) -> None:
    with pytest.raises(InvalidArgument, match=finding) as refusal:
        check(value, SHAPE)
    assert len(str(refusal.value)) < 200


def test_what_fits_passes_and_what_is_unknown_is_ignored() -> None:
    check(
        {"name": "x", "count": 3.0, "share": 1, "stop": "a", "words": ["a"], "later": {"deep": [1]}, "any": [{}]}, SHAPE
    )
    check(
        {"name": "x", **dict.fromkeys(("count", "share", "is_on", "size", "words", "stop", "more", "inner", "any"))},
        SHAPE,
    )


@pytest.mark.parametrize("part", [(b"[", b"]"), (b'{"a": ', b"}"), (b'[{"\\u0061": ', b"}]")])
def test_nesting_has_an_end(part: tuple[bytes, bytes]) -> None:
    opening, closing = part
    for depth in (60, 140, 480, 700, 960):
        data = opening * depth + b"1" + closing * depth
        if depth * opening.count(b"{") + depth * opening.count(b"[") <= 128:
            parse(data)
        else:
            with pytest.raises(InvalidArgument, match=r"levels deep|too deeply"):
                parse(data)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 10**4, b'{"a": 1' + b"0" * 10**5 + b"}"]
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="no valid JSON"):
        parse(data)


def test_half_characters_become_whole_ones() -> None:
    assert parse(b'{"a\\ud800": ["\\udc00b", "\\ud83c\\udf88"]}') == {"a\ufffd": ["\ufffdb", "\U0001f388"]}
    assert parse(b'["' + b"\\ud800a" * LONG + b'"]') == ["\ufffda" * LONG]


LONG = 2**20


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (b'{"a": [' + b"1," * LONG + b"1]}", "more than 1048576 values"),
        (b"[" + b"[]," * 2**16 + b"1]", "more than 65536 lists and objects"),
        (b'{"a": [' + b'{"b": 1},' * 2**16 + b"1]}", "more than 65536 lists and objects"),
        (b"{" + b",".join(b'"%d": 1' % index for index in range(2**17)) + b"}", "more than 131072 fields"),
        (b'["' + b'\\"' * LONG + b'", ' + b"1," * LONG + b"1]", "more than 1048576 values"),
        (b"[" + b"1" * 401 + b"," * 2**14 + b"]", "a whole number has 401 digits"),
    ],
)
def test_a_body_has_so_many_parts_at_most(data: bytes, finding: str) -> None:
    with pytest.raises(InvalidArgument, match=finding):
        parse(data)


@pytest.mark.parametrize(
    "text", ["a, b: [c] {d} " * LONG, '\\"[,' * LONG, '"' * LONG + "{" * LONG, "\\" * LONG + ":" * LONG]
)
def test_texts_may_have_as_many_marks_as_they_like(text: str) -> None:
    body = {"prompt": text, "\\": "\\", "context": list(range(100))}
    assert parse(json.dumps(body).encode()) == body


def test_a_list_of_as_many_numbers_as_there_may_be_is_checked_in_full() -> None:
    shape = fields(context=either(TEXT, listing(TEXT), listing(whole(0), 1)))
    tokens: list[Any] = [7] * LONG
    check({"context": tokens}, shape)
    for wrong, finding in ((-1, "at least 0, got -1"), (True, "a whole number, got true"), ("x", 'number, got "x"')):
        tokens[-1] = wrong
        with pytest.raises(InvalidArgument, match=rf"context\[{LONG - 1}\] must be .*{finding}"):
            check({"context": tokens}, shape)
    with pytest.raises(InvalidArgument, match=rf"context must have at most {LONG} items, got {LONG + 1}"):
        check({"context": [7] * (LONG + 1)}, shape)
    check({"context": [1.0, 2]}, shape)


def test_the_document_says_how_long_lists_may_be() -> None:
    assert listing(whole(0))["maxItems"] == LONG


def test_a_value_that_is_too_long_to_show_is_cut_short() -> None:
    with pytest.raises(InvalidArgument, match=r"got \[7, 7, .*\.\.\.") as refusal:
        check({"name": [7] * LONG}, SHAPE)
    assert len(str(refusal.value)) < 200
