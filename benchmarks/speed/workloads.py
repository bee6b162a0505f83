"""What an engine does while the clock runs. Each workload gives tokens per second."""

import random
import time
from collections.abc import Callable
from statistics import median

from speed.engines import MeasuredEngine

SHORT_PROMPT = 8
"""Tokens before what is decoded in an empty context."""

DECODED = 64
"""Tokens that a decode workload generates."""

DECODED_IN_STREAMS = 32
"""Tokens that each of several streams generates."""

_PREFILL_REPEATED_BELOW = 256


def random_prompt(engine: MeasuredEngine, length: int, seed: int = 1) -> list[int]:
    """The same random token ids for every engine."""
    tokens = random.Random(seed)
    return [tokens.randrange(engine.vocabulary_size) for _ in range(length)]


def prefill(engine: MeasuredEngine, length: int) -> float:
    """A prompt of `length` tokens into an empty context, up to the token that follows; short ones several times."""
    prompt = random_prompt(engine, length)
    rates = []
    for _ in range(max(1, _PREFILL_REPEATED_BELOW // length)):
        engine.clear()
        start = time.perf_counter()
        engine.next_token(prompt)
        rates.append(length / (time.perf_counter() - start))
    return median(rates)


def decode(engine: MeasuredEngine, depth: int) -> float:
    """Tokens one by one behind a context of `depth` tokens."""
    engine.clear()
    token = engine.next_token(random_prompt(engine, max(depth, SHORT_PROMPT)))
    start = time.perf_counter()
    for _ in range(DECODED):
        token = engine.next_token([token])
    return DECODED / (time.perf_counter() - start)


def streams(engine: MeasuredEngine, count: int) -> float:
    """Several texts at once, a token of each in one pass; the rate is that of all together."""
    engine.clear()
    tokens = engine.begin_streams([random_prompt(engine, SHORT_PROMPT, seed) for seed in range(count)])
    start = time.perf_counter()
    for _ in range(DECODED_IN_STREAMS):
        tokens = engine.step_streams(tokens)
    rate = count * DECODED_IN_STREAMS / (time.perf_counter() - start)
    engine.end_streams()
    return rate


WORKLOADS: dict[str, Callable[[MeasuredEngine, int], float]] = {
    "prefill": prefill,
    "decode": decode,
    "streams": streams,
}
"""By the word before the colon in the name of a workload; the number behind it is the argument."""


def run(name: str, engine: MeasuredEngine) -> float:
    """Tokens per second of one workload, such as `prefill:256`."""
    word, _, argument = name.partition(":")
    return WORKLOADS[word](engine, int(argument))
