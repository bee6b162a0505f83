"""Requests that are made to break something: each gets an answer in its protocol's form, and the next one works."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from typing import Any

import pytest

from edgewise.server import schema
from server.running import Running, StartServer
from server.test_wire import ASK, parsed, request

DEEP = [100, 200, 450, 500, 700, *range(900, 1000, 7)]


@pytest.mark.parametrize("name", [b'"A"', b'"\\u0041"', b'"\\ud83c"'])
def test_a_body_of_any_depth_is_no_internal_error(demo: Running, name: bytes) -> None:
    for depth in DEEP:
        nested = b"[" * depth + b"]" * depth
        for body in (b'{"model": ' + name + b', "options": {"x": ' + nested + b"}}", b'{"model": ' + nested + b"}"):
            status, _, answer = parsed(demo.exchange(request("/api/generate", body)))
            assert status in (400, 404), answer


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "demo", "prompt": "x", "keep_alive": 1%s}' % (b"0" * 400),
        b'{"model": "demo", "prompt": "x", "options": {"temperature": -1%s}}' % (b"0" * 400),
        b'{"model": "demo", "prompt": "x", "options": {"num_ctx": 1%s}}' % (b"0" * 400),
        b'{"model": "demo", "prompt": "x", "options": {"seed": 1%s}}' % (b"0" * 5000),
        b'{"model": "demo", "stream": "\xed\xa0\x80"}',
        b'{"model": "demo", "stream": "\\ud800"}',
        '{"model": "demo"}'.encode("utf-16"),
    ],
)
def test_numbers_and_characters_that_nobody_can_hold_are_refused(demo: Running, body: bytes) -> None:
    status, _, answer = parsed(demo.exchange(request("/api/generate", body)))
    assert status == 400
    assert json.loads(answer)["error"]


def test_a_byte_order_mark_does_no_harm(demo: Running) -> None:
    body = b"\xef\xbb\xbf" + json.dumps({**ASK, "stream": False}).encode()
    assert parsed(demo.exchange(request("/api/generate", body)))[0] == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 20_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_heads_that_are_no_http_or_too_long_are_refused(demo: Running, head: bytes) -> None:
    with closing(demo.connect()) as connection:
        try:
            connection.sendall(head)
            answer = connection.recv(65536)
        except ConnectionError:
            answer = b""  # it was cut off while it still spoke
        if answer:
            assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert parsed(demo.exchange(request("/")))[0] == 200


@pytest.mark.parametrize("path", ["/", "/api/tags", "/api/version", "/health"])
def test_head_says_what_get_says_without_the_body(demo: Running, path: str) -> None:
    _, of_get, body = parsed(demo.exchange(request(path)))
    status, of_head, nothing = parsed(demo.exchange(request(path, method="HEAD")))
    assert (status, nothing) == (200, b"")
    assert of_head["content-type"] == of_get["content-type"]
    assert int(of_head["content-length"]) == len(body)


def test_a_connection_is_used_again_after_a_refusal_and_after_a_stream(demo: Running) -> None:
    with closing(demo.connect()) as connection:
        for body in (b"{", json.dumps(ASK).encode(), b'{"model": "nobody", "prompt": "x"}', json.dumps(ASK).encode()):
            connection.sendall(request("/api/generate", body, Connection="keep-alive"))
            answer = b""
            while not (b'"error"' in answer or answer.endswith(b"0\r\n\r\n")):
                data = connection.recv(65536)
                assert data, answer
                answer += data
        connection.sendall(request("/"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_many_connections_that_say_nothing_leave_room_for_others(start: StartServer) -> None:
    running = start("demo", read_s=2.0)
    idle = [running.connect() for _ in range(300)]
    try:
        for connection in idle[::2]:
            connection.sendall(b"POST /api/generate HTTP/1.1\r\nHost: localh")
        assert parsed(running.exchange(request("/api/generate", {**ASK, "stream": False})))[0] == 200
        running.wait_until(lambda: running.connections == 0)  # nobody is waited for without end
    finally:
        for connection in idle:
            connection.close()


def test_a_head_that_comes_by_drops_is_not_waited_for(start: StartServer) -> None:
    running = start("demo", read_s=0.5)
    with closing(running.connect()) as connection:
        ended = False
        for drop in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 200:
            try:
                connection.sendall(bytes([drop]))
                time.sleep(0.02)
            except ConnectionError:
                ended = True
                break
        assert ended


def test_others_are_answered_while_a_long_body_is_checked(demo: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    checking, may_go_on = threading.Event(), threading.Event()
    check = schema.check

    def held(*given: Any) -> None:
        checking.set()
        assert may_go_on.wait(60)
        check(*given)

    monkeypatch.setattr(schema, "check", held)
    with closing(demo.connect()) as connection:
        connection.sendall(request("/api/generate", {"model": "demo", "prompt": "x", "context": [1] * 2**18}))
        assert checking.wait(60)
        assert parsed(demo.exchange(request("/api/version")))[0] == 200
        may_go_on.set()
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")  # there is no context so long


@pytest.mark.parametrize("path", ["/api/generate", "/v1/completions", "/v1/embeddings", "/api/embed", "/tokenize"])
def test_a_body_of_millions_of_numbers_is_refused(demo: Running, path: str) -> None:
    body = b'{"model": "demo", "input": [' + b"1," * 2**20 + b"1]}"
    status, _, answer = parsed(demo.exchange(request(path, body)))
    assert (status, b"more than 1048576 values" in answer) == (400, True)


def test_the_document_bounds_lists_of_numbers(demo: Running) -> None:
    document = json.loads(parsed(demo.exchange(request("/openapi.json")))[2])
    shape = document["paths"]["/api/generate"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert shape["properties"]["context"]["anyOf"][0]["maxItems"] == 2**20
