"""Many clients at once, well-behaved and not, against `edgewise serve`; fails if anything grows or stays behind.

python benchmarks/server_load.py --minutes 5 --clients 64

Clients of all protocols ask for answers whole and streamed, leave in the middle, read and send slowly, send bodies
that are too long, cut off or no JSON, ask for models that are not there, embed, upload, make and delete models. Every
request that its own client does not cut off has to get a whole answer or a refusal in its protocol's form. At the
end, memory, descriptors and threads of the server are compared with those after a fifth of the time, and no answer
may go on.
"""

from __future__ import annotations

import argparse
import asyncio

from serving.clients import load, settled
from serving.process import ServerProcess, Usage

MOST_GROWTH = 0.10  # of the memory
SLACK_BYTES = 8 * 1024 * 1024
OPTIONS = ["--no-prompt-cache", "--max-queue", "128"]


def main() -> None:
    """Run the clients and print what they did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--clients", type=int, default=64)
    arguments = parser.parse_args()
    seconds = arguments.minutes * 60
    with ServerProcess(["demo"], OPTIONS) as server:
        done = asyncio.run(load(server.port, arguments.clients, seconds / 5))
        asyncio.run(settled(server.port))
        usages = [server.usage]
        for part in range(1, 5):
            done += asyncio.run(load(server.port, arguments.clients, seconds / 5, first=part * arguments.clients))
            asyncio.run(settled(server.port))
            usages.append(server.usage)
        log = server.log
    for what, count in sorted(done.items()):
        print(f"{count:8} {what}")
    for part, usage in enumerate(usages, start=1):
        print(f"after {part * seconds / 5:5.0f} s: {usage}")
    check(usages[0], usages[-1])
    assert "Traceback" not in log, log[-5000:]
    print("nothing grew, nothing stayed behind")


def check(before: Usage, after: Usage) -> None:
    """Fails where a process holds more than it did."""
    assert after.descriptors <= before.descriptors + 2, "descriptors leak"
    assert after.threads <= before.threads + 1, "threads leak"
    assert after.resident_bytes <= before.resident_bytes * (1 + MOST_GROWTH) + SLACK_BYTES, "memory leaks"


if __name__ == "__main__":
    main()
