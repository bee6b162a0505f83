"""Measure one engine once, in this process, and print the figures as one line of JSON.

Started by `measure.py`, which says on the monotonic clock when it did.
"""

import argparse
import json
import time
from pathlib import Path

from speed.engines import ENGINES
from speed.workloads import FIRST_PROMPT, random_prompt, run


def main() -> None:
    """Measure what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=sorted(ENGINES))
    parser.add_argument("model", type=Path)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--isa", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--work", nargs="*", default=[])
    parser.add_argument("--started", type=float, required=True)
    arguments = parser.parse_args()

    engine = ENGINES[arguments.engine](
        arguments.model, arguments.context, arguments.isa, arguments.threads, arguments.streams
    )
    engine.next_token(random_prompt(engine, FIRST_PROMPT))
    figures = {"first_token_s": time.monotonic() - arguments.started}
    for name in arguments.work:
        figures[name] = run(name, engine)
    figures["peak_memory_bytes"] = _peak_memory_bytes()
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
