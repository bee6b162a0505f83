"""Answers of a wanted form, by OpenAI's Python client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from server.running import Running

openai = pytest.importorskip("openai", reason="the client is not installed: pip install openai")
pytest.importorskip("llguidance", reason="llguidance is not installed: pip install 'edgewise[serve]'")
pydantic = pytest.importorskip("pydantic")


class Person(pydantic.BaseModel):  # type: ignore[misc, name-defined]
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


def test_a_schema_that_can_not_be_served_is_refused_with_the_reason(client: Any) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    with pytest.raises(openai.BadRequestError, match="nonsense"):
        client.chat.completions.create(model="scripted", messages=say("words"), response_format=schema)
    with pytest.raises(openai.BadRequestError, match="schema is required"):
        client.chat.completions.create(model="scripted", messages=say("words"), response_format={"type": "json_schema"})


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
