"""Server-sent events, byte by byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from server.clients.scripted import scripted_model
from server.running import Running, StartServer
from server.test_wire import parsed, request

SPLIT = "naïve 😀 €!"
WORDS = [{"role": "user", "content": "Please say:split"}]
STREAMS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": WORDS},
    "/v1/completions": {"prompt": "<|split|>"},
    "/v1/responses": {"input": WORDS},
    "/v1/messages": {"messages": WORDS, "max_tokens": 100},
}


def events(body: bytes) -> list[tuple[str | None, Any]]:
    """The events of a stream, which may have nothing else in it."""
    assert body.endswith(b"\n\n")
    found = []
    for part in body[:-2].split(b"\n\n"):
        *head, data = part.split(b"\n")
        assert len(head) <= 1
        assert data.startswith(b"data: ")
        name = head[0].removeprefix(b"event: ").decode() if head else None
        text = data.removeprefix(b"data: ")
        found.append((name, "[DONE]" if text == b"[DONE]" else json.loads(text)))
    return found


def ask(running: Running, path: str, **more: Any) -> tuple[int, dict[str, str], list[tuple[str | None, Any]]]:
    body = {"model": "scripted", "stream": True, **STREAMS[path], **more}
    status, headers, answer = parsed(running.exchange(request(path, body)))
    return status, headers, events(answer) if headers["content-type"].startswith("text/event-stream") else []


def text_of(path: str, told: list[tuple[str | None, Any]]) -> str:
    """The words of a stream."""
    data = [one for _, one in told if one != "[DONE]"]
    if path == "/v1/chat/completions":
        return "".join(one["choices"][0]["delta"].get("content") or "" for one in data)
    if path == "/v1/completions":
        return "".join(one["choices"][0]["text"] for one in data)
    if path == "/v1/responses":
        return "".join(one["delta"] for one in data if one["type"] == "response.output_text.delta")
    return "".join(one["delta"]["text"] for one in data if one["type"] == "content_block_delta")


@pytest.mark.parametrize("path", STREAMS)
def test_characters_that_are_split_over_tokens_arrive_whole(scripted: Running, path: str) -> None:
    status, headers, told = ask(scripted, path)
    assert status == 200
    assert headers["cache-control"] == "no-cache"
    assert text_of(path, told) == SPLIT


@pytest.mark.parametrize("path", STREAMS)
def test_a_limit_within_a_character_leaves_no_half_of_it(scripted: Running, path: str) -> None:
    limit = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
    for count in range(1, 8):
        text = text_of(path, ask(scripted, path, **{limit: count})[2])
        assert SPLIT.startswith(text.rstrip("�"))


def test_events_of_openais_older_endpoints_have_no_name_and_end_with_done(scripted: Running) -> None:
    for path in ("/v1/chat/completions", "/v1/completions"):
        told = ask(scripted, path)[2]
        assert {name for name, _ in told} == {None}
        assert [data for _, data in told].index("[DONE]") == len(told) - 1


def test_events_of_the_newer_ones_are_named_by_their_type(scripted: Running) -> None:
    for path in ("/v1/responses", "/v1/messages"):
        told = ask(scripted, path)[2]
        assert [name for name, _ in told] == [data["type"] for _, data in told]


@pytest.mark.parametrize("path", STREAMS)
def test_what_fails_before_the_stream_has_a_status_of_its_own(scripted: Running, path: str) -> None:
    status, headers, _ = ask(scripted, path, model="other")
    assert status == 404
    assert headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("path", STREAMS)
def test_what_fails_within_the_stream_is_its_last_event(start: StartServer, tmp_path: Path, path: str) -> None:
    name = "scripted"
    running = start(str(scripted_model(tmp_path / f"{name}.gguf")))
    messages = [{"role": "user", "content": "Please say:endless"}]
    key = {"/v1/completions": "prompt", "/v1/responses": "input"}.get(path, "messages")
    given: Any = "<|endless|>" if key == "prompt" else messages
    body = {"model": name, "stream": True, **STREAMS[path], key: given, "max_tokens": 4000}
    with running.connect() as connection:
        connection.sendall(request(path, body))
        answer = connection.recv(65536)
        while b"on and" not in answer:
            answer += connection.recv(65536)
        running.state.models.loaded[0].batch.close()  # as if the engine had given up
        while data := connection.recv(65536):
            answer += data
    status, _, stream = parsed(answer)
    assert status == 200
    name_of_last, last = events(stream)[-1]
    if path == "/v1/messages":
        assert (name_of_last, last["type"], last["error"]["type"]) == ("error", "error", "overloaded_error")
    elif path == "/v1/responses":
        assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
        assert "closed" in last["response"]["error"]["message"]
    else:
        assert "closed" in last["error"]["message"]
        assert last["error"]["type"] == "overloaded_error"


def test_a_client_that_leaves_ends_the_work(start: StartServer, tmp_path: Path) -> None:
    running = start(str(scripted_model(tmp_path / "scripted.gguf")))
    body = {"model": "scripted", "stream": True, "n": 3, "messages": [{"role": "user", "content": "say:endless"}]}
    with running.connect() as connection:
        connection.sendall(request("/v1/chat/completions", body))
        connection.recv(1024)
        running.wait_until(lambda: running.state.models.loaded[0].batch.active == 3)
    running.wait_until(lambda: running.state.models.loaded[0].batch.active == 0)
    assert running.state.models.loaded[0].leases == 0
