"""OpenAI's Python client and its Responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from server.running import Running

openai = pytest.importorskip("openai", reason="the client is not installed: pip install openai")


TOOL: Any = {
    "type": "function", "name": "weather", "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}  # fmt: skip


@pytest.fixture(scope="module")
def client(scripted: Running) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{scripted.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def ask(client: Any, name: str, **more: Any) -> Any:
    return client.responses.create(model="scripted", input=f"Please say:{name}", **more)


def test_a_response_has_text_status_and_usage(client: Any) -> None:
    response = ask(client, "words", instructions="Be kind.", metadata={"a": "b"})
    assert response.output_text == "Deux words and a few more."
    assert (response.status, response.object, response.metadata) == ("completed", "response", {"a": "b"})
    assert response.usage.output_tokens == 7
    assert response.usage.total_tokens == response.usage.input_tokens + 7


def test_a_response_that_is_cut_is_incomplete(client: Any) -> None:
    response = ask(client, "words", max_output_tokens=2)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.output[0].status == "incomplete"
    *_, last = ask(client, "words", max_output_tokens=2, stream=True)
    assert last.type == "response.incomplete"


def test_reasoning_is_an_item_of_its_own(client: Any) -> None:
    reasoning, message = ask(client, "think").output
    assert reasoning.type == "reasoning"
    assert reasoning.summary[0].text == "Let me see."
    assert message.content[0].text == "It is so."


def test_calls_are_items_and_their_results_go_back(client: Any) -> None:
    response = ask(client, "call", tools=[TOOL])
    message, call = response.output
    assert message.content[0].text == "Well."
    assert (call.type, call.name, call.arguments) == ("function_call", "weather", '{"city":"Paris"}')
    history = [{"role": "user", "content": "Please say:call"}, *response.output]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    assert (
        client.responses.create(model="scripted", input=[*history, result], tools=[TOOL]).output_text
        == "It rains there."
    )


def test_a_tool_with_free_text_gets_its_input(client: Any) -> None:
    custom = {"type": "custom", "name": "weather", "description": "takes any text"}
    call = ask(client, "calls", tools=[custom], parallel_tool_calls=False).output[-1]
    assert (call.type, call.name) == ("custom_tool_call", "weather")
    result = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "rain"}
    history = [{"role": "user", "content": "x"}, call, result]
    assert client.responses.create(model="scripted", input=history, tools=[custom]).output_text == "It rains there."


def test_the_model_is_not_told_of_tools_that_nobody_runs_here(client: Any) -> None:
    response = ask(client, "words", tools=[{"type": "web_search"}, TOOL])
    assert [tool.type for tool in response.tools] == ["function"]


def test_events_tell_of_each_item_from_its_beginning_to_its_end(client: Any) -> None:
    events = list(ask(client, "think-call", tools=[TOOL], stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert list(dict.fromkeys(kinds)) == [
        "created", "in_progress", "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
        "function_call_arguments.delta", "function_call_arguments.done", "completed",
    ]  # fmt: skip
    assert kinds.count("output_item.added") == kinds.count("output_item.done") == 2
    assert [event.output_index for event in events if event.type == "response.output_item.done"] == [0, 1]


def test_the_client_s_own_stream_adds_up_to_the_response(client: Any) -> None:
    with client.responses.stream(model="scripted", input="Please say:words") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text == "Deux words and a few more."


def test_tokens_are_counted_without_an_answer(client: Any) -> None:
    counted = client.responses.input_tokens.count(model="scripted", input="Please say:words", instructions="Hm.")
    assert counted.input_tokens == ask(client, "words", instructions="Hm.").usage.input_tokens


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("input", [{"type": "item_reference", "id": "x"}]),
        ("background", True),
        ("tool_choice", {"type": "function", "name": "sun"}),
        ("temperature", "warm"),
    ],
)
def test_what_needs_a_memory_or_is_wrong_is_refused_by_name(client: Any, field: str, value: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "words", extra_body={field: value})
    assert caught.value.param is not None
    assert caught.value.param.startswith(field)
