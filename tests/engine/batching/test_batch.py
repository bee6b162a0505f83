"""Answers that share steps are those that each has alone, and none hurts another."""

from __future__ import annotations

import random
import threading
from dataclasses import replace

import pytest

from edgewise import EngineConfig, GenerateOptions
from edgewise.engine.batching import Batch
from edgewise.engine.models import DEMO
from edgewise.engine.native import NativeEngine
from edgewise.errors import Closed, ContextFull, DeadlineExceeded, InvalidArgument, QueueFull

from .parts import GREEDY, QUESTIONS, held_up, is_left_clean, told, words


def test_one_answer_is_that_of_the_engine(engine: NativeEngine, batch: Batch) -> None:
    for question in QUESTIONS:
        prompt = engine.tokenize(question)
        alone = engine.generate(prompt, GREEDY)
        stream = batch.submit(prompt, GREEDY)
        assert list(stream) == list(alone)
        assert (stream.finish_reason, stream.error, stream.prompt_tokens) == (alone.finish_reason, None, len(prompt))


def test_in_steps_of_up_to_eight_tokens_each_answer_has_the_bits_that_it_has_alone() -> None:
    config = EngineConfig(context_length=256, sequences=8, prompt_cache_bytes=0, draft="off")
    with NativeEngine(DEMO, config) as engine, Batch(engine, parallel=8) as batch:
        options = [replace(GREEDY, max_tokens=40 - 4 * i, top_logprobs=3) for i in range(8)]
        prompts = [[3 + 7 * i] for i in range(8)]
        with held_up(batch):
            streams = [batch.submit(prompt, one) for prompt, one in zip(prompts, options, strict=True)]
        together = [list(stream) for stream in streams]
    with NativeEngine(DEMO, config) as engine:
        alone = [list(engine.generate(prompt, one)) for prompt, one in zip(prompts, options, strict=True)]
    assert together == alone


def test_sampled_answers_have_their_own_random_numbers(engine: NativeEngine, batch: Batch) -> None:
    prompts = [[5 + i] for i in range(4)]  # steps of up to eight tokens change no bit
    options = [
        GenerateOptions(seed=i, max_tokens=12, temperature=1.0, repeat_penalty=1.2, logit_bias={40 + i: 2.0})
        for i in range(4)
    ]
    with held_up(batch):
        streams = [batch.submit(prompt, one) for prompt, one in zip(prompts, options, strict=True)]
    assert [told(stream) for stream in streams] == [
        told(engine.generate(prompt, one)) for prompt, one in zip(prompts, options, strict=True)
    ]


def test_a_stop_text_ends_one_answer_and_no_other(engine: NativeEngine, batch: Batch) -> None:
    prompt = engine.tokenize(QUESTIONS[0])
    whole = told(engine.generate(prompt, GREEDY))
    stop = whole[5:9]
    with held_up(batch):
        stopped, other = batch.submit(prompt, replace(GREEDY, stop=(stop,))), batch.submit(prompt, GREEDY)
    assert told(stopped) == whole[: whole.index(stop)]
    assert stopped.finish_reason == "stop"
    assert told(other) == whole


def test_an_answer_of_no_tokens_evaluates_its_prompt_and_says_nothing(engine: NativeEngine, batch: Batch) -> None:
    stream = batch.submit([5] * 40, replace(GREEDY, max_tokens=0))
    assert (list(stream), stream.finish_reason, stream.timings.evaluated_tokens) == ([], "length", 40)
    longest = batch.submit([5] * 511, GREEDY)
    assert len(list(longest)) <= 1
    assert longest.error is None


def test_first_come_first_served(engine: NativeEngine) -> None:
    order: list[int] = []
    with Batch(engine, parallel=1) as batch:
        with held_up(batch):
            streams = [
                batch.submit([5 + i], replace(GREEDY, max_tokens=3), on_ready=lambda i=i: order.append(i))  # type: ignore[misc]
                for i in range(6)
            ]
            assert (batch.queued, batch.active) == (6, 1)
        for stream in streams:
            list(stream)
    assert order == sorted(order)


def test_an_answer_that_runs_is_not_held_up_until_the_end_of_a_long_prompt(engine: NativeEngine) -> None:
    long = words(engine, "The cat sat on the mat and looked at the dog. ")[:1] * 500
    with Batch(engine, stall_s=0.001) as batch:
        order: list[str] = []
        with held_up(batch):
            short = batch.submit([5], replace(GREEDY, max_tokens=20), on_ready=lambda: order.append("short"))
            slow = batch.submit(long, replace(GREEDY, max_tokens=2), on_ready=lambda: order.append("long"))
        list(short)
        list(slow)
    assert order.index("long") > 3  # tokens of the short one came while the long prompt was evaluated


def test_a_full_queue_refuses_and_says_when_to_try_again(engine: NativeEngine) -> None:
    with Batch(engine, parallel=1, queue_limit=2) as batch:
        with held_up(batch):
            streams = [batch.submit([5], GREEDY) for _ in range(2)]
            with pytest.raises(QueueFull, match="the queue is full") as refusal:
                batch.submit([5], GREEDY)
            assert refusal.value.retry_after_s >= 1
            streams.pop().close()
            streams.append(batch.submit([5], GREEDY))  # a cancelled request left its place
        for stream in streams:
            assert told(stream)
        assert told(batch.submit([5], GREEDY))


def test_what_a_request_lacks_is_refused_at_once(engine: NativeEngine, batch: Batch) -> None:
    with pytest.raises(ContextFull, match="exceed context window of 512"):
        batch.submit([5] * 512)
    for prompt in ([], [-1], [10**9], [5, engine.vocabulary_size]):
        with pytest.raises(InvalidArgument):
            batch.submit(prompt)
    with pytest.raises(InvalidArgument, match="temperature"):
        batch.submit([5], GenerateOptions(temperature=float("nan")))
    assert (batch.queued, batch.active) == (0, 0)


def test_a_deadline_ends_an_answer_that_waits_and_one_that_runs(engine: NativeEngine) -> None:
    with Batch(engine, parallel=1) as batch:
        endless = GenerateOptions(max_tokens=None, context_shift=True, logit_bias={engine.tokenizer.eos or 0: -100.0})
        running = batch.submit([5], endless, deadline_s=0.2)
        waiting = batch.submit([5], GREEDY, deadline_s=0.01)
        with pytest.raises(DeadlineExceeded, match=r"within 0\.01 s"):
            list(waiting)
        with pytest.raises(DeadlineExceeded, match=r"within 0\.2 s"):
            list(running)
        assert isinstance(running.error, DeadlineExceeded)
        assert running.finish_reason is None
        assert list(running) == []
        assert told(batch.submit([5], GREEDY))


def test_an_answer_that_is_closed_stops_also_during_its_prompt(engine: NativeEngine) -> None:
    with Batch(engine, stall_s=0.001) as batch:
        other = batch.submit([5], replace(GREEDY, max_tokens=100))
        next(other)
        stream = batch.submit([7] * 500, GREEDY)
        next(other)
        stream.close()
        assert list(stream) == []
        assert stream.is_over
        list(other)
        assert batch.drain(60)
        assert stream.timings.generated_tokens <= 1
    assert is_left_clean(engine)


def test_a_stream_that_nobody_holds_any_more_stops(engine: NativeEngine, batch: Batch) -> None:
    options = GenerateOptions(max_tokens=None, context_shift=True, logit_bias={engine.tokenizer.eos or 0: -100.0})
    stream = batch.submit([5], options)
    next(stream)
    del stream
    assert batch.drain(60)


def test_sixteen_streams_with_random_cancels_leave_nothing_behind(engine: NativeEngine) -> None:
    chance = random.Random(5)
    with Batch(engine, parallel=6) as batch:

        def read(number: int) -> None:
            prompt = [5 + (number + i) % 9 for i in range(chance.randrange(1, 90))]
            stream = batch.submit(prompt, replace(GREEDY, max_tokens=chance.randrange(1, 40)))
            for _ in zip(range(chance.randrange(0, 30)), stream, strict=False):
                pass
            stream.close()

        for _ in range(4):
            threads = [threading.Thread(target=read, args=(i,)) for i in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
        expected = told(engine.generate([5, 6, 7], GREEDY))
        assert told(batch.submit([5, 6, 7], GREEDY)) == expected
        assert batch.drain(60)
        assert (batch.queued, batch.active) == (0, 0)
    assert is_left_clean(engine)


def test_a_full_context_ends_with_length_or_drops_its_older_half(batch: Batch, engine: NativeEngine) -> None:
    options = GenerateOptions(temperature=0, max_tokens=None, logit_bias={engine.tokenizer.eos or 0: -100.0})
    prompt = [5] * 500
    with held_up(batch):
        full = batch.submit(prompt, options)
        shifted = batch.submit(prompt, replace(options, max_tokens=40, context_shift=True, keep_tokens=4))
    assert len(list(full)) == 12
    assert full.finish_reason == "length"
    pieces = list(shifted)
    assert len(pieces) == 40
    assert sum(piece.dropped_tokens for piece in pieces) == shifted.timings.dropped_tokens > 0


def test_prompts_share_what_the_cache_holds_but_not_with_another_namespace(engine: NativeEngine, batch: Batch) -> None:
    prompt = [5 + i % 50 for i in range(200)]

    def cached(namespace: str) -> int:
        stream = batch.submit(prompt, replace(GREEDY, cache_namespace=namespace))
        list(stream)
        timings = stream.timings
        assert timings.cached_tokens + timings.evaluated_tokens == 200
        return timings.cached_tokens

    assert [cached("ours"), cached("theirs"), cached("ours"), cached("theirs")] == [0, 0, 199, 199]


def test_requests_that_begin_alike_have_their_beginning_evaluated_once(engine: NativeEngine) -> None:
    beginning = [5 + i % 50 for i in range(300)]
    with Batch(engine, parallel=6, stall_s=0.001) as batch:
        with held_up(batch):
            alike = [batch.submit([*beginning, 70 + i], GREEDY) for i in range(4)]
            other = batch.submit([*beginning, 70], replace(GREEDY, cache_namespace="other"))
            scores = batch.score(beginning, [[70, 71], [72]])
        for stream in [*alike, other]:
            assert told(stream)
        assert [stream.timings.evaluated_tokens for stream in alike] == [301, 1, 1, 1]
        assert other.timings.evaluated_tokens == 301
        assert scores.result(60).evaluated_tokens == 2


def test_prompts_are_kept_on_disk_and_found_there_by_the_next_process() -> None:
    config = EngineConfig(context_length=1024, prompt_cache_bytes=1 << 24)
    prompt = [5 + i * i % 90 for i in range(700)]
    cached = []
    for _ in range(2):
        with NativeEngine(DEMO, config) as engine, Batch(engine) as batch:
            stream = batch.submit(prompt, GREEDY)
            list(stream)
            assert batch.drain(60)
            cached.append(stream.timings.cached_tokens)
    assert cached[0] == 0
    assert cached[1] >= 256


def test_the_engine_can_be_used_beside_its_batch(engine: NativeEngine, batch: Batch) -> None:
    prompt = engine.tokenize(QUESTIONS[1])
    expected = told(engine.generate(prompt, GREEDY))
    streams = [batch.submit(prompt, GREEDY) for _ in range(3)]
    beside = [told(engine.generate(prompt, GREEDY)) for _ in range(3)]
    assert [*beside, *(told(stream) for stream in streams)] == [expected] * 6


def test_other_work_is_done_between_steps_and_its_errors_are_its_own(batch: Batch) -> None:
    stream = batch.submit([5], GREEDY)
    assert batch.run(lambda engine: engine.vocabulary_size).result(60) > 0
    with pytest.raises(ZeroDivisionError):
        batch.run(lambda _: 1 // 0).result(60)
    assert told(stream)


def test_draining_takes_no_more_and_finishes_what_there_is(engine: NativeEngine) -> None:
    batch = Batch(engine)
    stream = batch.submit([5], GREEDY)
    assert batch.drain(60)
    assert told(stream)
    for ask in (lambda: batch.submit([5]), lambda: batch.score([5], [[5]]), lambda: batch.embed([[5]])):
        with pytest.raises(Closed):
            ask()
    batch.close()
    batch.close()


def test_closing_ends_everything_that_runs_or_waits(engine: NativeEngine) -> None:
    batch = Batch(engine, parallel=1)
    options = GenerateOptions(max_tokens=None, context_shift=True, logit_bias={engine.tokenizer.eos or 0: -100.0})
    running, waiting, scores = batch.submit([5], options), batch.submit([5], options), batch.score([5], [[6], [7]])
    next(running)
    batch.close()
    for stream in (running, waiting):
        with pytest.raises(Closed):
            list(stream)
    with pytest.raises(Closed):
        scores.result(60)
    assert is_left_clean(engine)


def test_an_engine_that_is_closed_beneath_its_batch_ends_the_answers() -> None:
    engine = NativeEngine(DEMO, EngineConfig(context_length=256, prompt_cache_bytes=0))
    batch = Batch(engine)
    options = GenerateOptions(max_tokens=None, context_shift=True, logit_bias={engine.tokenizer.eos or 0: -100.0})
    stream = batch.submit([5], options)
    next(stream)
    engine.close()
    with pytest.raises(InvalidArgument, match="closed"):
        list(stream)
    batch.close()
