"""Messages are changed where a template cannot take them as they are, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chat.cases import ANSWER, CALL, NEXT, RESULT, SYSTEM, TOOL, USER
from edgewise.chat.dialects import GENERIC, dialect_of
from edgewise.chat.messages import adapt
from edgewise.chat.template import ChatTemplate, Message
from edgewise.chat.traits import Traits, find_traits
from edgewise.errors import InvalidArgument

TAKES_ALL = Traits(takes_tools=True, takes_calls=True, takes_parallel_calls=True, takes_results=True)


def adapted(messages: list[Message], **traits: Any) -> list[Message]:
    return adapt(messages, Traits(**{**vars(TAKES_ALL), **traits}), GENERIC)


def calls(*ids: str) -> Message:
    return {**CALL, "tool_calls": [{**CALL["tool_calls"][0], "id": one} for one in ids]}


def traits_of(templates: Path, name: str) -> Traits:
    return find_traits(ChatTemplate((templates / f"{name}.jinja").read_text(encoding="utf-8"), "<s>", "</s>"))


def test_what_a_template_takes_stays_as_it_is() -> None:
    talk = [SYSTEM, USER, CALL, RESULT, ANSWER, NEXT]
    assert adapted(talk) == talk


def test_text_parts_become_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert adapted([{"role": "user", "content": parts}]) == [{"role": "user", "content": "ab"}]
    assert adapted([{"role": "user", "content": "a"}], takes_only_parts=True) == [
        {"role": "user", "content": [{"type": "text", "text": "a"}]}
    ]


def test_a_part_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="text"):
        adapted([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])


def test_arguments_are_an_object_or_a_text_as_the_template_wants_them() -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": '{"a": 1}'}}
    message: Message = {"role": "assistant", "content": "", "tool_calls": [call]}
    (whole,) = adapted([message])
    assert whole["tool_calls"] == [{"type": "function", "id": "1", "function": {"name": "f", "arguments": {"a": 1}}}]
    (text,) = adapted([message], arguments="text")
    assert text["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'


@pytest.mark.parametrize("arguments", ["{", "[1]", [1], 5])
def test_arguments_that_are_no_object_are_refused(arguments: object) -> None:
    message: Message = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}
    with pytest.raises(InvalidArgument, match="arguments of f"):
        adapted([message])


@pytest.mark.parametrize("call", [{}, 5, {"function": {}}, {"function": {"name": 1}}])
def test_a_call_without_a_name_is_refused(call: object) -> None:
    with pytest.raises(InvalidArgument, match="tool_calls"):
        adapted([{"role": "assistant", "tool_calls": [call]}])


@pytest.mark.parametrize("message", [5, {}, {"role": 1, "content": "a"}, {"content": "a"}])
def test_a_message_without_a_role_is_refused(message: Any) -> None:
    with pytest.raises(InvalidArgument, match="role"):
        adapted([message])


def test_a_message_of_anything_but_json_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="JSON's types"):
        adapted([{"role": "user", "content": "a", "x": object()}])


def test_a_result_has_the_name_of_what_was_called() -> None:
    result = {key: value for key, value in RESULT.items() if key != "name"}
    assert adapted([USER, CALL, result])[-1]["name"] == "get_weather"
    assert adapted([USER, {**result, "tool_name": "now"}])[-1]["name"] == "now"


def test_no_calls_are_no_field() -> None:
    assert adapted([{**ANSWER, "tool_calls": []}]) == [ANSWER]


def test_system_messages_go_into_the_first_user_message() -> None:
    assert adapted([{"role": "system", "content": "S"}, {"role": "user", "content": "U"}], takes_system=False) == [
        {"role": "user", "content": "S\n\nU"}
    ]
    assert adapted([{"role": "system", "content": "S"}], takes_system=False) == [{"role": "user", "content": "S"}]


def test_messages_of_one_role_in_a_row_become_one() -> None:
    talk = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, ANSWER, ANSWER]
    assert [one["content"] for one in adapted(talk, takes_repeated_roles=False)] == [
        "a\n\nb",
        f"{ANSWER['content']}\n\n{ANSWER['content']}",
    ]


def test_the_developer_is_the_system_where_a_template_knows_no_developer() -> None:
    assert adapted([{"role": "developer", "content": "D"}]) == [{"role": "system", "content": "D"}]
    assert adapted([{"role": "developer", "content": "D"}], knows_developer=True)[0]["role"] == "developer"


def test_ids_become_short_and_results_keep_theirs() -> None:
    results = [{**RESULT, "tool_call_id": "call_b"}, {**RESULT, "tool_call_id": "call_a"}]
    first, second, third = adapted([calls("call_a", "call_b"), *results], needs_short_ids=True)
    assert [one["id"] for one in first["tool_calls"]] == ["000000000", "000000001"]
    assert (second["tool_call_id"], third["tool_call_id"]) == ("000000001", "000000000")
    assert adapted([CALL, RESULT], needs_short_ids=True) == [CALL, RESULT]


def test_results_without_an_id_answer_calls_in_their_order() -> None:
    anonymous = {key: value for key, value in RESULT.items() if key != "tool_call_id"}
    message = {**CALL, "tool_calls": [{"function": {"name": "f", "arguments": {}}}] * 2}
    talk = adapted([message, anonymous, anonymous], needs_short_ids=True)
    assert [one["tool_call_id"] for one in talk[1:]] == [one["id"] for one in talk[0]["tool_calls"]]


def test_calls_at_once_become_turns_with_their_results() -> None:
    results = [{**RESULT, "tool_call_id": one} for one in ("b", "a")]
    talk = adapted([calls("a", "b"), *results, NEXT], takes_parallel_calls=False)
    assert [(one["role"], one.get("tool_call_id")) for one in talk] == [
        ("assistant", None),
        ("tool", "a"),
        ("assistant", None),
        ("tool", "b"),
        ("user", None),
    ]
    assert [len(one["tool_calls"]) for one in talk if "tool_calls" in one] == [1, 1]


def test_calls_are_written_out_where_a_template_shows_none() -> None:
    talk = adapted([USER, CALL, RESULT], takes_calls=False, takes_results=False)
    assert talk[1]["content"] == '{"name": "get_weather", "arguments": {"city": "Köln", "days": 2}}'
    assert talk[2] == {"role": "user", "content": 'Result of get_weather:\n{"sky": "clear"}'}


def test_traits_of_published_templates(templates: Path) -> None:
    qwen = traits_of(templates, "Qwen-Qwen2.5-7B-Instruct")
    assert qwen == Traits(takes_tools=True, takes_calls=True, takes_parallel_calls=True, takes_results=True)
    qwen3 = traits_of(templates, "Qwen-Qwen3-0.6B")
    assert qwen3 == Traits(
        takes_tools=True, takes_calls=True, takes_parallel_calls=True, takes_results=True, takes_missing_content=False
    )
    llama = traits_of(templates, "meta-llama-Llama-3.2-3B-Instruct")
    assert llama == Traits(takes_tools=True, takes_calls=True, takes_results=True)
    gemma = traits_of(templates, "google-gemma-2-2b-it")
    assert gemma == Traits(takes_system=False, takes_repeated_roles=False)
    mistral = traits_of(templates, "mistralai-Mistral-Nemo-Instruct-2407")
    assert mistral == Traits(
        takes_tools=True,
        takes_calls=True,
        takes_parallel_calls=True,
        takes_results=True,
        takes_repeated_roles=False,
        needs_short_ids=True,
    )
    assert traits_of(templates, "microsoft-Phi-3.5-mini-instruct") == Traits()


HARD_TALK: list[Message] = [
    {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
    USER,
    {"role": "user", "content": [{"type": "text", "text": "Please."}]},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Köln"}'}},
        {"id": "call_2", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Bonn"}'}},
    ]},
    {"role": "tool", "tool_call_id": "call_1", "content": "sun in Köln"},
    {"role": "tool", "tool_call_id": "call_2", "content": "rain in Bonn"},
    ANSWER,
    NEXT,
]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "HuggingFaceTB-SmolLM3-3B",
        "Qwen-Qwen2.5-7B-Instruct",
        "Qwen-Qwen3-0.6B",
        "google-gemma-2-2b-it",
        "meta-llama-Llama-3.2-3B-Instruct",
        "microsoft-Phi-3.5-mini-instruct",
        "mistralai-Mistral-Nemo-Instruct-2407",
    ],
)
def test_every_template_takes_a_hard_talk_once_it_is_adapted(templates: Path, name: str) -> None:
    source = (templates / f"{name}.jinja").read_text(encoding="utf-8")
    template = ChatTemplate(source, "<s>", "</s>")
    prompt = template.render(adapt(HARD_TALK, find_traits(template), dialect_of(source)), tools=[TOOL])
    places = [prompt.find(one) for one in ("Köln", "Please.", "sun in Köln", "rain in Bonn", "Sunny", "tomorrow")]
    assert places == sorted(places)
    assert -1 not in places
    assert "Be brief." in prompt


def test_what_is_refused_is_shown_as_the_json_that_was_sent() -> None:
    call = {"function": {"name": "f", "arguments": [True, None, "é"]}}
    with pytest.raises(InvalidArgument, match=r'must be an object, got \[true, null, "é"\]$'):
        adapt([USER, {"role": "assistant", "content": "", "tool_calls": [call]}], Traits(), GENERIC)
    with pytest.raises(InvalidArgument, match=r'a function with a name, got \{"y": 1\}$'):
        adapt([USER, {"role": "assistant", "content": "", "tool_calls": [{"y": 1}]}], Traits(), GENERIC)
