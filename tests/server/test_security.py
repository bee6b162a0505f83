"""Who may ask, and what the log keeps to itself."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest

from edgewise.errors import InvalidArgument
from edgewise.server.guard import Guard
from edgewise.server.settings import ServerConfig
from server.running import Running, StartServer
from server.test_wire import parsed, request


def test_other_machines_need_a_key_or_a_clear_word() -> None:
    with pytest.raises(InvalidArgument, match="without a key"):
        ServerConfig(host="0.0.0.0")  # noqa: S104
    assert ServerConfig(host="0.0.0.0", api_keys=("k",)).api_keys == ("k",)  # noqa: S104
    assert ServerConfig(host="::", is_insecure=True).is_insecure
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.5"):
        assert ServerConfig(host=host).is_loopback


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", ""])
def test_a_name_that_is_not_ours_is_refused(demo: Running, host: str) -> None:
    status, _, body = parsed(demo.exchange(request("/api/tags", Host=host)))
    assert status == 403
    assert "Host" in json.loads(body)["error"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:11434", "127.0.0.1:1", "[::1]:11434", "app.localhost", "localhost."]
)
def test_names_of_this_machine_pass(demo: Running, host: str) -> None:
    assert parsed(demo.exchange(request("/api/tags", Host=host)))[0] == 200


def test_further_names_can_be_allowed(start: StartServer) -> None:
    running = start("demo", allowed_hosts=("box.example",))
    assert parsed(running.exchange(request("/", Host="box.example:80")))[0] == 200
    assert parsed(running.exchange(request("/", Host="other.example")))[0] == 403


def test_pages_of_strangers_are_refused_before_anything_happens(demo: Running) -> None:
    sent = request(
        "/api/generate", {"model": "demo", "prompt": "x"}, Origin="https://evil.example", Content_Type="text/plain"
    )
    status, headers, _ = parsed(demo.exchange(sent))
    assert status == 403
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://[x]", "app://["])
def test_an_origin_that_is_none_is_refused_and_logged(demo: Running, origin: str) -> None:
    status, headers, body = parsed(demo.exchange(request("/api/version", Origin=origin)))
    assert (status, headers["content-type"].split(";")[0]) == (403, "application/json")
    assert origin in json.loads(body)["error"]
    demo.wait_until(lambda: "path=/api/version status=403" in demo.log.getvalue())


@pytest.mark.parametrize("part", ["refusal", "namespace", "allows_origin"])
def test_a_bug_outside_of_handlers_is_an_answer_in_the_protocols_form(
    start: StartServer, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("broken on purpose")

    running = start("demo")
    with monkeypatch.context() as patched:
        patched.setattr(Guard, part, broken)
        status, _, body = parsed(running.exchange(request("/v1/models", Origin="http://localhost")))
    assert (status, "internal error" in json.loads(body)["error"]["message"]) == (500, True)
    running.wait_until(lambda: "path=/v1/models status=500" in running.log.getvalue())
    assert "broken on purpose" in running.log.getvalue()
    assert "Traceback" in running.log.getvalue()
    counted = parsed(running.exchange(request("/metrics")))[2].decode()
    assert 'edgewise_requests_total{surface="openai",path="/v1/models",status="500"} 1' in counted


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "app://obsidian.md", "vscode-webview://x", "tauri://localhost"]
)
def test_local_pages_and_applications_may_ask(demo: Running, origin: str) -> None:
    status, headers, _ = parsed(demo.exchange(request("/api/tags", Origin=origin)))
    assert (status, headers["access-control-allow-origin"]) == (200, origin)


def test_a_browser_may_look_first(start: StartServer) -> None:
    running = start("demo", cors_origins=("https://chat.example",), api_keys=("k",))
    sent = request(
        "/api/chat",
        method="OPTIONS",
        Origin="https://chat.example",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="authorization,content-type",
    )
    status, headers, _ = parsed(running.exchange(sent))
    assert status == 204
    assert headers["access-control-allow-headers"] == "authorization,content-type"
    assert "POST" in headers["access-control-allow-methods"]


def test_a_key_is_needed_where_there_are_keys(start: StartServer) -> None:
    running = start("demo", api_keys=("first", "second"))
    assert parsed(running.exchange(request("/")))[0] == 200
    assert parsed(running.exchange(request("/health")))[0] == 200
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic first"}, {"x_api_key": ""}):
        status, answered, body = parsed(running.exchange(request("/api/tags", **headers)))
        assert (status, answered["www-authenticate"]) == (401, "Bearer")
        assert "first" not in body.decode()
    for headers in ({"Authorization": "Bearer first"}, {"authorization": "bearer second"}, {"x_api_key": "second"}):
        assert parsed(running.exchange(request("/api/tags", **headers)))[0] == 200


def test_prompts_of_different_keys_are_kept_apart(start: StartServer) -> None:
    running = start("demo", api_keys=("first", "second"))
    body = {"model": "demo", "prompt": "A secret that nobody else has.", "stream": False, "options": {"num_predict": 1}}

    def cached(key: str) -> int:
        answer = json.loads(parsed(running.exchange(request("/api/generate", body, x_api_key=key)))[2])
        return int(answer["prompt_eval_cached_count"])

    assert cached("first") == 0
    assert cached("first") > 0
    assert cached("second") == 0


def test_keys_are_compared_as_a_whole() -> None:
    guard = Guard(ServerConfig(api_keys=("first",)))
    assert guard.refusal({"authorization": "Bearer firs"}, is_open=False) is not None
    assert guard.refusal({"authorization": "Bearer first "}, is_open=False) is None
    assert guard.refusal({"authorization": "Bearer \xff"}, is_open=False) is not None


def test_the_log_has_neither_prompts_nor_keys(start: StartServer) -> None:
    running = start("demo", api_keys=("sesame",), log_format="json")
    body = {"model": "demo", "prompt": "Where is the treasure?", "stream": False}
    answer = json.loads(parsed(running.exchange(request("/api/generate", body, x_api_key="sesame")))[2])["response"]
    running.wait_until(lambda: "/api/generate" in running.log.getvalue())
    log = running.log.getvalue()
    assert not any(word in log for word in ("treasure", "sesame", answer))
    lines = [json.loads(line) for line in log.splitlines()]
    (line,) = (line for line in lines if line.get("path") == "/api/generate")
    assert (line["status"], line["model"]) == (200, "demo:latest")


def test_prompts_are_logged_where_that_is_asked_for(start: StartServer) -> None:
    running = start("demo", logs_prompts=True, log_format="json")
    body = {"model": "demo", "prompt": "Where is the treasure?", "stream": False}
    answer = json.loads(parsed(running.exchange(request("/api/generate", body)))[2])["response"]
    running.wait_until(lambda: "/api/generate" in running.log.getvalue())
    (line,) = (one for one in map(json.loads, running.log.getvalue().splitlines()) if one["event"] == "answer")
    assert "treasure" in line["prompt"]
    assert answer in line["text"]


def test_what_is_said_on_the_wire_can_be_encrypted(start: StartServer, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "chain.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    running = start("demo", tls_certificate=str(certificate), tls_key=str(key))
    context = ssl.create_default_context(cafile=str(certificate))
    with urllib.request.urlopen(f"https://localhost:{running.port}/", context=context) as answer:
        assert answer.read() == b"Ollama is running"


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    from edgewise.server.serving import server

    (tmp_path / "bad.pem").write_text("nothing")
    config = ServerConfig(tls_certificate=str(tmp_path / "bad.pem"), tls_key=str(tmp_path / "bad.pem"))

    async def app(scope: object, receive: object, send: object) -> None:
        return None

    with pytest.raises(InvalidArgument, match=r"bad\.pem"):
        server(app, config)
