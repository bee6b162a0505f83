"""What HTTP costs: requests without generation, tokens per second and time to first token beside the engine alone.

```sh
python benchmarks/server_speed.py --model demo --rounds 15
```

Server and engine run the same model and take turns; medians are compared.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from statistics import median
from typing import Any

import edgewise
from edgewise import Engine, EngineConfig, GenerateOptions

PROMPT = "Once upon a time"
OPTIONS: dict[str, Any] = {"temperature": 5.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}  # so wild that no end comes soon
REQUESTS = {
    "GET /": ("GET", "/", None),
    "GET /api/tags": ("GET", "/api/tags", None),
    "POST /api/show": ("POST", "/api/show", {"model": "MODEL"}),
    "POST /api/generate, nothing asked": ("POST", "/api/generate", {"model": "MODEL"}),
    "POST /tokenize": ("POST", "/tokenize", {"model": "MODEL", "content": PROMPT}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="demo", help="demo, or the path of a GGUF file")
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "edgewise", "serve", arguments.model, "--port", "0", "--no-prompt-cache"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stderr.readline())
        assert found is not None
        threading.Thread(target=process.stderr.read, daemon=True).start()  # a log that nobody reads stops its writer
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]))
        try:
            while ask(connection, "GET", "/health", None)[0] == 503:
                time.sleep(0.1)
            measure(connection, arguments)
        finally:
            connection.close()
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def measure(connection: http.client.HTTPConnection, arguments: argparse.Namespace) -> None:
    name = json.loads(ask(connection, "GET", "/api/ps", None)[1])["models"][0]["name"]
    for what, (method, path, body) in REQUESTS.items():
        given = None if body is None else {key: name if value == "MODEL" else value for key, value in body.items()}
        times_ms = []
        for _ in range(220):
            started_s = time.perf_counter()
            ask(connection, method, path, given)
            times_ms.append((time.perf_counter() - started_s) * 1e3)
        print(f"{what:36} p50 {median(times_ms[20:]):6.2f} ms")
    with edgewise.open(arguments.model, EngineConfig(prompt_cache_bytes=0)) as engine:
        seed = max(range(20), key=lambda seed: alone(engine, seed, arguments.tokens)[2])
        runs = [
            (alone(engine, seed, arguments.tokens), served(connection, name, seed, arguments.tokens))
            for _ in range(arguments.rounds + 1)
        ][1:]
    rates = [median(run[0] for run in side) for side in zip(*runs, strict=True)]
    firsts = [median(run[1] for run in side) * 1e3 for side in zip(*runs, strict=True)]
    print(f"tokens per second: {rates[0]:.0f} alone, {rates[1]:.0f} through HTTP: {rates[1] / rates[0]:.1%}")
    print(f"time to first token of a warm prompt: {firsts[0]:.2f} ms alone, {firsts[1]:.2f} ms through HTTP")


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: Any) -> tuple[int, bytes]:
    connection.request(method, path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    return answer.status, answer.read()


def alone(engine: Engine, seed: int, tokens: int) -> tuple[float, float, int]:
    """Tokens per second after the first, seconds to the first, and how many there were."""
    started_s = time.perf_counter()
    options = GenerateOptions(**OPTIONS, max_tokens=tokens, seed=seed, logprobs=False)
    generation = engine.generate(PROMPT, options)
    next(generation)
    first_s = time.perf_counter()
    count = 1 + sum(1 for _ in generation)
    return (count - 1) / max(time.perf_counter() - first_s, 1e-9), first_s - started_s, count


def served(connection: http.client.HTTPConnection, name: str, seed: int, tokens: int) -> tuple[float, float, int]:
    started_s = time.perf_counter()
    options = {**OPTIONS, "num_predict": tokens, "seed": seed}
    body = {"model": name, "prompt": PROMPT, "raw": True, "options": options}
    connection.request("POST", "/api/generate", json.dumps(body))
    answer = connection.getresponse()
    line = answer.readline()
    first_s = time.perf_counter()
    while more := answer.readline():
        line = more
    took_s = time.perf_counter() - first_s
    count = json.loads(line)["eval_count"]
    return (count - 1) / took_s, first_s - started_s, count


if __name__ == "__main__":
    main()
