"""Streams of every protocol, byte for byte: whole events of whole characters, and errors in their form."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("gguf", reason="models are made with it: pip install gguf numpy")

from chat.models import model as bytes_model
from edgewise.config import EngineConfig
from edgewise.errors import EdgewiseError
from edgewise.server.replies import NDJSON, begin
from server.clients.scripted import scripted_model
from server.conftest import Serve
from server.running import Running
from server.test_wire import parsed, request

LONG = [f"word{number} " for number in range(1200)]
TEMPLATE = "{% for m in messages %}<t>{{ m.content }}<e>{% endfor %}"
HARD = "naïve ü 漢字 🎈👩‍🚀 €"


def events_of_lines(data: bytes) -> list[Any]:
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def events_of_sse(data: bytes) -> list[Any]:
    """Values of the events; a name has to be that of the value."""
    assert data.endswith(b"\n\n")
    found = []
    for event in data.removesuffix(b"\n\n").split(b"\n\n"):
        match = re.fullmatch(rb"(?:event: ([a-z_.]+)\n)?data: ([^\r\n]+)", event)
        assert match is not None, event
        value: Any = match[2].decode() if match[2] == b"[DONE]" else json.loads(match[2])
        assert match[1] is None or match[1].decode() == value["type"]
        found.append(value)
    return found


def text_of_responses(events: list[Any]) -> str:
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def text_of_messages(events: list[Any]) -> str:
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    return "".join(delta.get("text", "") for delta in deltas)


@dataclass(frozen=True)
class Protocol:
    """How a protocol streams.

    Args:
        path: of the endpoint.
        ask: makes a body of what the user says.
        events: takes the body of an answer apart.
        text: of an answer's events.
        is_end: whether an event is the last one of a whole answer.
        is_error: whether an event is the last one of an answer that can not go on.
    """

    path: str
    ask: Callable[[str], dict[str, Any]]
    events: Callable[[bytes], list[Any]]
    text: Callable[[list[Any]], str]
    is_end: Callable[[Any], bool]
    is_error: Callable[[Any], bool]


def messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def chosen(field: str) -> Callable[[list[Any]], str]:
    def text(events: list[Any]) -> str:
        choices = [event["choices"][0] for event in events if event != "[DONE]" and event["choices"]]
        return "".join((one["delta"].get(field) or "") if "delta" in one else one[field] for one in choices)

    return text


PROTOCOLS: Mapping[str, Protocol] = {
    "generate": Protocol(
        "/api/generate", lambda text: {"prompt": text}, events_of_lines,
        lambda events: "".join(event["response"] for event in events),
        lambda event: event["done"], lambda event: list(event) == ["error"],
    ),
    "chat": Protocol(
        "/api/chat", lambda text: {"messages": messages(text)}, events_of_lines,
        lambda events: "".join(event["message"]["content"] for event in events),
        lambda event: event["done"], lambda event: list(event) == ["error"],
    ),
    "chat/completions": Protocol(
        "/v1/chat/completions", lambda text: {"messages": messages(text), "stream": True}, events_of_sse,
        chosen("content"), lambda event: event == "[DONE]", lambda event: set(event["error"]) >= {"message", "type"},
    ),
    "completions": Protocol(
        "/v1/completions",
        lambda text: {"prompt": text.replace("say:", "<|") + "|>", "stream": True, "max_tokens": 2000},
        events_of_sse, chosen("text"),
        lambda event: event == "[DONE]", lambda event: set(event["error"]) >= {"message", "type"},
    ),
    "responses": Protocol(
        "/v1/responses", lambda text: {"input": text, "stream": True}, events_of_sse, text_of_responses,
        lambda event: event["type"] == "response.completed",
        lambda event: event["type"] == "response.failed" and event["response"]["error"]["message"] != "",
    ),
    "messages": Protocol(
        "/v1/messages", lambda text: {"messages": messages(text), "stream": True, "max_tokens": 2000}, events_of_sse,
        text_of_messages, lambda event: event["type"] == "message_stop",
        lambda event: event["type"] == "error" and set(event["error"]) >= {"message", "type"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def running(_serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Models that say what a test wants, and one that says anything, byte by byte."""
    folder = tmp_path_factory.mktemp("framing")
    scripts: dict[str, list[str | bytes]] = {
        "split": [b"na\xc3", b"\xafve ", b"\xf0\x9f", b"\x98", b"\x80 ", b"\xe2\x82", b"\xac!"],
        "long": [*LONG],
    }
    paths = [
        scripted_model(folder / "scripted.gguf", scripts),
        bytes_model(folder / "bytes.gguf", ["<t>", "<e>"], TEMPLATE),
    ]
    server, stop = _serve(folder, [str(path) for path in paths], EngineConfig(prompt_cache_bytes=0))
    yield server
    stop()


def in_pieces(running: Running, sent: bytes, random_: random.Random, *, are_cuts_sent: bool = False) -> bytes:
    """An answer that comes through small buffers, in pieces of any length; the request may go that way, too."""
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", running.port))
        while sent:
            length = random_.randrange(1, 40) if are_cuts_sent else len(sent)
            connection.sendall(sent[:length])
            sent = sent[length:]
        answer = b""
        while data := connection.recv(random_.choice((1, 2, 3, 7, 100, 1000))):
            answer += data
        return answer


def http_chunks(answer: bytes) -> list[bytes]:
    """The chunks of an answer as a reader sees them that gets it byte by byte."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower(), answer[:300]
    found, state, size, chunk, line = [], "size", 0, bytearray(), bytearray()
    for byte in body:
        if state == "size":
            line.append(byte)
            if line.endswith(b"\r\n"):
                size, state, chunk = int(line, 16), "data", bytearray()
                line.clear()
        else:
            chunk.append(byte)
            if len(chunk) == size + 2:
                assert chunk.endswith(b"\r\n")
                found.append(bytes(chunk[:-2]))
                state = "size"
    assert found.pop() == b""
    assert state == "size"
    assert not line
    return found


@pytest.mark.parametrize("name", PROTOCOLS)
def test_each_chunk_is_whole_events_of_whole_characters(running: Running, name: str) -> None:
    protocol = PROTOCOLS[name]
    sent = request(protocol.path, {"model": "scripted", **protocol.ask("say:split")})
    for seed in range(3):
        chunks = http_chunks(in_pieces(running, sent, random.Random(seed)))
        events = [event for chunk in chunks for event in protocol.events(chunk)]
        assert protocol.text(events) == "naïve 😀 €!"
        assert [protocol.is_end(event) for event in events] == [False] * (len(events) - 1) + [True]


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_request_means_the_same_in_whatever_pieces_it_comes(running: Running, name: str, is_chunked: bool) -> None:
    protocol = PROTOCOLS[name]
    body = json.dumps({"model": "scripted", **protocol.ask("say:split")}, ensure_ascii=False).encode()
    for seed in range(2):
        random_ = random.Random(seed)
        if is_chunked:
            cuts = sorted(random_.sample(range(1, len(body)), 5))
            parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
            data = b"".join(b"%x;note=1\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nTrailer: x\r\n\r\n"
            sent = request(protocol.path, data, Transfer_Encoding="chunked").replace(b"Content-Length", b"X-Length")
        else:
            sent = request(protocol.path, body)
        events = protocol.events(parsed(in_pieces(running, sent, random_, are_cuts_sent=True))[2])
        assert protocol.text(events) == "naïve 😀 €!"


FORM = {"type": "object", "properties": {"a": {"enum": [HARD]}}, "required": ["a"], "additionalProperties": False}
FORMS: Mapping[str, dict[str, Any]] = {
    "generate": {"format": FORM},
    "chat": {"format": FORM},
    "chat/completions": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": FORM}}, "temperature": 2
    },
    "responses": {"text": {"format": {"type": "json_schema", "name": "a", "schema": FORM}}},
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_characters_whose_bytes_are_tokens_of_their_own_are_never_garbled(running: Running, name: str) -> None:
    pytest.importorskip("llguidance", reason="pip install 'edgewise[serve]'")
    protocol = PROTOCOLS[name]
    body = {"model": "bytes", **protocol.ask("Say it."), **FORMS[name]}
    answer = in_pieces(running, request(protocol.path, body), random.Random(1))
    events = [event for chunk in http_chunks(answer) for event in protocol.events(chunk)]
    assert json.loads(protocol.text(events)) == {"a": HARD}
    assert "\ufffd" not in protocol.text(events)


@pytest.mark.parametrize("seed", range(6))
def test_any_bytes_are_the_same_text_in_pieces_and_as_a_whole(running: Running, seed: int) -> None:
    options = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "num_predict": 300, "seed": seed}
    ask = {"model": "bytes", "prompt": "x", "raw": True, "options": options, "logprobs": True}
    whole = json.loads(parsed(running.exchange(request("/api/generate", {**ask, "stream": False})))[2])
    data = b"".join(bytes(one["bytes"]) for one in whole["logprobs"] if one["token"] not in ("<t>", "<e>"))
    assert whole["response"] == data.decode(errors="replace")
    pieces = events_of_lines(parsed(in_pieces(running, request("/api/generate", ask), random.Random(seed)))[2])
    assert "".join(piece["response"] for piece in pieces) == whole["response"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_fails_in_mid_stream_ends_it_in_the_form_of_its_protocol(running: Running, name: str) -> None:
    protocol = PROTOCOLS[name]
    sent = request(protocol.path, {"model": "scripted", **protocol.ask("say:long")})
    with closing(running.connect()) as connection:
        connection.sendall(sent)
        answer = connection.recv(1000)
        (batch,) = [one.batch for one in running.state.models.loaded if "scripted" in one.installed.name]
        batch.close()
        while data := connection.recv(65536):
            answer += data
    events = [event for chunk in http_chunks(answer) for event in protocol.events(chunk)]
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert protocol.is_error(events[-1])
    said = protocol.text(events[:-1])
    assert said
    assert "".join(LONG).startswith(said)
    running.wait_until(
        lambda: parsed(running.exchange(request("/api/generate", {"model": "scripted", "prompt": "x"})))[0] == 200
    )


def test_a_bug_in_mid_stream_is_told_too() -> None:
    async def chunks(error: Exception) -> Any:
        yield b"first"
        raise error

    async def pieces(error: Exception) -> tuple[list[dict[str, Any]], Exception | None]:
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        response = await begin(chunks(error), NDJSON, lambda refusal: refusal.kind.encode())
        try:
            await response({"type": "http"}, lambda: asyncio.sleep(0), send)  # type: ignore[arg-type, return-value]
        except Exception as raised:
            return sent, raised
        return sent, None

    sent, raised = asyncio.run(pieces(EdgewiseError("a fault")))
    assert [one.get("body") for one in sent] == [None, b"first", b"internal", b""]
    assert raised is None
    bug = ZeroDivisionError()
    sent, raised = asyncio.run(pieces(bug))
    assert [one.get("body") for one in sent] == [None, b"first", b"internal"]
    assert raised is bug  # for the log
