"""Clients of every kind, which ask well, badly, slowly, and leave in the middle."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import time
from collections import Counter
from typing import Any

from serving.wire import request

QUESTION = "What is a language model?"
MESSAGES = [{"role": "user", "content": QUESTION}]
NONSENSE = (
    b"{",
    b"[]",
    b"\xff",
    b'{"model": 5}',
    b'{"model": "demo", "prompt": "x", "options": 3}',
    b'{"model": "nobody"}',
)
PATIENCE_S = 120.0  # an accepted request that takes longer is taken for lost

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class Client:
    """One client, which does something else each time.

    Args:
        port: of the server, which has the model `demo`.
        number: of the client; what it does follows from it.
        changes_models: whether it uploads, makes and deletes models, too.
    """

    def __init__(self, port: int, number: int, *, changes_models: bool = True) -> None:
        self._port = port
        self._number = number
        self._random = random.Random(number)
        self._changes_models = changes_models
        self.done: Counter[str] = Counter()

    async def run(self, end_s: float) -> None:
        """Asks until `end_s` on the monotonic clock."""
        ways = {
            self.whole: 4, self.streamed: 6, self.leaves: 6, self.vanishes: 2, self.reads_slowly: 1,
            self.sends_slowly: 1, self.too_long: 1, self.nonsense: 2, self.embeds: 2,
        }  # fmt: skip
        if self._changes_models:
            ways |= {self.uploads: 1, self.creates: 1}
        while time.monotonic() < end_s:
            (way,) = self._random.choices([*ways], [*ways.values()])
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                status = await asyncio.wait_for(way(reader, writer), PATIENCE_S)
                self.done[f"{way.__name__}: {status}"] += 1
            except asyncio.TimeoutError:
                raise SystemExit(f"failed: {way.__name__} got no answer within {PATIENCE_S:.0f} s") from None
            finally:
                writer.transport.abort()

    def ask(self, *, stream: bool) -> bytes:
        """A request for an answer, in one of the protocols."""
        count, seed = self._random.randrange(1, 120), self._random.randrange(10**6)
        prompt = " ".join(self._random.choices(QUESTION.split(), k=self._random.randrange(1, 80)))
        options = {"temperature": 1.2, "seed": seed, "num_predict": count}
        openai = {"temperature": 1.2, "seed": seed, "max_tokens": count}
        bodies: list[tuple[str, dict[str, Any]]] = [
            ("/api/generate", {"prompt": prompt, "options": options}),
            ("/api/chat", {"messages": MESSAGES, "options": options}),
            ("/v1/chat/completions", {"messages": MESSAGES, **openai}),
            ("/v1/completions", {"prompt": prompt, "n": self._random.randrange(1, 4), **openai}),
            ("/v1/responses", {"input": prompt, "max_output_tokens": count}),
            ("/v1/messages", {"messages": MESSAGES, "max_tokens": count}),
        ]
        path, body = self._random.choice(bodies)
        return request(path, {"model": "demo", "stream": stream, **body})

    async def whole(self, reader: Reader, writer: Writer) -> int:
        """An answer in one piece."""
        writer.write(self.ask(stream=False))
        return await finished(reader)

    async def streamed(self, reader: Reader, writer: Writer) -> int:
        """An answer as it comes."""
        writer.write(self.ask(stream=True))
        return await finished(reader)

    async def leaves(self, reader: Reader, writer: Writer) -> int:
        """Closes the connection at any time, which may be before the request is whole."""
        sent = self.ask(stream=self._random.random() < 0.7)
        writer.write(sent[: self._random.randrange(1, len(sent))] if self._random.random() < 0.2 else sent)
        await writer.drain()
        await asyncio.sleep(self._random.random() * 0.3)
        return 0

    async def vanishes(self, reader: Reader, writer: Writer) -> int:
        """Leaves right behind the first piece of a stream."""
        writer.write(self.ask(stream=True))
        await reader.read(100)
        return 0

    async def reads_slowly(self, reader: Reader, writer: Writer) -> int:
        """Takes its time."""
        writer.write(self.ask(stream=True))
        data = b""
        while part := await reader.read(200):
            data += part
            await asyncio.sleep(0.01)
        return checked(data)

    async def sends_slowly(self, reader: Reader, writer: Writer) -> int:
        """Sends a request by and by."""
        sent = self.ask(stream=True)
        for start in range(0, len(sent), 40):
            writer.write(sent[start : start + 40])
            await asyncio.sleep(0.02)
        return await finished(reader)

    async def too_long(self, reader: Reader, writer: Writer) -> int:
        """Announces more than may be sent."""
        writer.write(request("/api/generate", b"{" * 1000, length=10**9))
        return await finished(reader)

    async def nonsense(self, reader: Reader, writer: Writer) -> int:
        """Sends what is no request."""
        path = self._random.choice(
            ("/api/generate", "/api/chat", "/v1/chat/completions", "/v1/messages", "/v1/responses")
        )
        writer.write(request(path, self._random.choice(NONSENSE)))
        return await finished(reader)

    async def embeds(self, reader: Reader, writer: Writer) -> int:
        """Asks for vectors."""
        writer.write(request("/api/embed", {"model": "demo", "input": [QUESTION] * self._random.randrange(1, 5)}))
        return await finished(reader)

    async def uploads(self, reader: Reader, writer: Writer) -> int:
        """Uploads bytes, all or a part of them, under their digest or a wrong one."""
        data = self._random.randbytes(self._random.randrange(1, 300_000))
        digest = hashlib.sha256(data if self._random.random() < 0.5 else b"").hexdigest()
        sent = request(f"/api/blobs/sha256:{digest}", data)
        if self._random.random() < 0.4:
            writer.write(sent[: self._random.randrange(1, len(sent))])
            await writer.drain()
            return 0
        writer.write(sent)
        return await finished(reader)

    async def creates(self, reader: Reader, writer: Writer) -> int:
        """Makes a model of its own, or takes it away."""
        name = f"of-{self._number}"
        if self._random.random() < 0.5:
            system = f"You are number {self._random.randrange(10)}."
            writer.write(request("/api/create", {"model": name, "from": "demo", "system": system}))
        else:
            writer.write(request("/api/delete", {"model": name}, method="DELETE"))
        return await finished(reader)


async def finished(reader: Reader) -> int:
    """The status of an answer that is read to its end."""
    return checked(await reader.read(-1))


def checked(answer: bytes) -> int:
    """The status of an answer, which has to be whole, and in its form."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head:
        raise AssertionError("the connection was closed without an answer")
    status = int(head.split(b" ", 2)[1])
    assert status != 500, answer
    fields = head.lower()
    if b"transfer-encoding: chunked" in fields:
        assert body.endswith(b"0\r\n\r\n"), answer[-200:]
        body = b"".join(re.split(rb"\r\n[0-9a-f]+\r\n", b"\r\n" + body)[1:]).removesuffix(b"\r\n")
        if b"event-stream" in fields:
            assert body.endswith(b"\n\n"), body[-200:]
            events = [event.partition(b"data: ")[2] for event in body.removesuffix(b"\n\n").split(b"\n\n")]
            values = [json.loads(event) for event in events if event != b"[DONE]"]
            assert events[-1] == b"[DONE]" or values[-1].get("type") in ENDS or "error" in values[-1], body[-500:]
        else:
            lines = [json.loads(line) for line in body.splitlines()]
            assert lines[-1].get("done") or lines[-1].get("status") == "success" or "error" in lines[-1], lines[-1]
    elif body:
        assert status < 400 or "error" in json.loads(body), body
    return status


ENDS = ("message_stop", "response.completed", "response.incomplete", "response.failed", "error")


async def load(port: int, clients: int, seconds: float, *, first: int = 0, changes_models: bool = True) -> Counter[str]:
    """What so many clients did, and which statuses they got."""
    everybody = [Client(port, first + number, changes_models=changes_models) for number in range(clients)]
    end_s = time.monotonic() + seconds
    await asyncio.gather(*(client.run(end_s) for client in everybody))
    return sum((client.done for client in everybody), Counter[str]())


async def settled(port: int, patience_s: float = 30.0) -> None:
    """Waits until nothing runs, and sees that the next request works."""
    end_s = time.monotonic() + patience_s
    while True:
        models = json.loads(await answered(port, request("/api/ps")))["models"]
        if all(model["active"] == model["queued"] == 0 for model in models):
            break
        assert time.monotonic() < end_s, "answers go on after their clients left"
        await asyncio.sleep(0.1)
    said = json.loads(
        await answered(port, request("/api/generate", {"model": "demo", "prompt": QUESTION, "stream": False}))
    )
    assert said["response"]


async def answered(port: int, sent: bytes) -> bytes:
    """The body of an answer with status 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = await reader.read(-1)
    writer.close()
    assert checked(answer) == 200, answer
    return answer.partition(b"\r\n\r\n")[2]
