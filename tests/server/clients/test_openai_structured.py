"""Answers of a wanted form, by OpenAI's Python client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from server.running import Running

openai = pytest.importorskip("openai", reason="the client is not installed: pip install openai")
pytest.importorskip("llguidance", reason="llguidance is not installed: pip install 'edgewise[serve]'")
pydantic: Any = pytest.importorskip("pydantic")


class Person(pydantic.BaseModel):
    """Of few words, as what the schema leaves open is all the same to the model."""

    name: Literal["Ada", "Eve"]
    age: Literal[36, 37]


CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Lima"]}},
    "required": ["city"],
    "additionalProperties": False,
}


def tool(name: str) -> Any:
    return {"type": "function", "function": {"name": name, "parameters": CITY}}


@pytest.fixture(scope="module")
def client(scripted: Running) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{scripted.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def say(name: str) -> Any:
    return [{"role": "user", "content": f"Please say:{name}"}]


def test_a_class_is_parsed_from_an_answer(client: Any) -> None:
    answer = client.chat.completions.parse(model="scripted", messages=say("words"), response_format=Person)
    assert isinstance(answer.choices[0].message.parsed, Person)


def test_a_class_is_parsed_from_a_response(client: Any) -> None:
    answer = client.responses.parse(model="scripted", input=say("words"), text_format=Person)
    assert isinstance(answer.output_parsed, Person)


def test_an_answer_follows_the_schema_whatever_the_model_would_say(client: Any) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}
    text = client.chat.completions.create(
        model="scripted", messages=say("words"), response_format=schema, max_tokens=100
    ).choices[0].message.content  # fmt: skip
    assert json.loads(text) == {"city": "Lima"}


def test_an_answer_follows_a_grammar(client: Any) -> None:
    answer = client.chat.completions.create(
        model="scripted", messages=say("words"), extra_body={"grammar": 'root ::= "a" [bc] "d"'}
    )
    assert answer.choices[0].message.content in ("abd", "acd")


@pytest.mark.parametrize(
    "wish",
    [
        {"response_format": {"type": "regex", "pattern": "a[bc]d"}},
        {"response_format": {"type": "lark", "grammar": "start: /a[bc]d/"}},
        {"response_format": {"type": "gbnf", "grammar": 'root ::= "a" [bc] "d"'}},
        {"guided_regex": "a[bc]d"},
        {"guided_grammar": 'root ::= "a" [bc] "d"'},
    ],
)
def test_an_answer_follows_a_form_of_every_language(client: Any, wish: Any) -> None:
    answer = client.chat.completions.create(model="scripted", messages=say("words"), extra_body=wish)
    assert answer.choices[0].message.content in ("abd", "acd")
    completed = client.completions.create(model="scripted", prompt="x", max_tokens=20, extra_body=wish)
    assert completed.choices[0].text in ("abd", "acd")


@pytest.mark.parametrize(("kind", "field"), [("regex", "pattern"), ("lark", "grammar"), ("gbnf", "grammar")])
def test_a_form_without_its_text_is_refused_by_name(client: Any, kind: str, field: str) -> None:
    with pytest.raises(openai.BadRequestError, match=rf"response_format\.{field} is required"):
        client.chat.completions.create(model="scripted", messages=say("words"), response_format={"type": kind})


def test_a_schema_that_is_left_out_asks_for_any_object(client: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "any"}}
    text = client.chat.completions.create(
        model="scripted", messages=say("json"), response_format=form, max_tokens=100
    ).choices[0].message.content  # fmt: skip
    assert json.loads(text) == {"name": "Ada", "age": 36}


def test_functions_of_before_are_taken_as_tools(client: Any) -> None:
    called = {"name": "weather", "arguments": '{"city": "Paris"}'}
    messages = [
        *say("call"),
        {"role": "assistant", "content": None, "function_call": called},
        {"role": "function", "name": "weather", "content": "rain"},
    ]
    answer = client.chat.completions.create(model="scripted", messages=messages)
    assert answer.choices[0].message.content == "It rains there."


def test_a_schema_that_can_not_be_served_is_refused_with_the_reason(client: Any) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    with pytest.raises(openai.BadRequestError, match="nonsense"):
        client.chat.completions.create(model="scripted", messages=say("words"), response_format=schema)


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function", "function": {"name": "weather"}},
        {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "weather"}}]},
        },
    ],
)
def test_a_call_that_must_be_is(client: Any, choice: Any) -> None:
    answer = client.chat.completions.create(
        model="scripted", messages=say("words"), tools=[tool("weather"), tool("sun")], tool_choice=choice,
        parallel_tool_calls=False, max_tokens=200,
    ).choices[0]  # fmt: skip
    assert answer.finish_reason == "tool_calls"
    assert [call.function.name for call in answer.message.tool_calls] == ["weather"]
    assert json.loads(answer.message.tool_calls[0].function.arguments) == {"city": "Lima"}


def test_a_call_that_is_cut_short_is_no_content(client: Any) -> None:
    wish: Any = {
        "model": "scripted", "messages": say("words"), "tools": [tool("weather")], "tool_choice": "required",
        "max_tokens": 10,
    }  # fmt: skip
    whole = client.chat.completions.create(**wish).choices[0]
    assert (whole.finish_reason, whole.message.content, whole.message.tool_calls) == ("length", "", None)
    parts = [one.choices[0] for one in client.chat.completions.create(**wish, stream=True)]
    assert "".join(part.delta.content or "" for part in parts) == ""
    assert parts[-1].finish_reason == "length"


def test_some_call_must_be_where_one_is_required(client: Any) -> None:
    answer = client.chat.completions.create(
        model="scripted", messages=say("words"), tools=[tool("weather"), tool("sun")], tool_choice="required",
        parallel_tool_calls=False, max_tokens=200,
    ).choices[0]  # fmt: skip
    assert [call.function.name in ("weather", "sun") for call in answer.message.tool_calls] == [True]
    response = client.responses.create(
        model="scripted", input=say("words"), tools=[{"type": "function", "name": "sun", "parameters": CITY}],
        tool_choice={"type": "function", "name": "sun"}, parallel_tool_calls=False, max_output_tokens=200,
    )  # fmt: skip
    assert [(item.type, item.name, json.loads(item.arguments)) for item in response.output] == [
        ("function_call", "sun", {"city": "Lima"})
    ]
