"""Many clients at once, well-behaved and not, against `edgewise serve`; fails if anything grows or stays behind.

```sh
python benchmarks/server_load.py --minutes 5 --clients 64
```

Clients ask for answers whole and streamed, leave in the middle, read and write slowly, send bodies that are too long or
no JSON, ask for models that are not there, and embed. Every request that is not cut off by its own
client has to get a whole answer or a refusal in the protocol's form. At the end, memory, descriptors and threads of
the server are compared with those after a minute of the same (or a fifth of the time), and no model may be in use.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUESTION = "What is a language model?"
MOST_GROWTH = 0.15  # of the memory, between the two times at which it is read


@dataclass(frozen=True)
class Usage:
    """What the server's process holds."""

    resident_bytes: int
    descriptors: int
    threads: int


def usage(process: int) -> Usage:
    folder = Path(f"/proc/{process}")
    status = (folder / "status").read_text()
    numbers = {name: int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("RssAnon", "Threads")}  # type: ignore[index]
    return Usage(numbers["RssAnon"] * 1024, len(list((folder / "fd").iterdir())), numbers["Threads"])


def request(path: str, body: bytes | dict[str, Any] | None, method: str = "", length: int | None = None) -> bytes:
    data = json.dumps(body).encode() if isinstance(body, dict) else body or b""
    method = method or ("GET" if body is None else "POST")
    size = len(data) if length is None else length
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + data


class Client:
    """One client, which does something else each time."""

    def __init__(self, port: int, number: int) -> None:
        self._port = port
        self._random = random.Random(number)
        self.done: Counter[str] = Counter()

    async def run(self, end_s: float) -> None:
        """Does so until a time on `time.monotonic`."""
        ways = [
            self._whole,
            self._streamed,
            self._leave,
            self._slow,
            self._too_long,
            self._nonsense,
            self._unknown,
            self._embed,
        ]
        weights = [4, 6, 6, 1, 1, 2, 1, 2]
        while time.monotonic() < end_s:
            (way,) = self._random.choices(ways, weights)
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                self.done[f"{way.__name__[1:]}: {await asyncio.wait_for(way(reader, writer), 120)}"] += 1
            finally:
                writer.transport.abort()

    def _ask(self, **more: Any) -> bytes:
        options = {
            "temperature": 1.2,
            "seed": self._random.randrange(10**6),
            "num_predict": self._random.randrange(1, 120),
        }
        if self._random.random() < 0.5:
            prompt = " ".join(self._random.choices(QUESTION.split(), k=self._random.randrange(1, 80)))
            return request("/api/generate", {"model": "demo", "prompt": prompt, "options": options, **more})
        messages = [{"role": "user", "content": QUESTION}]
        return request("/api/chat", {"model": "demo", "messages": messages, "options": options, **more})

    async def _whole(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(self._ask(stream=False))
        return await finished(reader, is_json=True)

    async def _streamed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(self._ask())
        return await finished(reader)

    async def _leave(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        sent = self._ask(stream=self._random.random() < 0.7)
        writer.write(sent[: self._random.randrange(1, len(sent))] if self._random.random() < 0.2 else sent)
        await writer.drain()
        await asyncio.sleep(self._random.random() * 0.3)
        return 0

    async def _slow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        sent = self._ask()
        for start in range(0, len(sent), 40):
            writer.write(sent[start : start + 40])
            await asyncio.sleep(0.02)
        data = b""
        while part := await reader.read(200):
            data += part
            await asyncio.sleep(0.01)
        return checked(data, is_json=False)

    async def _too_long(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(request("/api/generate", b"{" * 1000, length=10**9))
        return await finished(reader, is_json=True)

    async def _nonsense(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        bodies = [b"{", b"[]", b"\xff", b'{"model": 5}', b'{"model": "demo", "prompt": "x", "options": 3}']
        writer.write(request("/api/generate", self._random.choice(bodies)))
        return await finished(reader, is_json=True)

    async def _unknown(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(request("/api/generate", {"model": "nobody", "prompt": "x"}))
        return await finished(reader, is_json=True)

    async def _embed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(request("/api/embed", {"model": "demo", "input": [QUESTION] * self._random.randrange(1, 5)}))
        return await finished(reader, is_json=True)


async def finished(reader: asyncio.StreamReader, *, is_json: bool = False) -> int:
    return checked(await reader.read(-1), is_json=is_json)


def checked(answer: bytes, *, is_json: bool) -> int:
    """The status of an answer, which has to be whole."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if b"transfer-encoding: chunked" in head.lower():
        assert body.endswith(b"0\r\n\r\n"), answer[-200:]
        body = b"".join(re.split(rb"\r\n[0-9a-f]+\r\n", b"\r\n" + body)[1:])
        lines = [json.loads(line) for line in body.removesuffix(b"\r\n").splitlines() if line.strip()]
        assert lines[-1].get("done") or "error" in lines[-1], lines[-1]
    else:
        value = json.loads(body)
        assert status < 400 or "error" in value, value
    assert not is_json or status != 500, answer
    return status


async def load(port: int, clients: int, seconds: float) -> Counter[str]:
    all_of_them = [Client(port, number) for number in range(clients)]
    end_s = time.monotonic() + seconds
    await asyncio.gather(*(client.run(end_s) for client in all_of_them))
    return sum((client.done for client in all_of_them), Counter())


async def quiet(port: int) -> None:
    """Waits until nothing runs, and sees that the next request works."""
    for _ in range(200):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/api/ps", None))
        models = json.loads((await reader.read(-1)).partition(b"\r\n\r\n")[2])["models"]
        writer.close()
        if all(model["active"] == model["queued"] == 0 for model in models):
            break
        await asyncio.sleep(0.1)
    else:
        raise SystemExit("failed: answers go on after their clients left")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("/api/generate", {"model": "demo", "prompt": QUESTION, "stream": False}))
    assert await finished(reader, is_json=True) == 200
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--clients", type=int, default=64)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "edgewise", "serve", "demo", "--port", "0", "--no-prompt-cache"]
        environment = {**os.environ, "EDGEWISE_HOME": folder}
        log = Path(folder) / "log"
        with log.open("w") as file:
            process = subprocess.Popen(command, stderr=file, env=environment)
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
            time.sleep(0.05)
        port = int(found[1])
        try:
            seconds = arguments.minutes * 60
            first = min(60.0, seconds / 5)
            done = asyncio.run(load(port, arguments.clients, first))
            asyncio.run(quiet(port))
            before = usage(process.pid)
            done += asyncio.run(load(port, arguments.clients, seconds - first))
            asyncio.run(quiet(port))
            after = usage(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    for what, count in sorted(done.items()):
        print(f"{count:8} {what}")
    print(f"before  {before}\nafter   {after}")
    assert after.descriptors <= before.descriptors + 2, "descriptors leak"
    assert after.threads <= before.threads + 1, "threads leak"
    assert after.resident_bytes <= before.resident_bytes * (1 + MOST_GROWTH), "memory leaks"


if __name__ == "__main__":
    main()
