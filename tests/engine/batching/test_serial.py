"""Engines that share no steps have the same interface, one answer at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from edgewise.engine.batching import Batch, Batching, SerialBatch, batch_of
from edgewise.engine.native import NativeEngine
from edgewise.errors import Closed, ContextFull, DeadlineExceeded, InvalidArgument, QueueFull, UnsupportedError

from .parts import GREEDY, held_up, told


@pytest.fixture
def serial(engine: NativeEngine) -> Iterator[Batching]:
    with SerialBatch(engine, queue_limit=4) as serial:
        yield serial


def test_each_engine_gets_its_batch(engine: NativeEngine) -> None:
    with batch_of(engine, parallel=2) as batch:
        assert isinstance(batch, Batch)


def test_answers_are_those_of_the_engine_one_after_the_other(engine: NativeEngine, serial: Batching) -> None:
    order: list[int] = []
    with held_up(serial):
        streams = [serial.submit([5 + i], GREEDY, on_ready=lambda i=i: order.append(i)) for i in range(4)]  # type: ignore[misc]
        assert (serial.queued, serial.active) == (4, 1)
        with pytest.raises(QueueFull):
            serial.submit([5], GREEDY)
    for i, stream in enumerate(streams):
        assert list(stream) == list(engine.generate([5 + i], GREEDY))
        assert stream.finish_reason == "length"
        assert stream.timings.time_to_first_token_s >= stream.timings.queue_s > 0
    assert order == sorted(order)


def test_deadlines_cancels_and_errors_are_those_of_one_stream(engine: NativeEngine, serial: Batching) -> None:
    with held_up(serial):
        late, closed, good = (serial.submit([5], GREEDY, deadline_s=limit) for limit in (0.0, None, None))
        closed.close()
    with pytest.raises(DeadlineExceeded):
        list(late)
    assert list(closed) == []
    assert told(good)
    stream = serial.submit([5], replace(GREEDY, max_tokens=300))
    next(stream)
    stream.close()
    assert serial.drain(60)


def test_what_cannot_be_served_is_refused_at_once(serial: Batching) -> None:
    with pytest.raises(UnsupportedError, match="score"):
        serial.score([5], [[6]])
    with pytest.raises(UnsupportedError, match="embedding"):
        serial.embed([[6]])
    with pytest.raises(ContextFull):
        serial.submit([5] * 512)
    for prompt in ([], [-1]):
        with pytest.raises(InvalidArgument):
            serial.submit(prompt)


def test_closing_ends_what_runs_and_waits(engine: NativeEngine) -> None:
    serial = SerialBatch(engine)
    with held_up(serial):
        waiting = serial.submit([5], GREEDY)
        closing = threading.Thread(target=serial.close)
        closing.start()
        while serial.takes_requests:
            pass
    closing.join(60)
    with pytest.raises(Closed):
        list(waiting)
    with pytest.raises(Closed):
        serial.submit([5])
