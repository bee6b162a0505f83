"""Answers that do not fit the cache together wait for each other, and none of them dies or changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgewise import EngineConfig, GenerateOptions
from edgewise.engine.batching import Batch
from edgewise.engine.models import DEMO
from edgewise.engine.native import NativeEngine

from .parts import GREEDY, held_up, is_left_clean, told

ONE_CONTEXT = EngineConfig(context_length=256, sequences=1, prompt_cache_bytes=0)


def endless(engine: NativeEngine, tokens: int) -> GenerateOptions:
    return replace(GREEDY, max_tokens=tokens, logit_bias={engine.tokenizer.eos or 0: -100.0}, logprobs=False)


def test_answers_that_outgrow_the_cache_all_come_to_their_end() -> None:
    with NativeEngine(DEMO, ONE_CONTEXT) as engine:
        options = endless(engine, 120)
        prompts = [[5 + i + j % 7 for j in range(20)] for i in range(6)]
        alone = [[piece.token for piece in engine.generate(prompt, options)] for prompt in prompts]
        with Batch(engine, parallel=6) as batch:
            with held_up(batch):
                streams = [batch.submit(prompt, options) for prompt in prompts]
            together = [[piece.token for piece in stream] for stream in streams]
            assert [len(tokens) for tokens in together] == [120] * 6
            assert [stream.finish_reason for stream in streams] == ["length"] * 6
            # Steps of other sizes sum in another order, so that near-ties may go the other way; most do not.
            assert sum(a == b for a, b in zip(together, alone, strict=True)) >= 3
        assert is_left_clean(engine)


def test_the_oldest_goes_on_while_the_youngest_waits_for_room() -> None:
    with NativeEngine(DEMO, ONE_CONTEXT) as engine, Batch(engine, parallel=2) as batch:
        ended: list[str] = []

        def tell(name: str) -> None:
            if streams[name].poll() and streams[name].is_over:
                ended.append(name)

        options = endless(engine, 150)
        with held_up(batch):
            streams = {
                name: batch.submit([token] * 60, options, on_ready=lambda name=name: tell(name))  # type: ignore[misc]
                for name, token in (("old", 5), ("young", 9))
            }
        assert batch.drain(60)
        assert ended == ["old", "young"]


def test_what_generate_left_in_the_cache_gives_way() -> None:
    with NativeEngine(DEMO, ONE_CONTEXT) as engine, Batch(engine) as batch:
        list(engine.generate([5] * 200, endless(engine, 40)))
        stream = batch.submit([9] * 200, endless(engine, 56))
        assert len(list(stream)) == 56


def test_generate_has_all_of_the_cache_when_it_is_its_turn() -> None:
    with NativeEngine(DEMO, ONE_CONTEXT) as engine, Batch(engine, parallel=2) as batch:
        options = endless(engine, 120)
        streams = [batch.submit([5] * 100, options), batch.submit([9] * 20, options)]
        next(streams[0])
        assert len(list(engine.generate([7] * 200, endless(engine, 50)))) == 50
        # Which tokens come is not compared: what gave way is evaluated again in steps of other sizes.
        assert len(list(streams[0])) == 119
        assert len(list(streams[1])) == 120


def test_long_prompts_with_the_same_beginning_fit_together() -> None:
    with NativeEngine(DEMO, ONE_CONTEXT) as engine, Batch(engine, parallel=3) as batch:
        beginning = [5 + i % 40 for i in range(160)]
        assert told(batch.submit(beginning, GREEDY))
        with held_up(batch):
            streams = [batch.submit([*beginning, 7 + i], GREEDY) for i in range(3)]
        for stream in streams:
            assert told(stream)
            assert stream.timings.cached_tokens == 160


def test_scores_of_more_continuations_than_fit_are_those_of_each_alone() -> None:
    with NativeEngine(DEMO, ONE_CONTEXT) as engine, Batch(engine) as batch:
        prefix = [5 + i % 40 for i in range(100)]
        continuations = [[7 + i + j % 5 for j in range(50)] for i in range(12)]
        together = batch.score(prefix, continuations).result(60).logprobs
        for tokens, score in zip(continuations, together, strict=True):
            alone = batch.score(prefix, [tokens]).result(60).logprobs[0]
            assert score == pytest.approx(alone, rel=1e-3)
        assert batch.drain(60)
        assert is_left_clean(engine)


def test_scores_and_answers_share_a_cache_that_is_too_small() -> None:
    with NativeEngine(DEMO, ONE_CONTEXT) as engine, Batch(engine, parallel=3) as batch:
        with held_up(batch):
            stream = batch.submit([9] * 100, endless(engine, 100))
            scores = batch.score([5] * 100, [[7 + i] * 40 for i in range(5)])
            vectors = batch.embed([[11] * 200, [12] * 30])
        assert len(list(stream)) == 100
        assert len(scores.result(60).logprobs) == 5
        assert len(vectors.result(60)) == 2
        assert batch.drain(60)
        assert is_left_clean(engine)
