"""What the server offers of its own: health, metrics, tokens, templates, its description."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

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


def test_the_verb_serves_until_it_is_told_to_stop_and_finishes_what_it_began(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgewise", "serve", "demo", "--port", "0", "--no-prompt-cache"]
    environment = {"EDGEWISE_HOME": str(tmp_path), "PATH": "", "HOME": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stderr.readline())
        assert found is not None
        url = found.group(0)
        for _ in range(500):
            try:
                with urllib.request.urlopen(f"{url}/health") as answer:  # noqa: S310  the server of this test
                    assert answer.status == 200
                break
            except urllib.error.HTTPError:
                time.sleep(0.02)
        body = json.dumps({**endless(), "options": {**endless()["options"], "num_predict": 300}}).encode()
        with urllib.request.urlopen(f"{url}/api/generate", body) as answer:  # noqa: S310
            first = answer.readline()
            process.send_signal(signal.SIGTERM)
            rest = answer.read()
        assert json.loads(first)["done"] is False
        assert json.loads(rest.splitlines()[-1])["done"] is True
        process.stderr.read()
        assert process.wait(30) in (0, -signal.SIGTERM)


def test_a_port_that_is_taken_is_named() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "-m", "edgewise", "serve", "demo", "--port", str(taken.getsockname()[1])]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "another program may listen there" in result.stderr
