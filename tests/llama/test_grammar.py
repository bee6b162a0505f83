"""`Llama` keeps to grammars, response formats and choices of tools, as llama-cpp-python's callers ask for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewise import InvalidArgument, Llama, UnsupportedError
from edgewise.engine.models import DEMO
from edgewise.llama import LlamaGrammar

pytest.importorskip("llguidance", reason="the extra `serve` is not installed")

HELLO = [{"role": "user", "content": "Hello"}]
SCHEMA = {
    "type": "object",
    "properties": {"size": {"enum": ["small", "large"]}, "count": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["size", "count"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "order", "description": "Orders.", "parameters": SCHEMA}}
NAMED = {"type": "function", "function": {"name": "order"}}


@pytest.fixture(scope="module")
def demo() -> Iterator[Llama]:
    with Llama(model_path=str(DEMO), n_ctx=1024, verbose=False) as llama:
        yield llama


def content_of(answer: Any) -> Any:
    return json.loads(answer["choices"][0]["message"]["content"])


def check(order: Any) -> None:
    assert order.keys() == {"size", "count"}
    assert order["size"] in ("small", "large")


def test_a_completion_keeps_to_a_grammar(demo: Llama) -> None:
    grammar = LlamaGrammar.from_string('root ::= "yes" | "no" | "per" "haps"')
    for seed in range(4):
        completion: Any = demo("Is it?", grammar=grammar, max_tokens=32, seed=seed)
        assert completion["choices"][0]["text"] in ("yes", "no", "perhaps")
        assert completion["choices"][0]["finish_reason"] == "stop"


def test_a_stream_keeps_to_a_grammar(demo: Llama) -> None:
    grammar = LlamaGrammar.from_string('%llguidance {}\nstart: "a" /[0-9]{3}/ "z"')
    chunks: Any = list(demo("Is it?", grammar=grammar, max_tokens=32, stream=True, seed=1))
    text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
    assert text[0] == "a"
    assert text[1:4].isdecimal()
    assert text[4:] == "z"


def test_a_grammar_comes_from_a_file_or_a_schema(demo: Llama, tmp_path: Path) -> None:
    (tmp_path / "x.gbnf").write_text('root ::= "x"')
    of_file: Any = demo("Is it?", grammar=LlamaGrammar.from_file(tmp_path / "x.gbnf"), max_tokens=8)
    assert of_file["choices"][0]["text"] == "x"
    of_schema: Any = demo("Is it?", grammar=LlamaGrammar.from_json_schema(json.dumps(SCHEMA)), max_tokens=200)
    check(json.loads(of_schema["choices"][0]["text"]))
    (tmp_path / "empty.gbnf").touch()
    with pytest.raises(ValueError, match="empty"):
        LlamaGrammar.from_file(tmp_path / "empty.gbnf")


def test_a_faulty_grammar_is_refused_with_the_reason(demo: Llama) -> None:
    with pytest.raises(InvalidArgument, match="line 1: there is no rule 'x'"):
        demo("Is it?", grammar=LlamaGrammar.from_string("root ::= x"))
    with pytest.raises(InvalidArgument, match="grammar must be a LlamaGrammar"):
        demo("Is it?", grammar='root ::= "x"')


def test_an_answer_is_json_of_a_schema(demo: Llama) -> None:
    formats: list[dict[str, Any]] = [
        {"type": "json_object", "schema": SCHEMA},
        {"type": "json_schema", "json_schema": {"name": "order", "schema": SCHEMA}},
    ]
    for response_format in formats:
        answer: Any = demo.create_chat_completion(HELLO, response_format=response_format, max_tokens=300)
        check(content_of(answer))


@pytest.mark.parametrize(
    "response_format",
    [5, {}, {"type": "xml"}, {"type": "json_schema"}, {"type": "json_object", "schema": 5}],
)
def test_a_response_format_of_another_form_is_refused(demo: Llama, response_format: Any) -> None:
    with pytest.raises(InvalidArgument, match="response_format"):
        demo.create_chat_completion(HELLO, response_format=response_format)


def test_text_is_a_response_format(demo: Llama) -> None:
    answer: Any = demo.create_chat_completion(HELLO, response_format={"type": "text"}, max_tokens=4)
    assert answer["choices"][0]["message"]["content"]


def test_a_tool_that_is_named_is_called(demo: Llama) -> None:
    answer: Any = demo.create_chat_completion(HELLO, tools=[TOOL], tool_choice=NAMED, max_tokens=300)
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["function"]["name"] == "order"
    check(json.loads(call["function"]["arguments"]))


def test_functions_are_tools_by_their_older_name(demo: Llama) -> None:
    answer: Any = demo.create_chat_completion(
        HELLO, functions=[TOOL["function"]], function_call={"name": "order"}, max_tokens=300
    )
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "order"


def test_a_stream_tells_a_call_whole(demo: Llama) -> None:
    chunks: list[Any] = list(
        demo.create_chat_completion(HELLO, tools=[TOOL], tool_choice="required", max_tokens=300, stream=True)
    )
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant"}
    (call,) = (call for delta in deltas for call in delta.get("tool_calls", []))
    assert call["index"] == 0
    check(json.loads(call["function"]["arguments"]))
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_an_answer_need_not_call(demo: Llama) -> None:
    for choice in (None, "auto", "none"):
        answer: Any = demo.create_chat_completion(HELLO, tools=[TOOL], tool_choice=choice, max_tokens=8, temperature=0)
        assert answer["choices"][0]["finish_reason"] in ("stop", "length")
        assert answer["choices"][0]["message"]["content"]


def test_tools_of_another_form_are_refused(demo: Llama) -> None:
    for tools in (5, [5]):
        with pytest.raises(InvalidArgument, match="tools"):
            demo.create_chat_completion(HELLO, tools=tools)


def test_tools_need_a_template_of_the_file(llm: Llama) -> None:
    with pytest.raises(UnsupportedError, match="tools need the chat template"):
        llm.create_chat_completion(HELLO, tools=[TOOL])
