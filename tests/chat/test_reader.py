"""Answers become words, reasoning and calls, wherever the text is cut."""

# ruff: noqa: RUF001  DeepSeek's marks have wide bars

from __future__ import annotations

from typing import Any

import pytest

from edgewise.chat.dialects import DIALECTS, GENERIC, Dialect, dialect_of
from edgewise.chat.events import Event, ReasoningDelta, TextDelta, ToolCall, joined
from edgewise.chat.reader import AnswerReader
from edgewise.chat.tools import tools_from

TOOLS = tools_from(
    [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                },
            },
        },
        {"type": "function", "function": {"name": "now"}},
    ]
)
BY_NAME = {dialect.name: dialect for dialect in (*DIALECTS, GENERIC)}

KOELN = ToolCall(0, "get_weather", {"city": "Köln", "days": 2})
NOW = ToolCall(1, "now", {})
JSON = '{"name": "get_weather", "arguments": {"city": "Köln", "days": 2}}'
LLAMA = '{"name": "get_weather", "parameters": {"city": "Köln", "days": 2}}'
ARGUMENTS = '{"city": "Köln", "days": 2}'

# dialect, transcript, events
TRANSCRIPTS: list[tuple[str, str, list[Event]]] = [
    ("hermes", f"<tool_call>\n{JSON}\n</tool_call>", [KOELN]),
    ("hermes", f"<tool_call>{JSON}", [KOELN]),
    ("hermes", f"<tool_call>{JSON}</tool", [KOELN]),
    ("hermes", f"Let me look.\n\n<tool_call>\n{JSON}\n</tool_call>\n", [TextDelta("Let me look."), KOELN]),
    (
        "hermes",
        f'<tool_call>\n{JSON}\n</tool_call>\n<tool_call>\n{{"name": "now", "arguments": {{}}}}\n</tool_call>',
        [KOELN, NOW],
    ),
    ("hermes", f"<tool_call>{JSON}</tool_call> Done.", [KOELN, TextDelta(" Done.")]),
    ("hermes", f"```json\n{JSON}\n```", [KOELN]),
    ("hermes", JSON, [KOELN]),
    (
        "hermes",
        '<tool_call>\n{"name": "get_weather", "arguments": "{\\"city\\": \\"Köln\\", \\"days\\": 2}"}\n</tool_call>',
        [KOELN],
    ),
    (
        "hermes",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nKöln\n</parameter>\n<parameter=days>\n2\n</parameter>\n"
        "</function>\n</tool_call>",
        [KOELN],
    ),
    (
        "hermes",
        "<function=get_weather><parameter=city>Köln</parameter><parameter=days>2</parameter></function>",
        [KOELN],
    ),
    (
        "hermes",
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Köln</arg_value>\n<arg_key>days</arg_key>\n"
        "<arg_value>2</arg_value>\n</tool_call>",
        [KOELN],
    ),
    ("llama-3", LLAMA, [KOELN]),
    ("llama-3", f"<|python_tag|>{LLAMA}", [KOELN]),
    ("llama-3", f'{LLAMA}; {{"name": "now", "parameters": {{}}}}', [KOELN, NOW]),
    ("llama-3", f'<|python_tag|>{LLAMA}; {{"name": "now", "parameters": {{}}}}', [KOELN, NOW]),
    ("llama-3", '<|python_tag|>get_weather.call(city="Köln", days=2)', [KOELN]),
    ("llama-3", '[get_weather(city="Köln", days=2), now()]', [KOELN, NOW]),
    ("llama-3", f'{{"type": "function", "function": {LLAMA}}}', [KOELN]),
    ("mistral", f"[TOOL_CALLS][{JSON}]", [KOELN]),
    ("mistral", f'[TOOL_CALLS] [{JSON}, {{"name": "now", "arguments": {{}}, "id": "abcdef123"}}]', [KOELN, NOW]),
    ("mistral", f"Well.[TOOL_CALLS][{JSON}]", [TextDelta("Well."), KOELN]),
    ("mistral-named", f"[TOOL_CALLS]get_weather[ARGS]{ARGUMENTS}", [KOELN]),
    ("mistral-named", f"[TOOL_CALLS]get_weather[ARGS]{ARGUMENTS}[TOOL_CALLS]now[ARGS]{{}}", [KOELN, NOW]),
    ("mistral-named", f"[TOOL_CALLS]get_weather[CALL_ID]abcdef123[ARGS]{ARGUMENTS}", [KOELN]),
    ("mistral-named", f"[TOOL_CALLS]get_weather{ARGUMENTS}", [KOELN]),
    ("gemma", "```tool_code\nget_weather(city='Köln', days=2)\n```", [KOELN]),
    ("gemma", '```tool_code\nprint(get_weather("Köln", days=2))\n```', [KOELN]),
    ("gemma", f"```json\n{LLAMA}\n```", [KOELN]),
    ("gemma", LLAMA, [KOELN]),
    ("gemma", "[get_weather(city='Köln', days=2)]", [KOELN]),
    ("gemma-4", '<|tool_call>call:get_weather{city:<|"|>Köln<|"|>,days:2}<tool_call|>', [KOELN]),
    (
        "function-gemma",
        "<start_function_call>call:get_weather{city:<escape>Köln<escape>,days:2}<end_function_call>",
        [KOELN],
    ),
    ("functools", f"functools[{JSON}]", [KOELN]),
    ("phi-4-mini", f"functools[{JSON}]", [KOELN]),
    ("phi-4-mini", f"<|tool_call|>[{JSON}]<|/tool_call|>", [KOELN]),
    ("phi-4-mini", f"<|tool_call|>{JSON}<|/tool_call|>", [KOELN]),
    (
        "deepseek",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n"
        f"{ARGUMENTS}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        [KOELN],
    ),
    (
        "deepseek",
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{ARGUMENTS}<｜tool▁call▁end｜>"
        "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        [KOELN, NOW],
    ),
    ("generic", JSON, [KOELN]),
    ("generic", f"[{JSON}]", [KOELN]),
    ("generic", f'{{"tool_calls": [{JSON}, {{"name": "now"}}]}}', [KOELN, NOW]),
    ("generic", f'{{"tool_call": {JSON}}}', [KOELN]),
    ("generic", f"```json\n{JSON}\n```\n", [KOELN]),
    (
        "hermes",
        f"<think>\nHm, <tool_call>?\n</think>\n\n<tool_call>{JSON}</tool_call>",
        [ReasoningDelta("Hm, <tool_call>?"), KOELN],
    ),
]

# What looks like a call and is none comes out as it went in.
TEXTS: list[tuple[str, str]] = [
    ("hermes", "Plain text.\n\nAnd more. "),
    ("hermes", "  leading"),
    ("hermes", "<tool_call>\n{not json}\n</tool_call>"),
    ("hermes", '<tool_call>\n{"arguments": {}}\n</tool_call>'),
    ("hermes", '<tool_call>\n{"name": "f", "arguments": [1]}\n</tool_call>'),
    ("hermes", '<tool_call>\n{"name": "f", "arguments": {"a": NaN}}\n</tool_call>'),
    ("hermes", '<tool_call>\n{"name": "get_weather", "argum'),
    ("hermes", "<tool_cal"),
    ("hermes", "a < b, <tool>, <tool_call"),
    ("hermes", '{"answer": 42, "name": "now"}'),
    ("hermes", '{"name": "unknown", "arguments": {}}'),
    ("hermes", "```json\n[1, 2]\n```"),
    ("hermes", "```json\nnothing\n``` and <function=x"),
    ("llama-3", '{"name": "get_weather", "parameters": {"city": "Kö'),
    ("llama-3", 'Use {"name": "now", "parameters": {}} to see the time.'),
    ("llama-3", "<|python_tag|>import os"),
    ("llama-3", "[1, 2, 3]"),
    ("llama-3", "[see the notes]"),
    ("llama-3", "[unknown(a=1)]"),
    ("mistral", "[TOOL_CALLS]"),
    ("mistral", "[TOOL_CALLS][1]"),
    ("mistral", "[TOOL] [TOOL_CALLS] no call at all"),
    ("mistral-named", "[TOOL_CALLS]get_weather[ARGS][1]"),
    ("gemma", "```tool_code\nimport os\n```"),
    ("gemma", "```tool_code\nget_weather(**x)\n```"),
    ("gemma", "```python\nprint(1)\n```"),
    ("gemma-4", "<|tool_call>call:f{a:1<tool_call|>"),
    ("phi-4-mini", "functools is a module of Python."),
    ("deepseek", "<｜tool▁calls▁begin｜>none<｜tool▁calls▁end｜>"),
    ("generic", "[{}]"),
    ("generic", "[]"),
    ("generic", '{"name": 1}'),
    ("generic", "{" * 300),
    ("generic", '{"name": ' + "[" * 300 + "]" * 300 + "}"),
]


def events_of(pieces: list[str], dialect: Dialect, **options: Any) -> list[Event]:
    reader = AnswerReader(dialect, TOOLS, **options)
    events = [event for piece in pieces for event in reader.push(piece)]
    return joined([*events, *reader.finish()])


def expected_of(name: str, text: str) -> list[Event]:
    return events_of([text], BY_NAME[name])


@pytest.mark.parametrize(("name", "text", "expected"), TRANSCRIPTS)
def test_calls_are_found(name: str, text: str, expected: list[Event]) -> None:
    assert events_of([text], BY_NAME[name]) == expected


@pytest.mark.parametrize(("name", "text"), TEXTS)
def test_what_is_no_call_is_text_and_none_of_it_is_lost(name: str, text: str) -> None:
    assert events_of([text], BY_NAME[name]) == [TextDelta(text)]
    assert events_of(list(text), BY_NAME[name]) == [TextDelta(text)]


@pytest.mark.parametrize(("name", "text", "expected"), TRANSCRIPTS)
def test_the_events_are_the_same_wherever_the_text_is_cut(name: str, text: str, expected: list[Event]) -> None:
    dialect = BY_NAME[name]
    assert events_of(list(text), dialect) == expected
    for cut in range(len(text) + 1):
        assert events_of([text[:cut], text[cut:]], dialect) == expected


@pytest.mark.parametrize(("name", "text", "expected"), TRANSCRIPTS)
def test_an_answer_that_ends_anywhere_says_the_same_as_a_whole_and_as_characters(
    name: str, text: str, expected: list[Event]
) -> None:
    for end in range(len(text)):
        assert events_of(list(text[:end]), BY_NAME[name]) == events_of([text[:end]], BY_NAME[name])


def test_every_dialect_reads_what_it_writes() -> None:
    for dialect in (*DIALECTS, GENERIC):
        text = dialect.write([("get_weather", {"city": "Köln", "days": 2}), ("now", {})])
        assert events_of([text], dialect) == [KOELN, NOW], dialect.name


def test_without_tools_nothing_is_a_call() -> None:
    reader = AnswerReader(BY_NAME["hermes"])
    assert joined([*reader.push(f"<tool_call>{JSON}</tool_call>"), *reader.finish()]) == [
        TextDelta(f"<tool_call>{JSON}</tool_call>")
    ]


def test_code_is_a_call_of_the_tool_that_runs_code() -> None:
    tools = tools_from([{"type": "function", "function": {"name": "python"}}])
    reader = AnswerReader(BY_NAME["llama-3"], tools)
    assert [*reader.push("<|python_tag|>import os\nprint(1)"), *reader.finish()] == [
        ToolCall(0, "python", {"code": "import os\nprint(1)"})
    ]


def test_text_is_shown_as_soon_as_it_cannot_open_a_call() -> None:
    reader = AnswerReader(BY_NAME["hermes"], TOOLS)
    assert reader.push("Hello") == [TextDelta("Hello")]
    assert reader.push(" <tool") == []
    assert reader.push("s> x") == [TextDelta(" <tools> x")]


def test_an_object_that_is_no_call_is_shown_at_its_first_key() -> None:
    reader = AnswerReader(GENERIC, TOOLS)
    assert joined(reader.push('{"city": ')) == [TextDelta('{"city":')]


def test_halves_of_characters_do_not_leave_a_call() -> None:
    text = '{"name": "now", "arguments": {"a": "\\ud83d", "b": "\\ud83d\\ude00"}}'
    assert events_of([text], GENERIC) == [ToolCall(0, "now", {"a": "\ufffd", "b": "😀"})]


def test_text_of_nothing_but_opening_marks_is_read_in_bounded_steps() -> None:
    text = "<tool_call>x" * 3000 + "</tool_call>"
    assert events_of([text], BY_NAME["hermes"]) == [TextDelta(text)]


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("meta-llama-Llama-3.2-3B-Instruct", "llama-3"),
        ("Qwen-Qwen2.5-7B-Instruct", "hermes"),
        ("Qwen-Qwen3-0.6B", "hermes"),
        ("google-gemma-2-2b-it", "gemma"),
        ("mistralai-Mistral-Nemo-Instruct-2407", "mistral"),
        ("microsoft-Phi-3.5-mini-instruct", "generic"),
    ],
)
def test_a_templates_own_text_tells_the_dialect(templates: Any, template: str, name: str) -> None:
    assert dialect_of((templates / f"{template}.jinja").read_text(encoding="utf-8")).name == name


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("[TOOL_CALLS]{{ name }}[ARGS]", "mistral-named"),
        ("<|tool|>{{ tools }}<|/tool|>", "phi-4-mini"),
        ("functools[{{ calls }}]", "functools"),
        ("<｜tool▁calls▁begin｜>", "deepseek"),
        ("{{ messages }}", "generic"),
        (None, "generic"),
    ],
)
def test_signs_of_other_families(template: str | None, name: str) -> None:
    assert dialect_of(template).name == name
