"""What the server offers of its own: health, metrics, tokens, templates, its description."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgewise.engine.models import DEMO
from server.running import Running, StartServer
from server.test_wire import ASK, endless, parsed, request


def ask(running: Running, path: str, body: Any = None) -> Any:
    status, _, answer = parsed(running.exchange(request(path, body)))
    assert status == 200, answer
    return json.loads(answer)


def test_the_server_is_healthy_once_its_models_are_loaded(demo: Running) -> None:
    assert ask(demo, "/health") == {"status": "ok"}
    demo.state.is_ready = False
    status, headers, body = parsed(demo.exchange(request("/health")))
    demo.state.is_ready = True
    assert (status, headers["retry-after"]) == (503, "1")
    assert json.loads(body)["error"]["message"] == "Loading model"


def test_tokens_go_there_and_back(demo: Running) -> None:
    tokens = ask(demo, "/tokenize", {"content": "A language model."})["tokens"]
    assert ask(demo, "/detokenize", {"tokens": tokens})["content"].strip() == "A language model."
    pieces = ask(demo, "/tokenize", {"content": "A language model.", "with_pieces": True})["tokens"]
    assert [piece["id"] for piece in pieces] == tokens
    assert ask(demo, "/tokenize", {"content": "<|im_start|>"})["tokens"] == [1]
    assert len(ask(demo, "/tokenize", {"content": "<|im_start|>", "parse_special": False})["tokens"]) > 1


def test_a_token_that_is_none_is_refused(demo: Running) -> None:
    status, _, body = parsed(demo.exchange(request("/detokenize", {"tokens": [5000]})))
    assert (status, "5000" in json.loads(body)["error"]["message"]) == (400, True)


def test_a_template_shows_the_prompt(demo: Running) -> None:
    prompt = ask(demo, "/apply-template", {"messages": [{"role": "user", "content": "Hi"}]})["prompt"]
    assert "Hi" in prompt
    assert prompt.endswith("assistant\n")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [["a"]]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": {"a": 1}}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": ["a"]}, "messages[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": ["a"]}]}, "messages[0].tool_calls[0]"),
        ({"messages": [{"role": "user", "content": "a"}], "tools": [{"function": 1}]}, "tools[0].function"),
    ],
)
def test_a_template_takes_no_messages_of_another_shape(demo: Running, more: dict[str, Any], field: str) -> None:
    status, _, body = parsed(demo.exchange(request("/apply-template", more)))
    assert (status, json.loads(body)["error"]["message"].startswith(field)) == (400, True), body


def test_a_template_takes_content_in_parts_and_calls_without_any(demo: Running) -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": {"at": "it"}}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "One. "}, {"type": "text", "text": "Two."}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "seen"},
    ]
    assert "One. Two." in ask(demo, "/apply-template", {"messages": messages})["prompt"]


def test_metrics_are_what_prometheus_reads(demo: Running) -> None:
    demo.exchange(request("/api/generate", ASK))
    status, headers, body = parsed(demo.exchange(request("/metrics")))
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
    line = re.compile(r'(# (HELP|TYPE) \w+ .+|\w+(\{\w+="(\\.|[^"\\])*"(,\w+="(\\.|[^"\\])*")*\})? [0-9.e+-]+)')
    lines = body.decode().splitlines()
    assert all(line.fullmatch(one) for one in lines)
    text = body.decode()
    for name in ("queue", "load", "time_to_first_token", "inter_token_p50", "inter_token_p95", "request"):
        assert f"edgewise_{name}_seconds_count" in text
    for name in ("prompt_tokens_cached", "prompt_tokens_evaluated", "generated_tokens"):
        assert re.search(rf'edgewise_{name}_total\{{model="demo:latest"\}} \d+', text)
    assert 'edgewise_requests_total{surface="ollama",path="/api/generate",status="200"}' in text


def test_the_document_describes_every_endpoint(demo: Running) -> None:
    document = ask(demo, "/openapi.json")
    assert document["openapi"].startswith("3.1")
    chat = document["paths"]["/api/chat"]["post"]
    shape = chat["requestBody"]["content"]["application/json"]["schema"]
    assert {"model"} == set(shape["required"])
    assert {"messages", "tools", "format", "options", "think"} <= set(shape["properties"])
    assert {"200", "400", "404", "503"} <= set(chat["responses"])
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))


def test_the_page_loads_nothing_from_elsewhere(demo: Running) -> None:
    status, headers, body = parsed(demo.exchange(request("/docs")))
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert b"/api/generate" in body
    assert not re.search(rb"(src|href)=.?(https?:)?//|<script", body)


def test_nothing_grows_with_requests_that_end_in_any_way(start: StartServer) -> None:
    running = start("demo")

    def disturb() -> None:
        for index in range(30):
            with closing(running.connect()) as connection:
                connection.sendall(request("/api/generate", {**endless(), "stream": index % 2 == 0}))
                if index % 3:
                    connection.recv(200)
        for body in (b"{", b"x" * 100, json.dumps({**ASK, "model": "none"}).encode()):
            running.exchange(request("/api/generate", body))
        (model,) = running.state.models.loaded
        running.wait_until(lambda: running.connections == 0 and model.leases == 0 and model.batch.active == 0)

    def descriptors() -> int:
        folder = Path("/proc/self/fd")
        if not folder.is_dir():
            pytest.skip("this system does not show a process's descriptors")
        return len(list(folder.iterdir()))

    disturb()
    before = descriptors()
    disturb()
    assert descriptors() <= before
    assert parsed(running.exchange(request("/api/generate", ASK)))[0] == 200


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The verb in a process of its own."""
    command = [sys.executable, "-m", "edgewise", "serve", "--port", "0", "--no-prompt-cache"]
    environment = {"EDGEWISE_HOME": str(folder), "PATH": "", "HOME": str(folder)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stderr.readline())
        assert found is not None
        port = int(found[1])
        while parsed(exchange(port, request("/health")))[0] == 503:
            time.sleep(0.02)
        try:
            yield process, port
        finally:
            process.kill()
            process.stderr.read()


def exchange(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_the_verb_finishes_what_it_began_before_it_stops(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, port), socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(request("/api/generate", endless(300)))
        answer = connection.recv(4096)
        process.send_signal(signal.SIGTERM)
        answer += b"".join(iter(lambda: connection.recv(65536), b""))
        lines = [json.loads(line) for line in parsed(answer)[2].splitlines()]
        assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
        assert process.wait(60) in (0, -signal.SIGTERM)


def test_a_server_that_is_killed_leaves_a_store_that_is_whole(tmp_path: Path) -> None:
    data = DEMO.read_bytes()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    create = {"model": "mine", "from": "demo", "stream": False}
    with serving(tmp_path) as (process, port):
        assert parsed(exchange(port, request("/api/create", create)))[0] == 200
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            connection.sendall(
                request(f"/api/blobs/{digest[:-1]}0", data[: len(data) // 2], Content_Length=str(len(data)))
            )
            deadline_s = time.monotonic() + 30
            while not list(tmp_path.rglob("*.part")) and time.monotonic() < deadline_s:
                time.sleep(0.01)
            process.kill()
            process.wait(60)
    with serving(tmp_path) as (_, port):
        models = json.loads(parsed(exchange(port, request("/api/tags")))[2])["models"]
        assert [model["name"] for model in models] == ["mine:latest"]
        assert parsed(exchange(port, request(f"/api/blobs/{digest[:-1]}0", method="HEAD")))[0] == 404
        ask = {"model": "mine", "prompt": "Hello", "stream": False}
        assert json.loads(parsed(exchange(port, request("/api/generate", ask)))[2])["response"]
        assert parsed(exchange(port, request(f"/api/blobs/{digest}", data)))[0] in (200, 201)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "-m", "edgewise", "serve", "demo", "--port", str(taken.getsockname()[1])]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "another program may listen there" in result.stderr


def test_without_its_packages_the_verb_says_what_to_install() -> None:
    code = "import sys; sys.modules['starlette'] = None; from edgewise.cli import main; sys.exit(main(['serve']))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "pip install 'edgewise[serve]'" in result.stderr
