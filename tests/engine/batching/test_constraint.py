"""A constraint decides what an answer may say, in a batch and without."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from edgewise import GenerateOptions
from edgewise.engine.batching import Batch
from edgewise.engine.native import NativeEngine
from edgewise.engine.protocol import Constraint, Generation
from edgewise.errors import InternalError, InvalidArgument

from .parts import GREEDY, held_up, mask, told, words

Ask = Callable[[Constraint, GenerateOptions], Generation]


class Sequence:
    """Only these tokens, in this order."""

    def __init__(self, tokens: list[int], vocabulary_size: int) -> None:
        self.tokens, self.size = list(tokens), vocabulary_size

    def allowed(self) -> bytes | None:
        return mask(self.tokens[:1], self.size)

    def accept(self, token: int) -> None:
        assert token == self.tokens.pop(0)

    @property
    def is_complete(self) -> bool:
        return not self.tokens


class AnyOf:
    """Any of these tokens, without end."""

    def __init__(self, tokens: list[int] | None, vocabulary_size: int = 0) -> None:
        self.mask = None if tokens is None else mask(tokens, vocabulary_size)
        self.accepted: list[int] = []

    def allowed(self) -> bytes | None:
        return self.mask

    def accept(self, token: int) -> None:
        self.accepted.append(token)

    @property
    def is_complete(self) -> bool:
        return False


class Broken(AnyOf):
    def accept(self, token: int) -> None:
        raise ZeroDivisionError("broken")


@pytest.fixture(params=["alone", "batched", "among others"])
def ask(request: pytest.FixtureRequest, engine: NativeEngine, batch: Batch) -> Ask:
    prompt = engine.tokenize("What is a language model?")

    def ask(constraint: Constraint, options: GenerateOptions) -> Generation:
        if request.param == "alone":
            return engine.generate(prompt, options, constraint=constraint)
        with held_up(batch):
            others = [batch.submit([5 + i], GREEDY) for i in range(3 if request.param == "among others" else 0)]
            answer = batch.submit(prompt, options, constraint=constraint)
        assert all(told(other) for other in others)
        return answer

    return ask


@pytest.mark.parametrize("options", [GREEDY, GenerateOptions(seed=3), GenerateOptions(mirostat=(5.0, 0.1), seed=1)])
def test_an_answer_says_what_it_must_and_ends_when_that_is_complete(
    engine: NativeEngine, ask: Ask, options: GenerateOptions
) -> None:
    tokens = words(engine, ' {"name": "größe"}')
    answer = ask(Sequence(tokens, engine.vocabulary_size), replace(options, max_tokens=100))
    pieces = list(answer)
    assert [piece.token for piece in pieces] == tokens
    assert "".join(piece.text for piece in pieces).encode() == engine.detokenize(tokens)
    assert answer.finish_reason == "stop"
    assert all(piece.logprob is not None and piece.logprob < 0 for piece in pieces)  # those of the model alone


def test_log_probabilities_are_those_without_the_constraint(engine: NativeEngine, ask: Ask) -> None:
    free = next(ask(AnyOf(None), replace(GREEDY, top_logprobs=5)))
    assert free.top_logprobs[0][0] == free.token
    runner_up, logprob = free.top_logprobs[1]
    held = next(ask(AnyOf([runner_up], engine.vocabulary_size), replace(GREEDY, top_logprobs=5)))
    assert held.token == runner_up
    assert held.logprob == pytest.approx(logprob, abs=0.1)
    assert held.top_logprobs[0][0] == free.token


def test_every_token_but_the_end_is_told_to_the_constraint(engine: NativeEngine, ask: Ask) -> None:
    end = engine.tokenizer.eos
    assert end is not None
    constraint = AnyOf([20, 21, 22, end], engine.vocabulary_size)
    pieces = list(ask(constraint, GenerateOptions(seed=7, logit_bias={end: 20.0}, max_tokens=50, min_p=0, top_p=1)))
    assert constraint.accepted == [piece.token for piece in pieces]
    assert set(constraint.accepted) <= {20, 21, 22}


def test_a_limit_still_cuts_a_constrained_answer(engine: NativeEngine, ask: Ask) -> None:
    answer = ask(AnyOf([20, 21], engine.vocabulary_size), replace(GREEDY, max_tokens=5))
    assert len(list(answer)) == 5
    assert answer.finish_reason == "length"


def test_a_constraint_that_is_complete_from_the_start_says_nothing(engine: NativeEngine, ask: Ask) -> None:
    answer = ask(Sequence([], engine.vocabulary_size), GREEDY)
    assert list(answer) == []
    assert answer.finish_reason == "stop"


def test_a_constraint_that_allows_nothing_is_an_error_of_that_answer_alone(engine: NativeEngine, ask: Ask) -> None:
    with pytest.raises(InvalidArgument, match="allows no"):
        list(ask(AnyOf([], engine.vocabulary_size), GREEDY))
    assert math.isfinite(next(ask(AnyOf(None), GREEDY)).logprob or math.nan)


def test_an_error_of_a_constraint_ends_its_answer_alone(engine: NativeEngine, ask: Ask) -> None:
    with pytest.raises((ZeroDivisionError, InternalError), match="broken"):
        list(ask(Broken(None), GREEDY))
    assert told(ask(AnyOf(None), GREEDY))
