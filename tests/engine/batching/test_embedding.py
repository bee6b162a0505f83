"""Texts as vectors, in portions between the tokens of answers."""

from __future__ import annotations

import math

import pytest

from edgewise.engine.batching import Batch, Pooling
from edgewise.engine.native import NativeEngine
from edgewise.errors import ContextFull, InvalidArgument

from .parts import GREEDY, held_up, told


def likeness(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


@pytest.mark.parametrize("pooling", ["mean", "last", "first"])
def test_portions_give_the_vectors_of_whole_texts(engine: NativeEngine, pooling: Pooling) -> None:
    texts = [[5 + i % 60 for i in range(length)] for length in (1, 9, 300)]
    with engine.exclusive() as session:
        whole = [session.embed(text, pooling)[0] for text in texts]
    with Batch(engine, stall_s=0.001) as batch:
        with held_up(batch):
            stream = batch.submit([5], GREEDY)
            ticket = batch.embed(texts, pooling)
        assert told(stream)
        for found, expected in zip(ticket.result(60), whole, strict=True):
            assert likeness(found, expected) > 0.999  # other portions, other rounding


def test_what_cannot_be_embedded_is_refused_at_once(batch: Batch) -> None:
    for texts in ([], [[5], []], [[-1]]):
        with pytest.raises(InvalidArgument):
            batch.embed(texts)
    with pytest.raises(InvalidArgument, match="pooling"):
        batch.embed([[5]], "median")  # type: ignore[arg-type]
    with pytest.raises(ContextFull):
        batch.embed([[5] * 513])
