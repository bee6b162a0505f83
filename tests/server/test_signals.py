"""A server that is told to end finishes what it began, unless it is told twice."""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time
from contextlib import closing

import pytest

pytest.importorskip("uvicorn", reason="the server's packages are not installed: pip install 'edgewise[serve]'")

from edgewise.config import EngineConfig
from edgewise.engine.models import DEMO
from edgewise.engine.native import NativeEngine
from serving.process import ServerProcess
from serving.wire import Connection, request

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
STREAMS = 4


@pytest.fixture(scope="module")
def ends() -> dict[str, int]:
    """Forbids an answer to end."""
    with NativeEngine(DEMO, EngineConfig(prompt_cache_bytes=0)) as engine:
        return {str(token): -100 for token in range(engine.vocabulary_size) if engine.tokenizer.is_end(token)}


def started(server: ServerProcess, ends: dict[str, int], tokens: int) -> tuple[list[threading.Thread], list[bytes]]:
    """Streams on their way, and what comes of each."""
    came = [b""] * STREAMS
    body = {"model": "demo", "prompt": "Go on.", "max_tokens": tokens, "stream": True, "logit_bias": ends}

    def read(number: int) -> None:
        connection = Connection(server.port)
        try:
            for _, data in connection.stream(request("/v1/completions", {**body, "seed": number})):
                came[number] += data
        except OSError:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=read, args=(number,)) for number in range(STREAMS)]
    for thread in threads:
        thread.start()
    end_s = time.monotonic() + 30
    while not all(came):
        assert time.monotonic() < end_s
        time.sleep(0.005)
    return threads, came


def joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_lets_answers_end_and_takes_no_more(ends: dict[str, int], name: str) -> None:
    with ServerProcess(["demo"], ["--no-prompt-cache", "-c", "2048"]) as server:
        threads, came = started(server, ends, 1500)
        server.process.send_signal(signal.Signals[name])
        joined(threads)
        assert server.process.wait(30) == 0
        for data in came:
            assert data.endswith(b"0\r\n\r\n")
            events = [part.split(b"\n\n")[0] for part in data.split(b"data: ")[1:]]
            assert events[-1] == b"[DONE]"
            assert json.loads(events[-2])["choices"][0]["finish_reason"] == "length"
        with pytest.raises(ConnectionError):
            socket.create_connection(("127.0.0.1", server.port), 5)


@pytest.mark.parametrize(("first", "second"), [("SIGTERM", "SIGTERM"), ("SIGTERM", "SIGINT"), ("SIGINT", "SIGINT")])
def test_a_second_signal_ends_it_at_once(ends: dict[str, int], first: str, second: str) -> None:
    with ServerProcess(["demo"], ["--no-prompt-cache", "-c", "8192", "--drain", "600"]) as server:
        threads, came = started(server, ends, 7000)
        server.process.send_signal(signal.Signals[first])
        time.sleep(0.1)
        server.process.send_signal(signal.Signals[second])
        server.process.wait(20)
        joined(threads)
        assert any(not data.endswith(b"0\r\n\r\n") for data in came)


def test_what_takes_too_long_to_drain_is_cut_off(ends: dict[str, int]) -> None:
    with ServerProcess(["demo"], ["--no-prompt-cache", "-c", "8192", "--drain", "1"]) as server:
        threads, came = started(server, ends, 7000)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(20)
        joined(threads)
        assert any(not data.endswith(b"[DONE]\n\n\r\n0\r\n\r\n") for data in came)


def test_connections_that_idle_do_not_keep_a_server() -> None:
    with (
        ServerProcess(["demo"], ["--no-prompt-cache", "--drain", "600"]) as server,
        closing(Connection(server.port)) as used,
        closing(Connection(server.port)),
    ):
        used.ask(request("/api/version", keeps=True))
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
