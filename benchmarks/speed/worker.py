"""Measure one engine once, in this process, and print the figures as one line of JSON.

Started by `bench.py`, which says on the monotonic clock when it did.
"""

import argparse
import json
import random
import time
from pathlib import Path

from speed.engines import ENGINES, MeasuredEngine

FIRST_PROMPT = 8


def main() -> None:
    """Measure what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=sorted(ENGINES))
    parser.add_argument("model", type=Path)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--decode", type=int, required=True)
    parser.add_argument("--prefill", type=int, required=True)
    parser.add_argument("--started", type=float, required=True)
    arguments = parser.parse_args()

    engine: MeasuredEngine = ENGINES[arguments.engine](arguments.model, arguments.context, arguments.threads)
    tokens = random.Random(1)
    prompt = [tokens.randrange(engine.vocabulary_size) for _ in range(max(arguments.prefill, FIRST_PROMPT))]
    token = engine.next_token(prompt[:FIRST_PROMPT])
    first_token_s = time.monotonic() - arguments.started

    start = time.perf_counter()
    for _ in range(arguments.decode):
        token = engine.next_token([token])
    decode_s = time.perf_counter() - start

    engine.clear()
    start = time.perf_counter()
    engine.next_token(prompt[: arguments.prefill])
    prefill_s = time.perf_counter() - start

    figures = {
        "decode_tokens_per_second": arguments.decode / decode_s,
        "prefill_tokens_per_second": arguments.prefill / prefill_s,
        "first_token_s": first_token_s,
        "peak_memory_bytes": _peak_memory_bytes(),
    }
    print(json.dumps({"facts": engine.facts, "figures": figures}))


def _peak_memory_bytes() -> int:
    """The most that this process had in memory at a time, pages of the model file included; 0 where unknown."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)


if __name__ == "__main__":
    main()
