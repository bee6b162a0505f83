"""Prompts that are too long: refused with a way out that the endpoint knows, or shortened where that is asked for."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from edgewise.server.answering import Cost
from edgewise.server.ollama.answers import metrics
from server.running import Running

LONG = "word " * 3000
MESSAGES = [{"role": "user", "content": LONG + "The end."}]
ASKS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("/api/generate", {"prompt": LONG, "stream": False}, {"truncate": True}),
    ("/api/chat", {"messages": MESSAGES, "stream": False}, {"truncate": True}),
    ("/v1/chat/completions", {"messages": MESSAGES}, {"truncate": True}),
    ("/v1/completions", {"prompt": LONG}, {"truncate": True}),
    ("/v1/responses", {"input": LONG}, {"truncation": "auto"}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 20}, {"truncate": True}),
]


def post(running: Running, path: str, **body: Any) -> tuple[int, Any]:
    data = json.dumps({"model": "demo", **body}).encode()
    try:
        with urllib.request.urlopen(f"{running.url}{path}", data, timeout=60) as answer:  # noqa: S310  the server of this test
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize(("path", "body", "wish"), ASKS)
def test_a_refusal_names_a_field_that_then_helps(
    demo: Running, path: str, body: dict[str, Any], wish: dict[str, Any]
) -> None:
    status, refusal = post(demo, path, **body)
    field = json.dumps(wish)[1:-1]
    assert status == 400
    assert field in json.dumps(json.loads(refusal), ensure_ascii=False).replace("\\", "")
    assert ("num_ctx" in refusal) == path.startswith("/api/")
    status, reply = post(demo, path, **body, **wish)
    assert status == 200, reply
    told = reply.get("truncated_tokens") or reply["timings"]["truncated_n"]
    assert told > 2000


def test_the_end_of_a_long_message_is_what_stays(demo: Running) -> None:
    _, reply = post(demo, "/api/generate", prompt=LONG + "The end.", truncate=True, stream=False)
    _, text = post(demo, "/detokenize", tokens=reply["context"][: reply["prompt_eval_count"]])
    assert "word word The end." in text["content"]


def test_a_system_message_that_is_too_long_is_refused_without_empty_advice(demo: Running) -> None:
    status, refusal = post(demo, "/api/generate", system=LONG, prompt="Hello", truncate=True, stream=False)
    assert status == 400
    assert "system message" in refusal
    assert "truncate" not in refusal


def test_no_rate_of_ollama_is_above_the_true_one(demo: Running) -> None:
    for count in (1, 2, 9):
        _, reply = post(demo, "/api/generate", prompt="What is AI?", stream=False, options={"num_predict": count})
        assert 0 < reply["eval_duration"] < reply["total_duration"]


@pytest.mark.parametrize("count", [1, 2, 50])
def test_the_first_token_takes_time_as_the_others_do(count: int) -> None:
    decode_s = 0.01 * (count - 1)
    cost = Cost(1, 0, 0, 0.5, 0.01, 0.01, 8, 0, 8, count, prefill_s=0.5, decode_s=decode_s)
    rate = count / metrics(cost)["eval_duration"] * 1e9
    assert rate <= (count - 1) / decode_s * 1.001 if count > 1 else rate == 2
