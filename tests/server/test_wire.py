"""Bytes on the wire: framing, clients that leave, that do not read, that send too much or nothing."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
from contextlib import closing
from typing import Any

import pytest

from edgewise.config import EngineConfig
from edgewise.server.ollama import shapes
from edgewise.server.schema import check
from server.running import Running, StartServer


def request(path: str, body: Any = None, method: str | None = None, **headers: str) -> bytes:
    """A request that asks for the connection to be closed behind its answer."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {
        "Host": "localhost",
        "Connection": "close",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    if body is not None:
        given.setdefault("Content-Length", str(len(data)))
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method or ('GET' if body is None else 'POST')} {path} HTTP/1.1\r\n{head}\r\n".encode() + data


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(chunks(body))
    return int(first.split()[1]), headers, body


def chunks(body: bytes) -> list[bytes]:
    found = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        assert rest[length : length + 2] == b"\r\n"
        found.append(rest[:length])
        body = rest[length + 2 :]
    assert found.pop() == b""
    return found


ASK = {"model": "demo", "prompt": "What is a language model?", "options": {"temperature": 0}}


def endless(words: int = 400) -> dict[str, Any]:
    """A request whose answer takes a while: sampled so wildly that no end comes soon."""
    options = {"temperature": 5.0, "top_k": 0, "top_p": 1.0, "num_predict": words, "seed": 1}
    return {"model": "demo", "prompt": "Go on.", "options": options}


def test_the_root_says_exactly_what_clients_look_for(demo: Running) -> None:
    status, _, body = parsed(demo.exchange(request("/")))
    assert (status, body) == (200, b"Ollama is running")
    status, headers, body = parsed(demo.exchange(request("/", method="HEAD")))
    assert (status, body, headers["content-length"]) == (200, b"", "17")


def test_each_line_of_a_stream_is_one_object_in_a_chunk_of_its_own(demo: Running) -> None:
    answer = demo.exchange(request("/api/generate", ASK))
    status, headers, _ = parsed(answer)
    assert (status, headers["content-type"]) == (200, "application/x-ndjson")
    parts = chunks(answer.partition(b"\r\n\r\n")[2])
    assert all(part.endswith(b"\n") and part.count(b"\n") == 1 for part in parts)
    lines = [json.loads(part) for part in parts]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    for line in lines:
        check(line, shapes.GENERATED)


def test_characters_of_several_tokens_are_never_cut(demo: Running) -> None:
    body = {**endless(), "raw": True, "prompt": "Grüße 🎈 "}
    lines = [json.loads(line) for line in parsed(demo.exchange(request("/api/generate", body)))[2].splitlines()]
    whole = json.loads(parsed(demo.exchange(request("/api/generate", {**body, "stream": False})))[2])
    assert "".join(line["response"] for line in lines) == whole["response"]
    assert any(ord(character) > 127 for character in whole["response"])


def test_work_ends_when_the_client_leaves(start: StartServer) -> None:
    running = start("demo", engine=EngineConfig(prompt_cache_bytes=0, context_length=512))
    (model,) = running.state.models.loaded
    for stream in (True, False):
        for _ in range(5):
            connection = running.connect()
            connection.sendall(request("/api/generate", {**endless(), "stream": stream}))
            running.wait_until(lambda: model.batch.active > 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            running.wait_until(lambda: model.batch.active == 0 and model.leases == 0)
    assert "edgewise_requests_cancelled_total 10" in running.exchange(request("/metrics")).decode()
    assert parsed(running.exchange(request("/api/generate", ASK)))[0] == 200


def test_a_client_that_reads_nothing_is_cut_off(start: StartServer) -> None:
    running = start("demo", write_s=0.3)
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", running.port))
        for _ in range(400):  # more answers than the buffers of both sides hold
            connection.sendall(request("/openapi.json", Connection="keep-alive"))
        running.wait_until(lambda: running.connections == 0)
    assert parsed(running.exchange(request("/")))[0] == 200


def test_a_client_that_sends_no_head_is_cut_off(start: StartServer) -> None:
    running = start("demo", read_s=0.3)
    assert running.exchange(b"") == b""
    assert running.exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ") == b""


def test_a_body_that_does_not_come_is_not_waited_for(start: StartServer) -> None:
    running = start("demo", read_s=0.3)
    status, _, body = parsed(running.exchange(request("/api/generate", b"{", Content_Length="100")))
    assert (status, json.loads(body)) == (504, {"error": "the request's body did not come in time"})


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_that_is_too_long_is_refused(start: StartServer, is_announced: bool) -> None:
    running = start("demo", request_bytes=10_000)
    body = json.dumps({"model": "demo", "prompt": "x" * 20_000}).encode()
    if is_announced:
        sent = request("/api/generate", body)
    else:
        sent = request(
            "/api/generate", f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n", Transfer_Encoding="chunked"
        )
        sent = sent.replace(b"Content-Length", b"X-Length")
    status, _, answer = parsed(running.exchange(sent))
    assert (status, json.loads(answer)) == (413, {"error": "the request's body is longer than 10000 bytes"})


def test_a_refusal_is_heard_by_who_is_still_sending(start: StartServer) -> None:
    running = start("demo", request_bytes=10_000, api_keys=("k",))
    for headers, status in (({}, 401), ({"x_api_key": "k"}, 413)):
        sent = request("/api/generate", b"{" * 5_000_000, **headers)
        assert parsed(running.exchange(sent))[0] == status


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        (b"", "missing request body"),
        (b"{", "no valid JSON"),
        (b"[]", "the body must be an object"),
        (b'{"model": NaN}', "NaN is no JSON number"),
        (b"[" * 10_000, "no valid JSON"),
        (b"\xff\xfe", "no valid JSON"),
        (b"{}", "model is required"),
        (b'{"model": 5}', "model must be a text, got 5"),
        (b'{"model": "demo", "stream": "yes"}', 'stream must be true or false, got "yes"'),
        (b'{"model": "demo", "format": "xml"}', 'format must be one of "", "json"'),
        (b'{"model": "../demo", "prompt": "x"}', "invalid model name"),
        (b'{"model": "/etc/passwd", "prompt": "x"}', "invalid model name"),
        (b'{"model": "demo", "prompt": "x", "options": {"temperature": -1e999}}', "temperature"),
        (b'{"model": "demo", "prompt": "x", "options": {"seed": 1.5}}', "options.seed must be a whole number, got 1.5"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_request_is_a_400_with_the_reason(demo: Running, body: bytes, finding: str) -> None:
    status, _, answer = parsed(demo.exchange(request("/api/generate", body)))
    assert status == 400
    assert finding in json.loads(answer)["error"]


@pytest.mark.parametrize("field", ["source", "destination"])
def test_a_copy_without_a_name_is_told_which_one(demo: Running, field: str) -> None:
    body = {"source": "demo", "destination": "other", field: ""}
    status, _, answer = parsed(demo.exchange(request("/api/copy", body)))
    assert (status, json.loads(answer)) == (400, {"error": f"{field} must not be empty"})
    status, _, answer = parsed(demo.exchange(request("/api/copy", {**body, field: "  "})))
    assert (status, json.loads(answer)["error"].partition(" (")[0]) == (400, "invalid model name '  ': it is empty")


def test_half_a_surrogate_pair_becomes_a_replacement(demo: Running) -> None:
    body = b'{"model": "demo", "prompt": "a \\ud83c b", "stream": false, "options": {"num_predict": 2}}'
    assert parsed(demo.exchange(request("/api/generate", body)))[0] == 200


def test_paths_and_methods_that_are_not_there_are_told_in_the_form_of_their_surface(demo: Running) -> None:
    status, _, body = parsed(demo.exchange(request("/api/nothing")))
    assert (status, json.loads(body)) == (404, {"error": "there is nothing at /api/nothing"})
    status, headers, _ = parsed(demo.exchange(request("/api/chat")))
    assert (status, headers["allow"]) == (405, "POST")
    status, _, body = parsed(demo.exchange(request("/nothing")))
    assert (status, json.loads(body)["error"]["code"]) == (404, 404)


def test_garbage_is_no_request(demo: Running) -> None:
    assert demo.exchange(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n").startswith(
        b"HTTP/1.1 400"
    )


def test_several_requests_share_a_connection(demo: Running) -> None:
    sent = request("/", Connection="keep-alive") + request("/api/version", Connection="keep-alive") + request("/health")
    answer = demo.exchange(sent)
    assert answer.count(b"HTTP/1.1 200") == 3


def test_a_queue_that_is_full_says_when_to_come_again(start: StartServer) -> None:
    running = start("demo", parallel=1, queue_limit=1)
    (model,) = running.state.models.loaded
    waiting = [running.connect() for _ in range(2)]
    try:
        for count, connection in enumerate(waiting, start=1):
            connection.sendall(request("/api/generate", endless()))
            running.wait_until(lambda count=count: model.batch.active + model.batch.queued == count)  # type: ignore[misc]
        status, headers, body = parsed(running.exchange(request("/api/generate", ASK)))
        assert status == 503
        assert int(headers["retry-after"]) >= 1
        assert "error" in json.loads(body)
    finally:
        for connection in waiting:
            connection.close()


def test_an_answer_that_takes_too_long_ends_with_an_error(start: StartServer) -> None:
    running = start("demo", deadline_s=0.01)
    status, _, _ = parsed(running.exchange(request("/api/generate", {**endless(), "stream": False})))
    assert status == 504
    lines = parsed(running.exchange(request("/api/generate", endless())))[2].splitlines()
    assert "error" in json.loads(lines[-1])


def test_errors_in_mid_stream_are_the_last_line(start: StartServer) -> None:
    running = start("demo")
    with closing(running.connect()) as connection:
        connection.sendall(request("/api/generate", endless()))
        answer = connection.recv(65536)
        (model,) = running.state.models.loaded
        model.batch.close()
        while data := connection.recv(65536):
            answer += data
    status, _, body = parsed(answer)
    lines = [json.loads(line) for line in body.splitlines()]
    assert (status, list(lines[-1])) == (200, ["error"])
    assert all("error" not in line for line in lines[:-1])
    # What broke is loaded anew.
    assert parsed(running.exchange(request("/api/generate", ASK)))[0] == 503
    assert parsed(running.exchange(request("/api/generate", ASK)))[0] == 200


def test_requests_may_come_in_any_pieces(demo: Running) -> None:
    sent = request("/api/generate", {**ASK, "stream": False, "options": {"num_predict": 1}})
    for place in range(1, len(sent), 3):
        with closing(demo.connect()) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(sent[:place])
            connection.sendall(sent[place:])
            assert connection.recv(20).startswith(b"HTTP/1.1 200"), place


def test_bytes_of_any_kind_do_not_stop_the_server(demo: Running) -> None:
    chance = random.Random(1)
    whole = request("/api/generate", ASK)
    for _ in range(300):
        sent = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(sent))
            sent[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(4))
        with closing(demo.connect()) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(bytes(sent))
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(15)
            assert not answer or answer[:9] == b"HTTP/1.1 "
            assert answer[9:12] != b"500"
    assert parsed(demo.exchange(request("/")))[0] == 200
