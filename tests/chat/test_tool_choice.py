"""An answer that has to be a call is one that its reader reads, whatever the model would rather say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chat.constrained import answer, may_follow
from chat.models import model
from edgewise import EngineConfig, InvalidArgument
from edgewise.chat.dialects import DIALECTS, GENERIC, Dialect
from edgewise.chat.events import ReasoningDelta, ToolCall
from edgewise.chat.grammar import Grammars
from edgewise.chat.rendering import ChatPrompts
from edgewise.chat.tool_choice import chosen_tools, constraint_for
from edgewise.chat.tools import tools_from
from edgewise.engine.models import DEMO
from edgewise.engine.native import NativeEngine

pytest.importorskip("llguidance", reason="the extra `serve` is not installed")

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "$defs": {"unit": {"enum": ["C", "F"]}},
                "type": "object",
                "properties": {
                    "city": {"type": "string", "maxLength": 12},
                    "unit": {"$ref": "#/$defs/unit"},
                    "days": {"type": "integer", "minimum": 1, "maximum": 9},
                },
                "required": ["city", "unit", "days"],
                "additionalProperties": False,
            },
        },
    },
    {
        "type": "function",
        "function": {"name": "now", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}},
    },
]
USER = [{"role": "user", "content": "Hi"}]
NAMED = {"type": "function", "function": {"name": "get_weather"}}


@pytest.fixture(scope="module")
def engine() -> Iterator[NativeEngine]:
    with NativeEngine(DEMO, EngineConfig(context_length=4096)) as opened:
        yield opened


def template_of(dialect: Dialect, end: str = "") -> str:
    signs = "".join(dialect.signs[0]) if dialect.signs else ""
    return "{{ messages[-1].content }}{{ tools | tojson if tools }}{% if false %}{{ '" + signs + "' }}{% endif %}" + end


@pytest.mark.parametrize("dialect", [*DIALECTS, GENERIC], ids=lambda dialect: str(dialect.name))
def test_a_named_tool_is_called_in_every_dialect(engine: NativeEngine, dialect: Dialect) -> None:
    prompt = ChatPrompts(engine, template_of(dialect)).render(USER, tools=TOOLS)
    assert prompt.dialect is dialect
    grammars = Grammars(engine)
    ended = 0
    for seed in range(3):
        constraint = constraint_for(grammars, prompt, NAMED, is_parallel=False)
        assert constraint is not None
        text, is_whole = answer(engine, constraint, seed, max_tokens=300)
        if not is_whole:
            continue
        ended += 1
        reader = prompt.reader()
        events = [*reader.push(text), *reader.finish()]
        assert [(type(event), getattr(event, "name", None)) for event in events] == [(ToolCall, "get_weather")], text
        (event,) = events
        assert isinstance(event, ToolCall)
        assert event.arguments.keys() == {"city", "unit", "days"}
        assert event.arguments["unit"] in ("C", "F")
    assert ended


@pytest.mark.parametrize("dialect", [*DIALECTS, GENERIC], ids=lambda dialect: str(dialect.name))
def test_several_tools_may_be_called_at_once_where_one_is_required(engine: NativeEngine, dialect: Dialect) -> None:
    prompt = ChatPrompts(engine, template_of(dialect)).render(USER, tools=TOOLS[1:])
    grammars = Grammars(engine)
    counts = set()
    for seed in range(4):
        constraint = constraint_for(grammars, prompt, "required")
        assert constraint is not None
        text, is_whole = answer(engine, constraint, seed, max_tokens=2500)
        reader = prompt.reader()
        events = [*reader.push(text), *reader.finish()]
        if is_whole:
            assert all(isinstance(event, ToolCall) for event in events), text
            counts.add(len(events))
    assert counts
    assert counts <= set(range(1, 9))


def test_special_tokens_of_a_dialect_are_taken_as_such(tmp_path: Path) -> None:
    path = model(tmp_path / "model.gguf", ["<s>", "</s>", "[TOOL_CALLS]", "[ARGS]"])
    with NativeEngine(path, EngineConfig(context_length=512)) as small:
        prompt = ChatPrompts(small, "{{ tools | tojson }}[TOOL_CALLS][ARGS]").render(USER, tools=TOOLS[1:])
        constraint = constraint_for(Grammars(small), prompt, "required", is_parallel=False)
        assert constraint is not None
        text, is_whole = answer(small, constraint, 1)
        assert is_whole
        assert text.startswith("[TOOL_CALLS]now[ARGS]{")
        (mark,) = small.tokenize("[TOOL_CALLS]", add_special=False, parse_special=True)
        assert mark in prompt.shown_tokens


@pytest.mark.parametrize("tags", ["<think>", "[THINK]"])
def test_a_model_that_thinks_may_think_first(tmp_path: Path, tags: str) -> None:
    path = model(tmp_path / "model.gguf", ["<s>", "</s>", "[THINK]", "[/THINK]"])
    with NativeEngine(path, EngineConfig(context_length=4096)) as small:
        prompt = ChatPrompts(small, "{{ tools | tojson }}<tool_call>" + tags).render(USER, tools=TOOLS[1:])
        assert prompt.is_thinking
        closing = small.tokenize(prompt.tags[1], add_special=False, parse_special=True)
        constraint = constraint_for(Grammars(small), prompt, "required", is_parallel=False)
        assert constraint is not None
        for token in (*small.tokenize("Hm. <x>", add_special=False), *closing):
            assert may_follow(constraint, token)
            constraint.accept(token)
        call = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
        for token in small.tokenize(call, add_special=False):
            constraint.accept(token)
        assert constraint.is_complete
        reader = prompt.reader()
        events = [*reader.push(f"Hm. <x>{prompt.tags[1]}{call}"), *reader.finish()]
        assert events == [ReasoningDelta("Hm. <x>"), ToolCall(0, "now", {})]


@pytest.mark.parametrize("closing", ["</think>", "[/THINK]"])
def test_a_model_that_thinks_may_think_before_it_writes_json(tmp_path: Path, closing: str) -> None:
    path = model(tmp_path / "model.gguf", ["<s>", "</s>", "[THINK]", "[/THINK]"])
    with NativeEngine(path, EngineConfig(context_length=64)) as small:
        constraint = Grammars(small).json_object(after=closing)
        tag = small.tokenize(closing, add_special=False, parse_special=True)
        for token in (*small.tokenize("Hm. {", add_special=False), *tag, *small.tokenize("\n\n{}", add_special=False)):
            assert may_follow(constraint, token)
            constraint.accept(token)
        assert constraint.is_complete


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_an_answer_need_not_be_a_call(choice: object) -> None:
    assert chosen_tools(tools_from(TOOLS), choice) is None


@pytest.mark.parametrize(
    ("choice", "finding"),
    [
        ("always", "none, auto, required"),
        ({}, "none, auto, required"),
        ({"function": {"name": "x"}}, "no tool 'x'"),
        (5, "none, auto, required"),
    ],
)
def test_a_choice_of_another_form_is_refused(choice: object, finding: str) -> None:
    with pytest.raises(InvalidArgument, match=finding):
        chosen_tools(tools_from(TOOLS), choice)


def test_a_call_cannot_be_required_without_tools() -> None:
    with pytest.raises(InvalidArgument, match="no tools"):
        chosen_tools((), "required")


def test_parameters_that_cannot_be_served_are_refused_with_the_tools_name(engine: NativeEngine) -> None:
    bad = {"type": "function", "function": {"name": "bad", "parameters": {"properties": {"a": {"uniqueItems": True}}}}}
    prompt = ChatPrompts(engine, template_of(GENERIC)).render(USER, tools=[bad])
    with pytest.raises(InvalidArgument, match=r"parameters of bad.*uniqueItems"):
        constraint_for(Grammars(engine), prompt, "required")
