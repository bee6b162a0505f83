"""What the tests of batches share."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from edgewise import GenerateOptions
from edgewise.engine.batching import Batching, Stream
from edgewise.engine.native import NativeEngine
from edgewise.engine.protocol import Generation

GREEDY = GenerateOptions(temperature=0, max_tokens=24)
QUESTIONS = [
    "What is a language model?",
    "What is quantization?",
    "Tell me a story about a cat.",
    "How long is a day?",
]


def words(engine: NativeEngine, text: str) -> list[int]:
    return engine.tokenize(text, add_special=False)


def told(answer: Generation | Stream) -> str:
    return "".join(piece.text for piece in answer)


def mask(tokens: Iterable[int], vocabulary_size: int) -> bytes:
    bits = bytearray(-(-vocabulary_size // 8))
    for token in tokens:
        bits[token // 8] |= 1 << token % 8
    return bytes(bits)


def is_left_clean(engine: NativeEngine) -> bool:
    """Whether no sequence but the main one goes on."""
    with engine.exclusive() as session:
        sequences = [session.begin([])[0] for _ in range(4)]
        for sequence in sequences:
            session.end(sequence)
    return sequences == [1, 2, 3, 4]


@contextmanager
def held_up(batch: Batching) -> Iterator[None]:
    """No step is made while the block runs."""
    started, go_on = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        started.set()
        assert go_on.wait(60)

    waiting = batch.run(wait)
    assert started.wait(60)
    try:
        yield
    finally:
        go_on.set()
        waiting.result(60)
