"""Texts as vectors: what is too long is refused or told, and what they cost is told everywhere."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from edgewise.config import EngineConfig
from edgewise.server.ollama import shapes
from edgewise.server.schema import check
from server.running import Running, StartServer
from server.test_wire import endless, parsed, request

LONG = "word " * 3000
OLLAMA_COSTS = {
    "total_duration",
    "load_duration",
    "queue_duration",
    "prompt_eval_count",
    "prompt_eval_cached_count",
    "prompt_eval_duration",
}


def post(running: Running, path: str, **body: Any) -> tuple[int, Any]:
    status, _, answer = parsed(running.exchange(request(path, {"model": "demo", **body})))
    return status, json.loads(answer)


def counted(running: Running, name: str) -> float:
    """The sum of a metric's values for the demo model."""
    text = running.exchange(request("/metrics")).decode()
    return sum(float(value) for value in re.findall(rf'^{name}{{model="demo:latest"}} (\S+)$', text, re.MULTILINE))


@pytest.mark.parametrize(
    ("path", "field", "refuses"),
    [
        ("/api/embed", "input", {"truncate": False}),
        ("/api/embeddings", "prompt", {}),
        ("/v1/embeddings", "input", {}),
    ],
)
def test_a_text_that_is_too_long_is_refused_with_both_numbers_and_a_way_out(
    demo: Running, path: str, field: str, refuses: dict[str, Any]
) -> None:
    status, answer = post(demo, path, **{field: LONG}, **refuses)
    message = answer["error"] if path.startswith("/api") else answer["error"]["message"]
    assert status == 400
    assert re.search(rf"{field} has \d{{4}} tokens, the context window 512", message)
    assert '"truncate": true' in message
    assert "longer context" in message


@pytest.mark.parametrize(("path", "field"), [("/api/embed", "input"), ("/api/embeddings", "prompt")])
def test_ollamas_replies_tell_what_was_cut(demo: Running, path: str, field: str) -> None:
    status, answer = post(demo, path, **{field: LONG}, truncate=True)
    assert status == 200
    assert answer["truncated"] is True
    whole = int(re.findall(r"has (\d+) tokens", json.dumps(post(demo, path, **{field: LONG}, truncate=False)[1]))[0])
    assert answer["prompt_eval_count"] + answer["truncated_tokens"] == whole
    assert "truncated" not in post(demo, path, **{field: "word"}, truncate=True)[1]


def test_openais_reply_tells_what_was_cut_where_that_was_asked_for(demo: Running) -> None:
    status, answer = post(demo, "/v1/embeddings", input=LONG, truncate=True)
    assert (status, answer["usage"]["prompt_tokens"]) == (200, 512)
    assert answer["timings"]["truncated_n"] > 2000


@pytest.mark.parametrize(("path", "field"), [("/api/embed", "input"), ("/api/embeddings", "prompt")])
def test_num_ctx_bounds_a_text(demo: Running, path: str, field: str) -> None:
    asked = {field: "word " * 100, "options": {"num_ctx": 64}}
    status, answer = post(demo, path, **asked, truncate=False)
    assert status == 400
    assert "the context window 64" in answer["error"]
    status, answer = post(demo, path, **asked, truncate=True)
    assert (status, answer["prompt_eval_count"], answer["truncated"]) == (200, 64, True)


def test_num_ctx_above_what_a_model_has_loads_it_anew(start: StartServer) -> None:
    running = start("demo", engine=EngineConfig(prompt_cache_bytes=0, context_length=64))
    text = "word " * 100
    assert post(running, "/api/embed", input=text, truncate=False)[0] == 400
    assert post(running, "/api/embed", input=text, truncate=False, options={"num_ctx": 400})[0] == 200
    (model,) = running.state.models.loaded
    assert model.engine.context_length >= 400


@pytest.mark.parametrize(
    ("path", "field", "shape"),
    [("/api/embed", "input", shapes.EMBEDDED), ("/api/embeddings", "prompt", shapes.EMBEDDING)],
)
def test_ollamas_replies_tell_what_vectors_cost(demo: Running, path: str, field: str, shape: Any) -> None:
    _, answer = post(demo, path, **{field: "a model"})
    check(answer, shape)
    assert set(answer) >= OLLAMA_COSTS
    assert answer["prompt_eval_count"] > 0
    assert answer["prompt_eval_cached_count"] == 0
    assert 0 < answer["prompt_eval_duration"] <= answer["total_duration"]


def test_openais_reply_tells_what_vectors_cost(demo: Running) -> None:
    _, answer = post(demo, "/v1/embeddings", input=["a model", "a token"])
    timings = answer["timings"]
    assert (timings["cache_n"], timings["prompt_n"]) == (0, answer["usage"]["prompt_tokens"])
    assert 0 < timings["prompt_ms"] <= timings["total_ms"]
    assert {"queue_ms", "load_ms"} <= set(timings)


def test_metrics_count_vectors(demo: Running) -> None:
    evaluated, waits = "edgewise_prompt_tokens_evaluated_total", "edgewise_queue_seconds_count"
    for path, field in (("/api/embed", "input"), ("/api/embeddings", "prompt"), ("/v1/embeddings", "input")):
        before = counted(demo, evaluated), counted(demo, waits), counted(demo, "edgewise_load_seconds_count")
        _, answer = post(demo, path, **{field: "a model"})
        tokens = answer["prompt_eval_count"] if "prompt_eval_count" in answer else answer["usage"]["prompt_tokens"]
        after = counted(demo, evaluated), counted(demo, waits), counted(demo, "edgewise_load_seconds_count")
        assert [new - old for new, old in zip(after, before, strict=True)] == [tokens, 1, 1]


def test_the_wait_for_a_turn_is_told_apart_from_the_work(start: StartServer) -> None:
    running = start("demo", parallel=1)
    (model,) = running.state.models.loaded
    with running.connect() as busy:
        busy.sendall(request("/api/generate", endless(400)))
        running.wait_until(lambda: model.batch.active > 0)
        _, answer = post(running, "/api/embed", input="a")
    assert answer["queue_duration"] > answer["prompt_eval_duration"]


def test_a_model_whose_batch_broke_is_loaded_anew(start: StartServer) -> None:
    running = start("demo")
    running.state.models.loaded[0].batch.close()
    assert post(running, "/api/embed", input="a")[0] == 503
    assert post(running, "/api/embed", input="a")[0] == 200


def test_vectors_that_take_too_long_end_with_an_error(start: StartServer) -> None:
    running = start("demo", deadline_s=0.001)
    assert post(running, "/api/embed", input=["word " * 500] * 50)[0] == 504
