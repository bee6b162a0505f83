"""Anthropic's Python client, unmodified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from server.running import Running, StartServer

anthropic = pytest.importorskip("anthropic", reason="the client is not installed: pip install anthropic")


TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def client_of(running: Running, key: str = "none") -> Any:
    return anthropic.Anthropic(base_url=running.url, api_key=key, max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def client(scripted: Running) -> Iterator[Any]:
    with client_of(scripted) as client:
        yield client


def ask(client: Any, name: str, **more: Any) -> Any:
    given = {"model": "scripted", "max_tokens": 100, "messages": [{"role": "user", "content": f"Please say:{name}"}]}
    return client.messages.create(**{**given, **more})


def test_an_answer_has_text_usage_and_a_reason(client: Any) -> None:
    answer = ask(client, "words", system="Be kind.")
    assert [block.text for block in answer.content] == ["Deux words and a few more."]
    assert (answer.stop_reason, answer.stop_sequence, answer.role, answer.type) == (
        "end_turn", None, "assistant", "message",
    )  # fmt: skip
    assert answer.usage.output_tokens == 7
    assert answer.timings["predicted_n"] == 7


def test_cached_tokens_are_counted_apart(client: Any) -> None:
    first = ask(client, "words", system="To be cached.").usage
    second = ask(client, "words", system="To be cached.").usage
    assert second.input_tokens == 1
    assert second.cache_read_input_tokens + 1 == first.input_tokens + first.cache_read_input_tokens


def test_system_and_content_may_be_blocks(client: Any) -> None:
    text: Any = [{"type": "text", "text": "Please say:words", "cache_control": {"type": "ephemeral"}}]
    answer = ask(client, "", system=[{"type": "text", "text": "Be."}], messages=[{"role": "user", "content": text}])
    assert answer.content[0].text == "Deux words and a few more."


def test_a_limit_and_a_stop_text_are_told_apart(client: Any) -> None:
    cut = ask(client, "words", max_tokens=2)
    assert (cut.content[0].text, cut.stop_reason) == ("Deux words", "max_tokens")
    stopped = ask(client, "words", stop_sequences=["never", " few"])
    assert (stopped.content[0].text, stopped.stop_reason, stopped.stop_sequence) == (
        "Deux words and a", "stop_sequence", " few",
    )  # fmt: skip


def test_reasoning_is_a_block_of_its_own(client: Any) -> None:
    thinking, text = ask(client, "think", thinking={"type": "enabled", "budget_tokens": 1024}).content
    assert (thinking.type, thinking.thinking) == ("thinking", "Let me see.")
    assert text.text == "It is so."


def test_a_call_is_a_block_and_its_result_goes_back(client: Any) -> None:
    answer = ask(client, "call", tools=[TOOL])
    text, call = answer.content
    assert answer.stop_reason == "tool_use"
    assert (text.text, call.type, call.name, call.input) == ("Well.", "tool_use", "weather", {"city": "Paris"})
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "rain"}]}
    messages: Any = [
        {"role": "user", "content": "Please say:call"},
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [result]},
    ]
    assert ask(client, "", tools=[TOOL], messages=messages).content[0].text == "It rains there."


def test_one_call_comes_where_several_are_forbidden(client: Any) -> None:
    assert len(ask(client, "calls", tools=[TOOL]).content) == 2
    one = ask(client, "calls", tools=[TOOL], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert [block.input for block in one.content] == [{"city": "Paris"}]


def test_a_call_that_must_be_is(client: Any) -> None:
    pytest.importorskip("llguidance", reason="llguidance is not installed: pip install 'edgewise[serve]'")
    city = {"type": "object", "properties": {"city": {"enum": ["Lima"]}}, "required": ["city"]}
    tools: Any = [{"name": "weather", "input_schema": {**city, "additionalProperties": False}}]
    choice = {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}
    answer = ask(client, "words", tools=tools, tool_choice=choice, max_tokens=200)
    assert [(block.name, block.input) for block in answer.content] == [("weather", {"city": "Lima"})]


def test_an_answer_goes_on_with_what_the_assistant_began(client: Any) -> None:
    messages = [{"role": "user", "content": "Please say:words"}, {"role": "assistant", "content": "It begins so"}]
    with_prefix = client.messages.count_tokens(model="scripted", messages=messages).input_tokens
    without = client.messages.count_tokens(model="scripted", messages=messages[:1]).input_tokens
    # The beginning stands in the prompt, and no token that opens an answer or closes this one.
    assert with_prefix == without - 1 + len("assistant It begins so") + 1


def test_events_come_in_the_order_that_clients_rely_on(client: Any) -> None:
    events = list(ask(client, "think-call", tools=[TOOL], stream=True))
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    depth = 0
    for event in events:
        if event.type == "content_block_start":
            assert depth == 0
            depth += 1
        elif event.type == "content_block_stop":
            depth -= 1
        elif event.type == "content_block_delta":
            assert depth == 1
    assert [event.index for event in events if event.type == "content_block_start"] == [0, 1]
    assert [event.content_block.type for event in events if event.type == "content_block_start"] == [
        "thinking",
        "tool_use",
    ]
    assert events[-2].delta.stop_reason == "tool_use"
    assert events[-2].usage.output_tokens > 0


def test_the_client_s_own_stream_adds_up_to_the_message(client: Any) -> None:
    given: Any = {"model": "scripted", "max_tokens": 100, "tools": [TOOL]}
    for name in ("words", "think", "call", "calls", "think-call"):
        messages: Any = [{"role": "user", "content": f"Please say:{name}"}]
        with client.messages.stream(messages=messages, **given) as stream:
            found = stream.get_final_message()
        wanted = client.messages.create(messages=messages, **given)
        ids = {"id": True}
        assert [block.model_dump(exclude=ids) for block in found.content] == [
            block.model_dump(exclude=ids) for block in wanted.content
        ]
        assert found.stop_reason == wanted.stop_reason
        assert found.usage.output_tokens == wanted.usage.output_tokens


def test_tokens_are_counted_as_an_answer_counts_them(client: Any) -> None:
    messages: Any = [{"role": "user", "content": "Please say:words"}]
    counted = client.messages.count_tokens(model="scripted", messages=messages, system="Be.", tools=[TOOL])
    usage = ask(client, "words", system="Be.", tools=[TOOL]).usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


def test_models_are_listed(client: Any) -> None:
    assert [(model.id, model.type) for model in client.models.list()] == [("scripted:latest", "model")]
    assert client.models.retrieve("scripted").id == "scripted"


def test_errors_have_the_form_of_the_protocol(client: Any) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model 'claude' not found") as caught:
        ask(client, "words", model="claude")
    assert caught.value.body["error"]["type"] == "not_found_error"
    assert caught.value.body["request_id"].startswith("req_")
    with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\].content must be a text or a list"):
        ask(client, "words", messages=[{"role": "user", "content": 5}])
    image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    with pytest.raises(anthropic.BadRequestError, match="can not see images"):
        ask(client, "words", messages=[{"role": "user", "content": [image]}])
    with pytest.raises(anthropic.BadRequestError, match="web_search_20250305"):
        ask(client, "words", tools=[{"type": "web_search_20250305", "name": "web_search"}])


def test_keys_are_checked(start: StartServer) -> None:
    running = start(api_keys=("secret",))
    messages: Any = [{"role": "user", "content": "hello"}]
    with client_of(running, "wrong") as stranger, pytest.raises(anthropic.AuthenticationError) as caught:
        stranger.messages.create(model="demo", max_tokens=1, messages=messages)
    assert caught.value.body["error"]["type"] == "authentication_error"
    with client_of(running, "secret") as friend:
        assert friend.messages.create(model="demo", max_tokens=1, messages=messages).content


def test_a_call_that_is_cut_short_is_no_text(client: Any) -> None:
    pytest.importorskip("llguidance", reason="pip install 'edgewise[serve]'")
    answer = client.messages.create(
        model="scripted", max_tokens=10, messages=[{"role": "user", "content": "Please say:words"}],
        tools=[{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"enum": ["Lima"]}}}}],
        tool_choice={"type": "any"},
    )  # fmt: skip
    assert (answer.stop_reason, answer.content) == ("max_tokens", [])
