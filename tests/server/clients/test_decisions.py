"""Decisions and rankings, by unmodified clients where there are any."""

from __future__ import annotations

import asyncio
import json
import math
import urllib.error
import urllib.request
from typing import Any

import pytest

from server.running import Running

# What the model is undecided about: "yes" is three times as likely as "no", and everything else all but impossible.
THREE_TO_ONE = pytest.approx(0.75, abs=1e-5)


def post(running: Running, path: str, body: Any) -> tuple[int, Any]:
    request = urllib.request.Request(f"{running.url}{path}", json.dumps(body).encode())  # noqa: S310  the loopback
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_ollamas_client_gets_the_probabilities_of_its_answers(scripted: Running) -> None:
    ollama = pytest.importorskip("ollama", reason="the client is not installed: pip install ollama")
    questions = {
        "is": {"type": "noul", "instructions": "Is it?", "criteria": {"true": "it is", "false": "it is not"}},
        "which": {"type": "choice", "instructions": {"any": "JSON"}, "criteria": {"no": None, "yes": "good"}},
        "much": {"type": "score", "instructions": "How much?", "criteria": ["none", "some", "all"]},
    }
    with ollama.Client(scripted.url) as client:
        answer = client.systemone("scripted", {"text": "a state"}, questions)
    assert list(answer.answers) == ["is", "which", "much"]
    assert answer.answers["is"].noul == THREE_TO_ONE
    which = answer.answers["which"]
    assert (which.choice, list(which.probabilities)) == ("yes", ["no", "yes"])
    assert which.confidence == which.probabilities["yes"] == THREE_TO_ONE
    much = answer.answers["much"]
    # The three digits are equally unlikely.
    assert list(much.probabilities.values()) == pytest.approx([1 / 3] * 3)
    assert much.score == pytest.approx(1.0)
    assert much.legend == {"0": "none", "1": "some", "2": "all"}
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens == 0


def test_ollamas_client_gets_errors_as_it_reads_them(scripted: Running) -> None:
    ollama = pytest.importorskip("ollama", reason="the client is not installed: pip install ollama")
    question = {"q": {"type": "noul", "instructions": "?"}}
    with ollama.Client(scripted.url) as client, pytest.raises(ollama.ResponseError, match="'x' not found") as caught:
        client.systemone("x", "state", question)
    assert caught.value.status_code == 404


def test_openais_client_gets_answers_in_the_order_of_its_questions(scripted: Running) -> None:
    openai = pytest.importorskip("openai", reason="the client is not installed: pip install openai")
    conversation: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "Hm."}, {"type": "input_json", "data": {"a": 1}}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "result"},
    ]
    questions: Any = [
        {"type": "predicate", "instructions": "It rains.", "name": "rain"},
        {
            "type": "choice",
            "instructions": "Which?",
            "choices": [{"value": "no"}, {"value": "yes", "description": "!"}],
        },
        {"type": "choice", "instructions": "Is it?", "choices": [{"value": True}, {"value": False}]},
        {"type": "score", "instructions": "How good?", "levels": [{"label": "bad"}, {"label": "good"}]},
    ]
    for given in ("a text", conversation):
        with openai.OpenAI(base_url=f"{scripted.url}/v1", api_key="none", max_retries=0) as client:
            decision = client.decisions.create(model="scripted", input=given, questions=questions)
        rain, which, boolean, score = decision.answers
        assert (rain.name, rain.probability) == ("rain", THREE_TO_ONE)
        assert (which.choice, which.confidence) == ("yes", THREE_TO_ONE)
        assert [one.value for one in which.probabilities] == ["no", "yes"]
        assert [one.value for one in boolean.probabilities] == [True, False]
        assert [(one.value, one.label) for one in score.probabilities] == [(0, "bad"), (1, "good")]
        for answer in (which, boolean, score):
            assert math.fsum(one.probability for one in answer.probabilities) == pytest.approx(1, abs=1e-12)
        assert decision.usage.output_tokens == 0


def test_questions_share_what_they_are_about(scripted: Running) -> None:
    questions = [{"type": "predicate", "instructions": f"It is {index}."} for index in range(6)]
    _, answer = post(scripted, "/v1/decisions", {"model": "scripted", "input": "z" * 1000, "questions": questions})
    usage = answer["usage"]
    assert usage["input_tokens"] > 6000
    cached = usage["input_tokens_details"]["cached_tokens"]
    assert cached > 4500
    timings = answer["timings"]
    assert (timings["cache_n"], timings["prompt_n"]) == (cached, usage["input_tokens"] - cached)
    assert timings["total_ms"] > timings["queue_ms"] >= 0


def test_metrics_count_what_decisions_cost(scripted: Running) -> None:
    def counted(name: str) -> float:
        with urllib.request.urlopen(f"{scripted.url}/metrics") as answer:  # noqa: S310  the loopback
            text = answer.read().decode()
        return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name}{{"))

    waits, loads = "edgewise_queue_seconds_count", "edgewise_load_seconds_count"
    tokens = "edgewise_prompt_tokens_cached_total", "edgewise_prompt_tokens_evaluated_total"
    questions = [{"type": "predicate", "instructions": f"It is {index}?"} for index in range(6)]
    before = [counted(name) for name in (waits, loads, *tokens)]
    _, answer = post(scripted, "/v1/decisions", {"model": "scripted", "input": "y" * 99, "questions": questions})
    grown = [counted(name) - old for name, old in zip((waits, loads, *tokens), before, strict=True)]
    assert grown == [1, 1, answer["timings"]["cache_n"], answer["timings"]["prompt_n"]]


def test_long_labels_and_beginnings_of_others_are_answers_of_their_own(scripted: Running) -> None:
    choices = {"yes": None, "yes and no": None, "no": None, "nowhere": None}
    question = {"type": "choice", "instructions": "?", "criteria": choices}
    _, answer = post(scripted, "/v1/systemone", {"model": "scripted", "state": [1], "questions": {"q": question}})
    found = answer["answers"]["q"]["probabilities"]
    assert found["yes"] == THREE_TO_ONE
    assert found["yes and no"] < 1e-9
    assert found["nowhere"] < 1e-9


@pytest.mark.parametrize(
    ("question", "finding"),
    [
        ({"type": "choice", "instructions": "?"}, "criteria must be an object"),
        ({"type": "choice", "instructions": "?", "criteria": {}}, "between 1 and 255"),
        ({"type": "choice", "instructions": "?", "criteria": {str(i): None for i in range(256)}}, "between 1 and 255"),
        ({"type": "choice", "instructions": "?", "criteria": {" ": None}}, "must not be empty"),
        ({"type": "score", "instructions": "?", "criteria": {"a": "b"}}, "must be a list of levels"),
        ({"type": "score", "instructions": "?", "criteria": ["x"] * 11}, "between 1 and 10"),
        ({"type": "guess", "instructions": "?"}, "type must be one of"),
        ({"type": "noul"}, "instructions is required"),
    ],
)
def test_a_question_that_is_none_is_refused_by_name(scripted: Running, question: Any, finding: str) -> None:
    status, answer = post(scripted, "/v1/systemone", {"model": "scripted", "state": "", "questions": {"q": question}})
    assert status == 400
    assert answer["error"].startswith("questions.q.")
    assert finding in answer["error"]


def test_counts_have_limits(scripted: Running) -> None:
    question = {"type": "noul", "instructions": "?"}
    for count in (0, 129):
        body = {"model": "scripted", "state": "", "questions": {str(index): question for index in range(count)}}
        status, answer = post(scripted, "/v1/systemone", body)
        assert (status, answer["error"]) == (400, f"questions must be between 1 and 128, got {count}")
    predicate = {"type": "predicate", "instructions": "?"}
    status, answer = post(scripted, "/v1/decisions", {"model": "scripted", "input": "", "questions": [predicate] * 401})
    assert (status, answer["error"]["param"]) == (400, "questions")
    status, answer = post(scripted, "/v1/decisions", {"model": "scripted", "input": "", "questions": [predicate] * 150})
    assert (status, len(answer["answers"])) == (200, 150)


def test_documents_are_ranked_by_the_probability_of_yes(scripted: Running) -> None:
    documents = ["one", {"text": "two"}, "three"]
    body = {"model": "scripted", "query": "?", "documents": documents, "top_n": 2, "return_documents": True}
    for path in ("/v1/rerank", "/rerank"):
        status, answer = post(scripted, path, body)
        assert status == 200
        assert [result["relevance_score"] for result in answer["results"]] == [THREE_TO_ONE] * 2
        assert answer["results"][0]["document"] in [{"text": text} for text in ("one", "two", "three")]
    status, answer = post(scripted, "/rerank", {**body, "documents": []})
    assert (status, answer["error"]["param"]) == (400, "documents")


def test_pydantic_ai_decides_through_its_own_provider(scripted: Running) -> None:
    pytest.importorskip("pydantic_ai", reason="the client is not installed: pip install pydantic-ai-slim")
    from pydantic import BaseModel, Field
    from pydantic_ai import Agent
    from pydantic_ai.models.system_one import SystemOneModel
    from pydantic_ai.providers.system_one import SystemOneProvider

    class Weather(BaseModel):
        rains: bool = Field(description="Does it rain?")

    async def decided() -> Weather:
        provider = SystemOneProvider(base_url=scripted.url)
        async with provider.client:
            agent = Agent(SystemOneModel("scripted", provider=provider), output_type=Weather)
            return (await agent.run("It pours.")).output

    assert asyncio.run(decided()) == Weather(rains=True)
