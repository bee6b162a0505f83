"""Measure one engine once, in this process, and print the figures as one line of JSON.

Started by `measure.py`, which says on the monotonic clock when it did.
"""

import sys
import time
from pathlib import Path

from speed.engines import ENGINES, MeasuredEngine

FIRST_PROMPT = 8
"""Tokens of the prompt whose answer ends the start-up."""


def main() -> None:
    """Measure what the arguments say: engine, model file, context, instruction set, threads, streams, start, work."""
    name, path, context, isa, threads, streams, started, *work = sys.argv[1:]
    engine = ENGINES[name](Path(path), int(context), isa, int(threads), int(streams))
    engine.next_token(_first_prompt(engine))
    figures = {"first_token_s": time.monotonic() - float(started)}
    # What only the measuring needs is not part of anybody's start.
    import json

    from speed.workloads import run

    for workload in work:
        figures[workload] = run(workload, engine)
    figures["peak_memory_bytes"] = _peak_memory_bytes()
    print(json.dumps({"facts": engine.facts, "figures": figures}))


def _first_prompt(engine: MeasuredEngine) -> list[int]:
    return [7919 * i % engine.vocabulary_size for i in range(1, FIRST_PROMPT + 1)]


def _peak_memory_bytes() -> int:
    """The most that this process had in memory at a time, pages of the model file included; 0 where unknown."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)


if __name__ == "__main__":
    main()
