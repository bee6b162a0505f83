"""Ollama's own Python client, unmodified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewise.engine.models import DEMO
from server.running import Running, StartServer

ollama = pytest.importorskip("ollama", reason="the client is not installed: pip install ollama")

QUESTION = "What is a language model?"
GREEDY = {"temperature": 0}
Client = Callable[[Running], Any]


@pytest.fixture
def client() -> Iterator[Client]:
    """Makes clients, and closes their connections."""
    made: dict[str, Any] = {}
    yield lambda running: made.setdefault(running.url, ollama.Client(running.url))
    for one in made.values():
        one._client.close()


def test_generate_answers_in_one_piece_and_in_many(demo: Running, client: Client) -> None:
    whole = client(demo).generate("demo", QUESTION, options=GREEDY)
    parts = list(client(demo).generate("demo", QUESTION, options=GREEDY, stream=True))
    assert whole.done
    assert whole.done_reason == "stop"
    assert "".join(part.response for part in parts) == whole.response
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]


def test_metrics_stand_on_the_last_line_alone(demo: Running, client: Client) -> None:
    *parts, last = client(demo).generate("demo", QUESTION, stream=True)
    assert all(part.total_duration is None and part.eval_count is None for part in parts)
    assert last.eval_count >= len(parts)
    assert last.prompt_eval_count == len(last.context) - last.eval_count
    assert last.total_duration > last.eval_duration > 0


def test_a_chat_remembers_what_it_is_told(demo: Running, client: Client) -> None:
    first = [{"role": "user", "content": QUESTION}]
    answer = client(demo).chat("demo", first, options=GREEDY).message
    again = client(demo).chat("demo", [*first, answer, {"role": "user", "content": "Why?"}], options=GREEDY)
    assert answer.role == again.message.role == "assistant"
    assert again.prompt_eval_count > len(answer.content.split())


def test_a_prompt_that_was_seen_is_cached_and_says_so(demo: Running, client: Client) -> None:
    body = {"model": "demo", "prompt": "Say what a token is, please.", "stream": False}
    client(demo)._request_raw("POST", "/api/generate", json=body)
    reply = client(demo)._request_raw("POST", "/api/generate", json=body).json()
    assert 0 < reply["prompt_eval_cached_count"] < reply["prompt_eval_count"]


def test_options_are_honoured(demo: Running, client: Client) -> None:
    short = client(demo).generate("demo", QUESTION, options={"num_predict": 3})
    assert (short.eval_count, short.done_reason) == (3, "length")
    seeded = [client(demo).generate("demo", QUESTION, options={"seed": 5, "temperature": 1.5}).response for _ in "12"]
    assert seeded[0] == seeded[1]
    stopped = client(demo).generate("demo", QUESTION, options={**GREEDY, "stop": ["model"]})
    assert "model" not in stopped.response


def test_a_wrong_type_is_refused_by_name(demo: Running, client: Client) -> None:
    with pytest.raises(ollama.ResponseError, match=r"options\.top_k must be a whole number, got \"many\"") as refusal:
        client(demo)._request_raw(
            "POST", "/api/generate", json={"model": "demo", "prompt": "x", "options": {"top_k": "many"}}
        )
    assert refusal.value.status_code == 400


def test_unknown_options_and_fields_are_ignored(demo: Running, client: Client) -> None:
    body = {"model": "demo", "prompt": QUESTION, "stream": False, "later": 1, "options": {"numa": True, "new": "x"}}
    assert client(demo)._request_raw("POST", "/api/generate", json=body).json()["response"]


def test_logprobs_tell_of_every_token(demo: Running, client: Client) -> None:
    reply = client(demo).generate("demo", QUESTION, logprobs=True, top_logprobs=3, options={"num_predict": 5})
    assert len(reply.logprobs) == 5
    assert all(len(one.top_logprobs) == 3 and one.logprob <= 0 for one in reply.logprobs)
    assert "".join(one.token for one in reply.logprobs).strip() == reply.response.strip()


def test_models_are_loaded_and_unloaded_on_request(demo: Running, client: Client) -> None:
    assert client(demo).generate("demo").done_reason == "load"
    assert [model.model for model in client(demo).ps().models] == ["demo:latest"]
    assert client(demo).generate("demo", keep_alive=0).done_reason == "unload"
    assert client(demo).ps().models == []
    client(demo).chat("demo", [{"role": "user", "content": "Hello"}], keep_alive="10m")
    assert len(client(demo).ps().models) == 1


def test_what_is_not_there_is_404_and_never_something_else(demo: Running, client: Client) -> None:
    asks: list[Callable[[], Any]] = [
        lambda: client(demo).generate("llama2", "x"),
        lambda: client(demo).chat("llama2", [{"role": "user", "content": "x"}]),
        lambda: client(demo).show("llama2"),
        lambda: client(demo).embed("llama2", "x"),
        lambda: client(demo).delete("llama2"),
        lambda: client(demo).copy("llama2", "other"),
    ]
    for ask in asks:
        with pytest.raises(ollama.ResponseError, match="model 'llama2' not found") as refusal:
            ask()
        assert refusal.value.status_code == 404


def test_names_match_in_any_case_and_without_their_tag(demo: Running, client: Client) -> None:
    assert client(demo).generate("Demo:Latest", QUESTION, options={"num_predict": 1}).model == "Demo:Latest"


def test_show_says_what_clients_look_for(demo: Running, client: Client) -> None:
    shown = client(demo).show("demo")
    assert shown.capabilities == ["completion"]
    assert shown.modelinfo["llama.context_length"] == 512
    assert shown.modelinfo["tokenizer.ggml.tokens"] is None
    assert (shown.details.format, shown.details.quantization_level) == ("gguf", "Q8_0")
    assert "{%" in shown.template
    verbose = client(demo)._request_raw("POST", "/api/show", json={"name": "demo", "verbose": True}).json()
    assert len(verbose["model_info"]["tokenizer.ggml.tokens"]) == 2048


def test_the_list_and_the_version_are_there(demo: Running, client: Client) -> None:
    (model,) = client(demo).list().models
    assert (model.model, model.size) == ("demo:latest", DEMO.stat().st_size)
    assert len(model.digest) == 64
    assert client(demo)._request_raw("GET", "/api/version").json()["version"].count(".") == 2


def test_vectors_have_length_one_and_are_cut_on_request(demo: Running, client: Client) -> None:
    reply = client(demo).embed("demo", ["a model", "a token", "a model"])
    first, second, third = reply.embeddings
    assert first == third != second
    assert sum(x * x for x in first) == pytest.approx(1)
    (cut,) = client(demo).embed("demo", "a model", dimensions=8).embeddings
    assert len(cut) == 8
    assert sum(x * x for x in cut) == pytest.approx(1)
    older = client(demo).embeddings("demo", "a model").embedding
    scale = sum(x * x for x in older) ** 0.5
    assert [x / scale for x in older] == pytest.approx(list(first))


def test_embedding_cuts_what_is_too_long_unless_told_not_to(demo: Running, client: Client) -> None:
    long = "word " * 3000
    assert client(demo).embed("demo", long).prompt_eval_count == 512
    with pytest.raises(ollama.ResponseError, match="context window 512"):
        client(demo).embed("demo", long, truncate=False)


def test_a_prompt_that_is_too_long_is_refused_with_both_numbers(demo: Running, client: Client) -> None:
    with pytest.raises(ollama.ResponseError, match=r"the prompt has \d{4} tokens, the context window 512") as refusal:
        client(demo).generate("demo", "word " * 3000)
    assert refusal.value.status_code == 400


def test_a_prompt_is_cut_where_that_is_asked_for_and_that_is_said(demo: Running, client: Client) -> None:
    messages = [{"role": "user", "content": "word " * 100}, {"role": "assistant", "content": "Yes."}] * 20
    messages.append({"role": "user", "content": QUESTION})
    body = {"model": "demo", "messages": messages, "stream": False, "truncate": True}
    reply = client(demo)._request_raw("POST", "/api/chat", json=body).json()
    assert reply["truncated"] is True
    assert reply["truncated_tokens"] > 1000
    assert reply["prompt_eval_count"] < 512


def test_a_model_is_made_used_copied_and_deleted(start: StartServer, client: Client) -> None:
    running = start("demo")
    made = client(running).create("Mine", from_="demo", system="You are terse.", parameters={"num_predict": 4})
    assert made.status == "success"
    reply = client(running).generate("mine", QUESTION)
    assert (reply.eval_count, reply.done_reason) == (4, "length")
    assert "SYSTEM You are terse." in client(running).show("mine").modelfile
    client(running).copy("mine", "yours")
    client(running).delete("mine")
    with pytest.raises(ollama.ResponseError, match="not found"):
        client(running).generate("mine", QUESTION)
    assert client(running).generate("yours", QUESTION).eval_count == 4


def test_a_model_is_made_from_an_uploaded_file(start: StartServer, client: Client) -> None:
    running = start("demo")
    digest = client(running).create_blob(DEMO)
    assert running.store.has_blob(digest)
    lines = list(client(running).create("uploaded", files={"demo.gguf": digest}, stream=True))
    assert lines[-1].status == "success"
    assert client(running).generate("uploaded", QUESTION, options=GREEDY).response


def test_a_malformed_file_is_a_400_that_names_the_fault(start: StartServer, tmp_path: Path, client: Client) -> None:
    running = start("demo")
    path = tmp_path / "bad.gguf"
    path.write_bytes(DEMO.read_bytes()[:50_000])
    digest = client(running).create_blob(path)
    with pytest.raises(ollama.ResponseError, match=r"bad\.gguf: .* the file has 6 left") as refusal:
        client(running).create("bad", files={"bad.gguf": digest})
    assert refusal.value.status_code == 400
    assert client(running).generate("demo", QUESTION).response


def test_a_blob_with_another_digest_is_refused(demo: Running, client: Client) -> None:
    digest = f"sha256:{hashlib.sha256(b'one').hexdigest()}"
    with pytest.raises(ollama.ResponseError, match="digest mismatch") as refusal:
        client(demo)._request_raw("POST", f"/api/blobs/{digest}", content=b"two")
    assert refusal.value.status_code == 400
    assert not demo.store.has_blob(digest)


def test_what_is_not_offered_says_so(demo: Running, client: Client) -> None:
    for ask in (client(demo).pull, client(demo).push):
        with pytest.raises(ollama.ResponseError) as refusal:
            ask("llama2")
        assert refusal.value.status_code == 501


def test_tools_and_thinking_need_a_model_that_has_them(demo: Running, client: Client) -> None:
    with pytest.raises(ollama.ResponseError, match='"demo:latest" does not support thinking') as refusal:
        client(demo).chat("demo", [{"role": "user", "content": "x"}], think=True)
    assert refusal.value.status_code == 400


def test_an_infill_needs_a_model_that_can(demo: Running, client: Client) -> None:
    with pytest.raises(ollama.ResponseError, match="does not support insert"):
        client(demo).generate("demo", "def f(", suffix="return x")


def test_an_answer_goes_on_from_its_context(demo: Running, client: Client) -> None:
    first = client(demo).generate("demo", QUESTION, options=GREEDY)
    second = client(demo).generate("demo", "And more?", context=first.context, options=GREEDY)
    assert second.context[: len(first.context)] == first.context
    with pytest.raises(ollama.ResponseError, match="token 99999 is not one of the 2048"):
        client(demo).generate("demo", "x", context=[99999])


def test_raw_prompts_go_around_the_template(demo: Running, client: Client) -> None:
    raw = client(demo).generate("demo", "Once", raw=True, options={"num_predict": 1})
    chat = client(demo).generate("demo", "Once", options={"num_predict": 1})
    assert raw.prompt_eval_count < chat.prompt_eval_count


@pytest.mark.parametrize("keep_alive", ["soon", "5 m", "m"])
def test_a_keep_alive_that_is_no_duration_is_refused(demo: Running, keep_alive: str, client: Client) -> None:
    with pytest.raises(ollama.ResponseError, match="keep_alive"):
        client(demo).generate("demo", "x", keep_alive=keep_alive)


def test_the_plain_request_of_the_readme_works(demo: Running) -> None:
    import urllib.request

    body = json.dumps({"model": "demo", "prompt": "What is AI?", "stream": False}).encode()
    with urllib.request.urlopen(f"{demo.url}/api/generate", body) as answer:  # noqa: S310  the server of this test
        assert json.load(answer)["response"]


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["name", "count"],
    "additionalProperties": False,
}


def test_an_answer_has_the_form_that_was_asked_for(demo: Running, client: Client) -> None:
    pytest.importorskip("llguidance", reason="pip install 'edgewise[serve]'")
    messages = [{"role": "user", "content": QUESTION}]
    for seed in range(3):
        options = {"temperature": 2.0, "seed": seed}
        found = json.loads(client(demo).chat("demo", messages, format=SCHEMA, options=options).message.content)
        assert set(found) == {"name", "count"}
        assert 1 <= found["count"] <= 9
    parts = client(demo).generate("demo", QUESTION, format=SCHEMA, stream=True)
    assert set(json.loads("".join(part.response for part in parts))) == {"name", "count"}


def test_a_schema_that_can_not_be_served_is_refused_with_the_reason(demo: Running, client: Client) -> None:
    pytest.importorskip("llguidance", reason="pip install 'edgewise[serve]'")
    with pytest.raises(ollama.ResponseError, match="JSON schema") as refusal:
        client(demo).generate("demo", "x", format={"type": "no such type"})
    assert refusal.value.status_code == 400


def test_a_conversation_with_calls_and_results_is_taken(demo: Running, client: Client) -> None:
    call = {"function": {"name": "weather", "arguments": {"place": "Oslo"}}}
    messages = [
        {"role": "user", "content": "How is the weather in Oslo?"},
        {"role": "assistant", "content": None, "thinking": "I have to look.", "tool_calls": [call]},
        {"role": "tool", "content": "rain", "tool_name": "weather"},
    ]
    parameters = {"type": "object", "properties": {"place": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "weather", "description": "Weather.", "parameters": parameters}}
    assert client(demo).chat("demo", messages, tools=[tool], options={"num_predict": 8}).done
    with pytest.raises(ollama.ResponseError, match="function"):
        client(demo)._request_raw("POST", "/api/chat", json={"model": "demo", "messages": messages, "tools": [{}]})


def test_images_are_refused_where_nothing_sees_them(demo: Running, client: Client) -> None:
    with pytest.raises(ollama.ResponseError, match="can not see images: it has no projector") as refusal:
        client(demo).generate("demo", "What is this?", images=["aGk="])
    assert refusal.value.status_code == 400
