"""Images in requests: seen where the model has a projector, refused elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from server.clients.projector import IMAGE_TOKENS, png, random_projector
from server.clients.scripted import scripted_model
from server.running import Running
from server.test_wire import parsed, request

DATA = base64.b64encode(png()).decode()
URL = f"data:image/png;base64,{DATA}"
OPENAI = {"type": "image_url", "image_url": {"url": URL}}
RESPONSES = {"type": "input_image", "image_url": URL}
ANTHROPIC = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}


def says(part: Any) -> list[Any]:
    return [{"role": "user", "content": [part, {"type": "text", "text": "Please say:words"}]}]


def post(running: Running, path: str, **body: Any) -> tuple[int, Any]:
    status, _, answer = parsed(running.exchange(request(path, body)))
    return status, json.loads(answer)


REQUESTS: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/chat/completions", {"messages": says(OPENAI)}, "messages[0].content[0]"),
    ("/v1/responses", {"input": says(RESPONSES)}, "input[0].content[0]"),
    ("/v1/messages", {"messages": says(ANTHROPIC), "max_tokens": 99}, "messages[0].content[0]"),
    (
        "/api/chat",
        {"messages": [{"role": "user", "content": "Please say:words", "images": [DATA]}], "stream": False},
        "messages[0].images[0]",
    ),
    ("/api/generate", {"prompt": "Please say:words", "images": [DATA], "stream": False}, "messages[0].images[0]"),
]


@pytest.fixture(scope="module")
def seeing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server whose model `seeing` has a projector."""
    pytest.importorskip("xllamacpp", reason="the llama.cpp backend is not installed: pip install 'edgewise[llamacpp]'")
    from edgewise.config import EngineConfig

    folder = tmp_path_factory.mktemp("seeing")
    running, stop = request.getfixturevalue("_serve")(folder, [], EngineConfig(prompt_cache_bytes=0))
    create(running, "seeing", scripted_model(folder / "model.gguf"), random_projector(folder / "projector.gguf", 320))
    yield running
    stop()


def create(running: Running, name: str, *paths: Path) -> None:
    """Makes a model of files, uploaded as Ollama's clients do it."""
    files = {}
    for path in paths:
        digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        upload(running, digest, path.read_bytes())
        files[path.name] = digest
    status, answer = post(running, "/api/create", model=name, files=files, stream=False)
    assert (status, answer) == (200, {"status": "success"})


def upload(running: Running, digest: str, data: bytes) -> None:
    assert parsed(running.exchange(request(f"/api/blobs/{digest}", data)))[0] in (200, 201)


def said(path: str, answer: Any) -> tuple[str, int]:
    """The words of an answer, and the tokens of its prompt."""
    if path == "/v1/chat/completions":
        return answer["choices"][0]["message"]["content"], answer["usage"]["prompt_tokens"]
    if path == "/v1/responses":
        return answer["output"][0]["content"][0]["text"], answer["usage"]["input_tokens"]
    if path == "/v1/messages":
        usage = answer["usage"]
        return answer["content"][0]["text"], usage["input_tokens"] + usage["cache_read_input_tokens"]
    return answer["message"]["content"] if path == "/api/chat" else answer["response"], answer["prompt_eval_count"]


@pytest.mark.parametrize(("path", "body", "field"), REQUESTS, ids=[path for path, _, _ in REQUESTS])
def test_a_model_with_a_projector_reads_an_image(seeing: Running, path: str, body: dict[str, Any], field: str) -> None:
    status, answer = post(seeing, path, model="seeing", **body)
    assert status == 200, answer
    text, prompt_tokens = said(path, answer)
    assert text == "Deux words and a few more."
    text_tokens = len("<|turn|>user Please say:words<|end|><|words|>") - len("<|turn|><|end|><|words|>") + 3
    assert prompt_tokens == text_tokens + IMAGE_TOKENS


def test_what_has_no_images_is_answered_by_the_core_beside_it(seeing: Running) -> None:
    post(seeing, "/v1/chat/completions", model="seeing", messages=says(OPENAI))
    post(seeing, "/v1/chat/completions", model="seeing", messages=[{"role": "user", "content": "say:words"}])

    def engines() -> set[str]:
        loaded = seeing.state.models.loaded
        return {model.engine.name for model in loaded if model.installed.name == "seeing:latest"}

    assert engines() == {"native", "llamacpp"}
    status, _ = post(seeing, "/api/generate", model="seeing", keep_alive=0)
    assert status == 200
    seeing.wait_until(lambda: not engines())


def test_an_image_can_be_streamed_about(seeing: Running) -> None:
    body = {"model": "seeing", "messages": says(OPENAI), "stream": True}
    status, _, stream = parsed(seeing.exchange(request("/v1/chat/completions", body)))
    assert status == 200
    chunks = [json.loads(part.removeprefix(b"data: ")) for part in stream.split(b"\n\n")[:-2]]
    assert (
        "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == "Deux words and a few more."
    )


def test_what_is_no_image_is_refused(seeing: Running) -> None:
    for url, finding in (
        ("data:image/png;base64,AAAA", "Failed to load image"),
        ("data:image/png;base64,!", "no base64"),
        ("data:image/png;base64,", "empty"),
        ("http://example.com/image.png", "addresses are not followed"),
        ("file:///etc/passwd", "addresses are not followed"),
    ):
        part = {"type": "image_url", "image_url": {"url": url}}
        status, answer = post(seeing, "/v1/chat/completions", model="seeing", messages=says(part))
        assert status == 400
        assert finding in answer["error"]["message"]


@pytest.mark.parametrize(
    "tensor", ["mm.2.bias", "v.patch_embd.weight", "v.position_embd.weight", "v.blk.0.ffn_up.weight"]
)
def test_a_projector_that_lacks_something_is_refused_and_the_server_stays_up(
    seeing: Running, tmp_path: Path, tensor: str
) -> None:
    projector = random_projector(tmp_path / "projector.gguf", 320, without=tensor)
    create(seeing, "broken", scripted_model(tmp_path / "model.gguf"), projector)
    status, answer = post(seeing, "/v1/chat/completions", model="broken", messages=says(OPENAI))
    assert status == 400
    assert "projector" in answer["error"]["message"]
    assert post(seeing, "/v1/chat/completions", model="seeing", messages=says(OPENAI))[0] == 200


@pytest.mark.parametrize(("path", "body", "field"), REQUESTS, ids=[path for path, _, _ in REQUESTS])
def test_a_model_without_a_projector_says_so(scripted: Running, path: str, body: dict[str, Any], field: str) -> None:
    status, answer = post(scripted, path, model="scripted", **body)
    assert status == 400
    message = answer["error"] if path.startswith("/api/") else answer["error"]["message"]
    assert message == f'{field}: "scripted:latest" can not see images: it has no projector'


def test_the_model_is_looked_for_first(scripted: Running) -> None:
    assert post(scripted, "/v1/chat/completions", model="other", messages=says(OPENAI))[0] == 404


def test_a_result_of_a_tool_may_have_images(scripted: Running) -> None:
    result = {"type": "tool_result", "tool_use_id": "a", "content": [ANTHROPIC]}
    messages = [{"role": "user", "content": [result]}]
    status, answer = post(scripted, "/v1/messages", model="scripted", messages=messages, max_tokens=9)
    assert status == 400
    assert answer["error"]["message"].startswith("messages[0].content[0].content[0]: ")
