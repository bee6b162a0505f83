"""How likely a model finds each of given answers to a question."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgewise.errors import Closed
from edgewise.server.ask import Ask
from edgewise.server.models import speech_of
from edgewise.server.refusals import Refused
from edgewise.server.timings import milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.engine.batching import Scores
    from edgewise.engine.protocol import Engine
    from edgewise.server.endpoint import Call
    from edgewise.server.models import Loaded
    from edgewise.server.speech import Speech


@dataclass(frozen=True)
class Question:
    """A question with all its answers.

    Args:
        role: what the model is told to do; the same for all questions that share something.
        text: what is asked about, and then the question: what comes first is shared with other questions.
        answers: each with all its spellings, whose probabilities add up.
    """

    role: str
    text: str
    answers: Sequence[Sequence[str]]


@dataclass
class Decided:
    """Probabilities, and what they cost.

    Args:
        probabilities: of each question's answers; they sum to 1.
        input_tokens: of all prompts and answers.
        cached_tokens: of those, what the KV cache held.
        timings: where the time went, in milliseconds.
    """

    probabilities: list[list[float]] = field(default_factory=list)
    input_tokens: int = 0
    cached_tokens: int = 0
    timings: dict[str, float] = field(default_factory=dict)


async def decide(call: Call, name: str, questions: Sequence[Question], keep_alive_s: float | None = None) -> Decided:
    """Puts questions to a model.

    All answers to a question are evaluated at once, as continuations that share its prompt; questions share steps, and
    what their prompts begin with. An answer counts with the end of the turn behind it, so that `1` is not `10` as well.

    Args:
        call: the request.
        name: of the model.
        questions: what is asked.
        keep_alive_s: how long the model stays loaded; None for the server's setting.

    Raises:
        EdgewiseError: if the model is not there or gives no scores, the queue is full, or it takes too long.
    """
    async with call.state.models.lease(name, keep_alive_s=keep_alive_s) as lease:
        speech = await speech_of(lease.model)
        scored = [await _score(call, lease.model, speech, name, question) for question in questions[:1]]
        turns = asyncio.Semaphore(lease.model.slots)

        async def in_turn(question: Question) -> Scores:
            async with turns:
                return await _score(call, lease.model, speech, name, question)

        others = [asyncio.ensure_future(in_turn(question)) for question in questions[1:]]
        try:
            scored += await asyncio.gather(*others)
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        installed, load_s = lease.model.installed.name, lease.load_s
    call.notes["model"] = installed
    decided = Decided()
    for question, scores in zip(questions, scored, strict=True):
        decided.probabilities.append(_probabilities(question, scores))
        decided.input_tokens += scores.cached_tokens + scores.evaluated_tokens
        decided.cached_tokens += scores.cached_tokens
    # The first question goes alone, as the others share what it leaves; then these wait beside each other.
    queue_s = scored[0].queue_s + max((one.queue_s for one in scored[1:]), default=0.0)
    call.state.metrics.scored(installed, scored, queue_s, load_s)
    decided.timings = {
        "load_ms": milliseconds(load_s),
        "queue_ms": milliseconds(queue_s),
        "total_ms": milliseconds(time.perf_counter() - call.started_s),
        "cache_n": decided.cached_tokens,
        "prompt_n": decided.input_tokens - decided.cached_tokens,
    }
    return decided


async def _score(call: Call, model: Loaded, speech: Speech, name: str, question: Question) -> Scores:
    prefix, continuations = await asyncio.to_thread(_tokens, model.engine, speech, name, question)
    left_s = call.state.config.deadline_s - (time.perf_counter() - call.started_s)
    if left_s <= 0:
        raise Refused("timeout", "the answer was not there in time")
    deadline_s = None if math.isinf(left_s) else left_s
    try:
        ticket = model.batch.score(prefix, continuations, deadline_s=deadline_s, namespace=call.namespace)
    except Closed:
        model.is_broken = True
        raise
    # Cancelling the ticket, as happens when the client leaves, ends the work.
    return await asyncio.wrap_future(ticket)


def _tokens(engine: Engine, speech: Speech, name: str, question: Question) -> tuple[Sequence[int], list[list[int]]]:
    """The prompt, and what may come behind it."""
    if speech.has_template:
        messages = [{"role": "system", "content": question.role}, {"role": "user", "content": question.text}]
        asked, before, end = Ask(name, messages=messages, think=False), "", _end_of_turn(engine)
    else:
        asked = Ask(name, prompt=f"{question.role}\n\n{question.text}\nAnswer:")
        before, end = " ", engine.tokenize("\n", add_special=False)
    prefix = speech.prompt(asked, 1, engine.context_length).tokens
    spellings = [f"{before}{spelling}" for answer in question.answers for spelling in answer]
    return prefix, [[*engine.tokenize(spelling, add_special=False), *end] for spelling in spellings]


def _end_of_turn(engine: Engine) -> list[int]:
    for name in ("eot", "eos"):
        token = engine.metadata.get(f"tokenizer.ggml.{name}_token_id")
        if isinstance(token, int):
            return [token]
    return []


def _probabilities(question: Question, scores: Scores) -> list[float]:
    logprobs = scores.logprobs
    most = max(logprobs)
    weights, place = [], 0
    for answer in question.answers:
        weights.append(math.fsum(math.exp(one - most) for one in logprobs[place : place + len(answer)]))
        place += len(answer)
    total = math.fsum(weights)
    return [weight / total for weight in weights]
