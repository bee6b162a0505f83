"""OpenAI's Python client, unmodified."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from server.running import Running

openai = pytest.importorskip("openai", reason="the client is not installed: pip install openai")


TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@pytest.fixture(scope="module")
def client(scripted: Running) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{scripted.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def say(name: str) -> Any:
    return [{"role": "user", "content": f"Please say:{name}"}]


def chat(client: Any, name: str, **more: Any) -> Any:
    return client.chat.completions.create(model="scripted", messages=say(name), **more)


def streamed(client: Any, name: str, **more: Any) -> list[Any]:
    return list(chat(client, name, stream=True, **more))


def test_an_answer_has_text_usage_and_a_reason(client: Any) -> None:
    answer = chat(client, "words")
    assert answer.choices[0].message.content == "Deux words and a few more."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "scripted"
    assert answer.usage.completion_tokens == 7
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 7


def test_the_second_request_tells_what_was_cached(client: Any) -> None:
    chat(client, "words", user="first")
    usage = chat(client, "words").usage
    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_tokens - 1


def test_times_are_part_of_an_answer(client: Any) -> None:
    timings = chat(client, "words").timings
    assert timings["predicted_n"] == 7
    assert timings["prompt_n"] + timings["cache_n"] == chat(client, "words").usage.prompt_tokens
    assert timings["time_to_first_token_ms"] > 0


def test_a_stream_is_the_same_answer_in_pieces(client: Any) -> None:
    chunks = streamed(client, "words")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Deux words and a few more."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_tells_its_usage_at_the_end_if_it_was_asked_to(client: Any) -> None:
    *_, last = streamed(client, "words", stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage.completion_tokens == 7


def test_a_limit_ends_the_answer_with_length(client: Any) -> None:
    for limit in ({"max_tokens": 2}, {"max_completion_tokens": 2}):
        choice = chat(client, "words", **limit).choices[0]
        assert (choice.message.content, choice.finish_reason) == ("Deux words", "length")


def test_a_stop_text_ends_the_answer_and_is_no_part_of_it(client: Any) -> None:
    for stop in (" and", ["never", "rds a"]):
        choice = chat(client, "words", stop=stop).choices[0]
        assert choice.finish_reason == "stop"
        assert choice.message.content == ("Deux words" if stop == " and" else "Deux wo")


def test_reasoning_has_both_names_and_is_no_part_of_the_text(client: Any) -> None:
    answer = chat(client, "think")
    message = answer.choices[0].message
    assert message.content == "It is so."
    assert message.reasoning == message.reasoning_content == "Let me see."
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0
    chunks = streamed(client, "think")
    deltas = [chunk.choices[0].delta.model_extra for chunk in chunks]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Let me see."
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "It is so."


def test_a_call_has_arguments_as_text(client: Any) -> None:
    choice = chat(client, "call", tools=[TOOL]).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Well."
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert call.id.startswith("call_")
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Paris"}')


def test_several_calls_come_in_one_answer_unless_that_is_forbidden(client: Any) -> None:
    message = chat(client, "calls", tools=[TOOL]).choices[0].message
    assert message.content is None
    assert [call.function.arguments for call in message.tool_calls] == ['{"city":"Paris"}', '{"city":"Rome"}']
    one = chat(client, "calls", tools=[TOOL], parallel_tool_calls=False).choices[0]
    assert [call.function.arguments for call in one.message.tool_calls] == ['{"city":"Paris"}']
    assert one.finish_reason == "tool_calls"


def test_streamed_calls_are_numbered(client: Any) -> None:
    chunks = streamed(client, "calls", tools=[TOOL])
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert [(call.index, call.function.arguments) for call in calls] == [
        (0, '{"city":"Paris"}'),
        (1, '{"city":"Rome"}'),
    ]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_the_result_of_a_call_goes_back_to_the_model(client: Any) -> None:
    call = chat(client, "call", tools=[TOOL]).choices[0].message
    messages = [
        *say("call"),
        call.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "rain"},
    ]
    answer = client.chat.completions.create(model="scripted", messages=messages, tools=[TOOL])
    assert answer.choices[0].message.content == "It rains there."


def test_no_tool_is_called_where_none_may_be(client: Any) -> None:
    choice = chat(client, "call", tools=[TOOL], tool_choice="none").choices[0]
    assert choice.message.tool_calls is None
    assert choice.finish_reason == "stop"


def test_a_tool_that_is_not_offered_can_not_be_chosen(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="'sun'") as caught:
        chat(client, "call", tools=[TOOL], tool_choice={"type": "function", "function": {"name": "sun"}})
    assert caught.value.param == "tool_choice"


def test_several_answers_have_an_index_each(client: Any) -> None:
    answer = chat(client, "words", n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"Deux words and a few more."}
    assert answer.usage.completion_tokens == 21
    texts = ["", ""]
    for chunk in streamed(client, "words", n=2):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == ["Deux words and a few more."] * 2


def test_log_probabilities_are_those_of_the_tokens(client: Any) -> None:
    tokens = chat(client, "words", logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == "Deux words and a few more."
    assert all(-1e-6 < token.logprob <= 0 for token in tokens)
    assert [len(token.top_logprobs) for token in tokens] == [2] * 7
    assert tokens[0].bytes == list(b"Deux")
    pieces = streamed(client, "words", logprobs=True)
    found = [one for chunk in pieces if chunk.choices[0].logprobs for one in chunk.choices[0].logprobs.content]
    assert [one.token for one in found] == [one.token for one in tokens]


def test_a_token_with_a_bias_is_said_or_not(client: Any, scripted: Running) -> None:
    model = scripted.state.models.loaded[0].engine
    (token,) = model.tokenize("?", add_special=False)
    choice = chat(client, "words", logit_bias={str(token): 100}, max_tokens=3).choices[0]
    assert choice.message.content == "???"


def test_a_seed_repeats_an_answer(client: Any) -> None:
    wild = {"seed": 5, "max_tokens": 20, "temperature": 20, "extra_body": {"top_k": 0}}
    first, second = (chat(client, "words", **wild).choices[0].message.content for _ in range(2))
    other = chat(client, "words", **{**wild, "seed": 6}).choices[0].message.content
    assert first == second != other


def test_null_fields_and_unknown_ones_change_nothing(client: Any) -> None:
    answer = chat(client, "words", extra_body={"stop": None, "n": None, "what": {"is": "this"}}, user="u", store=True)
    assert answer.choices[0].message.content == "Deux words and a few more."


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", "hot"),
        ("top_p", 2),
        ("n", 0),
        ("logit_bias", [1]),
        ("stream", "yes"),
        ("tools", [{"type": "function"}]),
        ("messages", []),
        ("response_format", {"type": "xml"}),
        ("seed", 1.5),
    ],
)
def test_a_wrong_field_is_named(client: Any, field: str, value: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, "words", extra_body={field: value})
    assert caught.value.param is not None
    assert caught.value.param.startswith(field)
    assert caught.value.type == "invalid_request_error"


def test_an_unknown_model_is_not_found(client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="model 'gpt' not found") as caught:
        client.chat.completions.create(model="gpt", messages=say("words"))
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt")


def test_a_prompt_that_is_too_long_is_refused_with_both_numbers(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match=r"20\d\d\d tokens, the context window 4096") as caught:
        client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": "x" * 20_000}])
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError):
        list(
            client.chat.completions.create(
                model="scripted", messages=[{"role": "user", "content": "x" * 20_000}], stream=True
            )
        )


def test_images_are_refused_where_the_model_can_not_see(client: Any) -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(openai.BadRequestError, match="can not see images"):
        client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": [part]}])


def test_a_completion_goes_on_with_its_prompt(client: Any) -> None:
    choice = client.completions.create(model="scripted", prompt="<|words|>").choices[0]
    assert choice.text == "Deux words and a few more."
    assert choice.finish_reason == "stop"
    chunks = list(client.completions.create(model="scripted", prompt="<|words|>", echo=True, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "<|words|>Deux words and a few more."


def test_several_prompts_are_answered_in_their_order(client: Any, scripted: Running) -> None:
    tokens = scripted.state.models.loaded[0].engine.tokenize("<|json|>", parse_special=True)
    answer = client.completions.create(model="scripted", prompt=["<|words|>", "<|think|>"], n=2, max_tokens=1)
    assert [choice.text for choice in answer.choices] == ["Deux", "Deux", "<think>", "<think>"]
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.usage.completion_tokens == 4
    for prompt in (tokens, [tokens]):
        assert client.completions.create(model="scripted", prompt=prompt, max_tokens=1).choices[0].text == '{"name"'


def test_the_best_of_several_is_the_likeliest(client: Any) -> None:
    wild: dict[str, Any] = {"prompt": "<|words|>", "max_tokens": 3, "temperature": 30, "seed": 1, "logprobs": 0}
    wild |= {"model": "scripted", "extra_body": {"top_k": 0}}
    every = client.completions.create(n=8, **wild).choices
    (best,) = client.completions.create(n=1, best_of=8, **wild).choices
    assert len({choice.text for choice in every}) > 1
    assert sum(best.logprobs.token_logprobs) == max(sum(choice.logprobs.token_logprobs) for choice in every)
    with pytest.raises(openai.BadRequestError, match="best_of must be at least n"):
        client.completions.create(n=2, best_of=1, **wild)


def test_echo_with_logprobs_tells_those_of_the_prompt(client: Any) -> None:
    choice = client.completions.create(
        model="scripted", prompt="<|turn|>user<|words|>", echo=True, logprobs=2, max_tokens=1
    ).choices[0]  # fmt: skip
    logprobs = choice.logprobs
    assert logprobs.tokens == ["<|turn|>", "u", "s", "e", "r", "<|words|>", "Deux"]
    assert logprobs.token_logprobs[0] is None
    assert logprobs.token_logprobs[-1] == pytest.approx(0, abs=1e-6)
    assert len(logprobs.tokens) == len(logprobs.top_logprobs)


def test_a_suffix_needs_a_model_that_fills_gaps(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="does not support insert"):
        client.completions.create(model="scripted", prompt="a", suffix="b")


def test_embeddings_are_the_same_as_numbers_and_as_base64(scripted: Running, client: Any) -> None:
    texts = ["a text", "another"]
    numbers = client.embeddings.create(model="scripted", input=texts, encoding_format="float").data
    assert [one.index for one in numbers] == [0, 1]
    assert math.hypot(*numbers[0].embedding) == pytest.approx(1, abs=1e-5)
    raw = client.embeddings.with_raw_response.create(model="scripted", input=texts, encoding_format="base64")
    for one, other in zip(raw.http_response.json()["data"], numbers, strict=True):
        data = base64.b64decode(one["embedding"])
        assert struct.unpack(f"<{len(data) // 4}f", data) == pytest.approx(other.embedding, abs=1e-6)
    assert client.embeddings.create(model="scripted", input=texts).data[1].embedding == pytest.approx(
        numbers[1].embedding, abs=1e-6
    )


def test_embeddings_can_be_cut(client: Any) -> None:
    (one,) = client.embeddings.create(model="scripted", input="a text", dimensions=128).data
    assert len(one.embedding) == 128
    assert math.hypot(*one.embedding) == pytest.approx(1, abs=1e-5)
    with pytest.raises(openai.BadRequestError, match="dimensions must be at most"):
        client.embeddings.create(model="scripted", input="a", dimensions=100_000)


def test_models_are_listed_and_found(client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["scripted:latest"]
    model = client.models.retrieve("scripted")
    assert (model.id, model.object, model.owned_by) == ("scripted", "model", "library")
