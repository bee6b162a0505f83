"""How likely the model finds continuations, against what it says when it is asked token by token."""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import replace

import pytest

from edgewise.engine.batching import Batch
from edgewise.engine.native import NativeEngine
from edgewise.errors import ContextFull, DeadlineExceeded, InvalidArgument

from .parts import GREEDY, held_up, told, words

# Steps of other sizes sum in another order, and what is rounded to 8 bits behind that differs now and then.
ROUNDING = 0.15
PREFIX = "What is a language model? It is"
CONTINUATIONS = [" a", " a model", " a program that writes text", " blue", " blue and green and red"]


def one_by_one(engine: NativeEngine, prefix: list[int], tokens: list[int]) -> list[float]:
    with engine.exclusive() as session:
        session.truncate(0)
        session.evaluate([*prefix, *tokens], all_logits=True)
        return [session.logprobs(len(prefix) - 1 + i, token, 0)[0] for i, token in enumerate(tokens)]


def test_scores_are_the_log_probabilities_of_each_token(engine: NativeEngine, batch: Batch) -> None:
    prefix = engine.tokenize(PREFIX)
    continuations = [words(engine, text) for text in CONTINUATIONS]
    scores = batch.score(prefix, continuations).result(60)
    for tokens, found, total in zip(continuations, scores.token_logprobs, scores.logprobs, strict=True):
        assert found == pytest.approx(one_by_one(engine, prefix, tokens), abs=ROUNDING)
        assert total == pytest.approx(sum(found))


def test_the_prefix_is_evaluated_once_and_the_last_token_of_a_continuation_never(
    engine: NativeEngine, batch: Batch
) -> None:
    prefix = engine.tokenize(PREFIX)
    continuations = [words(engine, text) for text in CONTINUATIONS]
    first = batch.score(prefix, continuations).result(60)
    assert (first.cached_tokens, first.evaluated_tokens) == (
        0,
        len(prefix) + sum(len(tokens) - 1 for tokens in continuations),
    )
    again = batch.score(prefix, continuations).result(60)
    assert again.cached_tokens == len(prefix) - 1
    assert again.logprobs == pytest.approx(first.logprobs, abs=ROUNDING)
    other = batch.score(prefix, continuations, namespace="other").result(60)
    assert other.cached_tokens == 0


def test_scores_share_steps_with_answers(engine: NativeEngine, batch: Batch) -> None:
    prefix = engine.tokenize(PREFIX)
    continuations = [words(engine, text) for text in CONTINUATIONS]
    alone = batch.score(prefix, continuations).result(60).logprobs
    expected = told(engine.generate(prefix, GREEDY))
    with held_up(batch):
        streams = [batch.submit(prefix, GREEDY) for _ in range(2)]
        scores = batch.score(prefix, continuations)
    assert [told(stream) for stream in streams] == [expected] * 2
    assert scores.result(60).logprobs == pytest.approx(alone, abs=ROUNDING)


def test_a_ticket_can_be_cancelled_before_and_during_its_work(engine: NativeEngine) -> None:
    with Batch(engine, stall_s=0.001) as batch:
        running = batch.submit([5], replace(GREEDY, max_tokens=200))
        with held_up(batch):
            ticket = batch.score([5] * 400, [[6, 7]])
            assert ticket.cancel()
        ticket = batch.score([6] * 400, [[6, 7]])
        next(running)
        ticket.cancel()
        with pytest.raises(CancelledError):
            ticket.result(60)
        assert told(running)


def test_a_deadline_ends_scores_and_embeddings(engine: NativeEngine, batch: Batch) -> None:
    with held_up(batch):
        tickets = batch.score([5], [[6]], deadline_s=0), batch.embed([[5]], deadline_s=0)
    for ticket in tickets:
        with pytest.raises(DeadlineExceeded):
            ticket.result(60)


def test_what_cannot_be_scored_is_refused_at_once(batch: Batch) -> None:
    for prefix, continuations in (([], [[5]]), ([5], []), ([5], [[5], []]), ([5], [[-1]])):
        with pytest.raises(InvalidArgument):
            batch.score(prefix, continuations)
    with pytest.raises(ContextFull):
        batch.score([5] * 500, [[5], [6] * 20])
