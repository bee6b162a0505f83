"""What HTTP costs: the server beside the same engine in this process, in turn.

python benchmarks/server_speed.py                              the demo model
python benchmarks/server_speed.py --model FILE --tokens 64     another one
python benchmarks/server_speed.py --only decode,first

decode    tokens per second of one stream                                     target: >= 97 % of in-process
first     time to the first token behind a prompt that the cache holds        target: <= 10 ms more
overhead  requests that generate nothing, median                              target: < 3 ms
mask      time per token with a JSON schema, beside that without              target: < 10 % more
stall     longest gap of a stream while a long prompt is evaluated beside it  target: <= 150 ms more

In-process are a `Batch`, which is what the server has, and `engine.generate`, both read piece by piece; the faster one
counts. Each round measures all, one after the other; medians are compared, and shown with the smallest and largest.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgewise import EngineConfig, GenerateOptions
from edgewise.engine.batching import Batch
from edgewise.engine.models import DEMO
from edgewise.engine.native import NativeEngine
from edgewise.engine.protocol import Piece
from serving.process import ServerProcess
from serving.wire import Connection, request
from speed.machine import describe_machine

WORDS = "the model reads a prompt and says what may follow it one token after the other"
LIST = {"type": "array", "items": {"type": "string", "maxLength": 12}, "minItems": 10_000}


def main() -> None:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=DEMO)
    parser.add_argument("--tokens", type=int, default=192, help="of an answer")
    parser.add_argument("--prompt", type=int, default=200, help="tokens of a prompt, roughly")
    parser.add_argument("--long", type=int, default=1500, help="tokens of the long prompt, roughly")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS))
    arguments = parser.parse_args()
    options = ["--no-prompt-cache", "-c", str(arguments.context)]
    config = EngineConfig(context_length=arguments.context, prompt_cache_bytes=0)
    print(" ".join(f"{name}={value}" for name, value in describe_machine().items()))
    print(f"{arguments.model.name}, {arguments.tokens} tokens an answer, {arguments.rounds} rounds")
    with ServerProcess([arguments.model], options) as server, NativeEngine(arguments.model, config) as engine:
        bench = Bench(server, engine, arguments)
        for part in arguments.only.split(","):
            for line in PARTS[part](bench):
                print(line, flush=True)
        bench.batch.close()


Start = Callable[[list[int], GenerateOptions], Iterable[Piece]]


class Bench:
    """Server and engine with the same model."""

    def __init__(self, server: ServerProcess, engine: NativeEngine, arguments: argparse.Namespace) -> None:
        self.server = server
        self.engine = engine
        self.rounds: int = arguments.rounds
        self.tokens: int = arguments.tokens
        self.long: int = arguments.long
        self.prompt = " ".join(random.Random(1).choices(WORDS.split(), k=arguments.prompt))
        self.ends = [token for token in range(engine.vocabulary_size) if engine.tokenizer.is_end(token)]
        self.batch = Batch(engine)
        self.connection = Connection(server.port)
        (model,) = json.loads(self.connection.ask(request("/v1/models", keeps=True)))["data"]
        self.model = model["id"]

    def ask(self, prompt: str, tokens: int, **more: Any) -> dict[str, Any]:
        """A request whose answer does not end before its length, each token as likely as the model thinks."""
        bias = {str(token): -100 for token in self.ends}
        return {
            "model": self.model, "prompt": prompt, "max_tokens": tokens, "seed": 1, "temperature": 1, "top_p": 1,
            "logit_bias": bias, "stream": True, "stream_options": {"include_usage": True}, **more,
        }  # fmt: skip

    def over_http(
        self, prompt: str, tokens: int, connection: Connection | None = None, form: Any = None
    ) -> list[float]:
        """When the request was sent, its first token came, and its last."""
        more = {} if form is None else {"response_format": form}
        sent = request("/v1/completions", self.ask(prompt, tokens, **more), keeps=True)
        started_s = time.perf_counter()
        came = list((connection or self.connection).stream(sent))
        last = json.loads(b"".join(data for _, data in came).split(b"data: ")[-2].split(b"\n\n")[0])
        if last["usage"]["completion_tokens"] != tokens:
            raise SystemExit(f"{last['usage']['completion_tokens']} tokens came, {tokens} were asked for")
        # The last bytes tell the usage; the last text comes right before.
        return [started_s, came[0][0], came[-1][0]]

    def in_process(self, start: Start, prompt: str, tokens: int) -> list[float]:
        """The same without a server."""
        options = GenerateOptions(
            max_tokens=tokens, seed=1, temperature=1, top_p=1, top_k=0, min_p=0, logprobs=False,
            logit_bias=dict.fromkeys(self.ends, -100),
        )  # fmt: skip
        started_s = time.perf_counter()
        times = []
        for _ in start(self.engine.tokenize(prompt), options):
            times.append(time.perf_counter())
        return [started_s, times[0], times[-1]]

    def in_turn(self, measure: Callable[[list[float]], float], tokens: int, rounds: int) -> list[list[float]]:
        """A figure over HTTP, of a batch and of `generate`, in turn, after one round that warms up."""
        found = [
            (
                measure(self.over_http(self.prompt, tokens)),
                measure(self.in_process(self.batch.submit, self.prompt, tokens)),
                measure(self.in_process(self.engine.generate, self.prompt, tokens)),
            )
            for _ in range(rounds + 1)
        ]
        return [[one[side] for one in found[1:]] for side in range(3)]


def decode(bench: Bench) -> list[str]:
    """Tokens per second behind the first."""
    count = bench.tokens - 1
    found = bench.in_turn(lambda times: count / (times[2] - times[1]), bench.tokens, bench.rounds)
    http, *own = map(statistics.median, found)
    share = http / max(own)
    return [f"decode    {sides(found)} tokens/s: {share:.1%}{verdict(share >= 0.97)}"]


def first(bench: Bench) -> list[str]:
    """Milliseconds to the first token."""
    found = bench.in_turn(lambda times: 1e3 * (times[1] - times[0]), 1, 4 * bench.rounds)
    http, *own = map(statistics.median, found)
    more = http - min(own)
    return [f"first     {sides(found)} ms: {more:+.2f} ms{verdict(more <= 10)}"]


def overhead(bench: Bench) -> list[str]:
    """Milliseconds of requests that generate nothing."""
    asked: Mapping[str, bytes] = {
        "GET /api/version": request("/api/version", keeps=True),
        "GET /v1/models": request("/v1/models", keeps=True),
        "POST /api/generate, no prompt": request("/api/generate", {"model": bench.model}, keeps=True),
        "POST /tokenize": request("/tokenize", {"model": bench.model, "content": bench.prompt}, keeps=True),
        "POST /api/chat, refused": request("/api/chat", {"model": bench.model, "messages": 5}, keeps=True),
    }
    lines = []
    for name, sent in asked.items():
        times = []
        for _ in range(200):
            started_s = time.perf_counter()
            try:
                bench.connection.ask(sent)
            except SystemExit:
                if "refused" not in name:
                    raise
            times.append(1e3 * (time.perf_counter() - started_s))
        lines.append(f"overhead  {name}: {shown(times[20:])} ms{verdict(statistics.median(times[20:]) < 3)}")
    return lines


def mask(bench: Bench) -> list[str]:
    """Milliseconds per token, with a schema and without."""
    form = {"type": "json_schema", "json_schema": {"name": "list", "schema": LIST}}
    count = bench.tokens - 1
    found = []
    for _ in range(bench.rounds + 1):
        pair = []
        for is_held in (True, False):
            times = bench.over_http(bench.prompt, bench.tokens, form=form if is_held else None)
            pair.append(1e3 * (times[2] - times[1]) / count)
        found.append(pair)
    held, free = ([pair[side] for pair in found[1:]] for side in (0, 1))
    more_time = statistics.median(held) / statistics.median(free) - 1
    return [
        f"mask      schema {shown(held, 3)} ms/token, none {shown(free, 3)}: {more_time:+.1%}{verdict(more_time < 0.1)}"
    ]


def stall(bench: Bench) -> list[str]:
    """Milliseconds between the lines of a stream while another one's prompt is evaluated."""
    gaps: list[float] = []
    medians: list[float] = []
    for number in range(bench.rounds):
        prompt = " ".join(random.Random(100 + number).choices(WORDS.split(), k=bench.long))
        other = Connection(bench.server.port)
        times: list[float] = []
        thread = threading.Thread(target=bench.over_http, args=(prompt, 1, other))
        sent = request("/v1/completions", bench.ask(bench.prompt, bench.tokens), keeps=True)
        spans: list[float] = []
        for when_s, _ in bench.connection.stream(sent):
            times.append(when_s)
            if len(times) == 10:
                spans.append(when_s)
                thread.start()
        thread.join()
        spans.append(time.perf_counter())
        other.close()
        steps = [1e3 * (after - before) for before, after in pairwise(times)]
        medians.append(statistics.median(steps[:9]))
        gaps.append(max(steps[9:]))
    more = max(gaps) - statistics.median(medians)
    return [f"stall     longest gap {shown(gaps)} ms, alone {shown(medians)}: {more:+.0f} ms{verdict(more <= 150)}"]


PARTS: Mapping[str, Callable[[Bench], list[str]]] = {
    "decode": decode,
    "first": first,
    "overhead": overhead,
    "mask": mask,
    "stall": stall,
}


def sides(found: list[list[float]]) -> str:
    """The figures of all three, with their names."""
    return ", ".join(
        f"{name} {shown(values)}" for name, values in zip(("HTTP", "batch", "generate"), found, strict=True)
    )


def shown(values: list[float], digits: int = 2) -> str:
    """Median and spread."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def verdict(is_met: bool) -> str:
    """Whether the target is met."""
    return "" if is_met else "  MISSED"


if __name__ == "__main__":
    main()
