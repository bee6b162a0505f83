"""Embedding models behind every protocol: they embed, and say of the rest that they do not do it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gguf")

from edgewise import open as open_model
from edgewise.config import EngineConfig
from edgewise.engine.native import NativeEngine
from random_model.encoder import EncoderShape, write_encoder
from server.conftest import Serve
from server.running import Running
from server.test_wire import parsed, request

TEXTS = ["hello there", "tea at nine, not ten!", "a"]


@pytest.fixture(scope="module", params=["bert", "nomic-bert"])
def encoder(request: pytest.FixtureRequest, _serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server with an encoder, and the encoder's file."""
    folder = tmp_path_factory.mktemp("encoder")
    write_encoder(folder / "encoder.gguf", EncoderShape(request.param), "q8_0", 1)
    running, stop = _serve(folder, [str(folder / "encoder.gguf")], EngineConfig(prompt_cache_bytes=0))
    yield running, folder / "encoder.gguf"
    stop()


def post(running: Running, path: str, **body: Any) -> tuple[int, Any]:
    status, _, answer = parsed(running.exchange(request(path, body)))
    return status, json.loads(answer)


def the_name(running: Running) -> str:
    _, _, answer = parsed(running.exchange(request("/api/tags")))
    return str(json.loads(answer)["models"][0]["name"])


def expected(path: Path) -> list[list[float]]:
    with open_model(path, engine="native") as engine:
        assert isinstance(engine, NativeEngine)
        vectors = [rows[0] for rows in engine.embed([engine.tokenize(text) for text in TEXTS])]
    return [[x / math.hypot(*vector) for x in vector] for vector in vectors]


def test_both_protocols_give_the_vectors_of_the_engine(encoder: tuple[Running, Path]) -> None:
    running, path = encoder
    name = the_name(running)
    status, answer = post(running, "/api/embed", model=name, input=TEXTS)
    assert status == 200, answer
    status, openai = post(running, "/v1/embeddings", model=name, input=TEXTS, encoding_format="float")
    assert status == 200, openai
    for wanted, ollama, one in zip(expected(path), answer["embeddings"], openai["data"], strict=True):
        assert ollama == pytest.approx(wanted, abs=1e-5)
        assert one["embedding"] == pytest.approx(wanted, abs=1e-5)


def test_a_text_that_is_too_long_is_cut_or_refused_as_asked(encoder: tuple[Running, Path]) -> None:
    running, _ = encoder
    name, long = the_name(running), "rain " * 5000
    assert post(running, "/api/embed", model=name, input=long)[0] == 200
    status, answer = post(running, "/api/embed", model=name, input=long, truncate=False)
    assert status == 400
    assert "10002 tokens, the context window 512" in answer["error"]


def test_it_is_shown_as_what_it_is(encoder: tuple[Running, Path]) -> None:
    running, _ = encoder
    status, answer = post(running, "/api/show", model=the_name(running))
    assert status == 200
    assert answer["capabilities"] == ["embedding"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/generate", {"prompt": "a", "stream": False}),
        ("/api/chat", {"messages": [{"role": "user", "content": "a"}], "stream": False}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 5}),
        ("/v1/decisions", {"input": "a", "questions": [{"type": "predicate", "instructions": "b"}]}),
    ],
)
def test_it_answers_nothing_and_says_why(encoder: tuple[Running, Path], path: str, body: dict[str, Any]) -> None:
    running, _ = encoder
    status, answer = post(running, path, model=the_name(running), **body)
    assert status == 400
    assert "embeddings" in json.dumps(answer)
