"""Requests and answers as bytes, so that the client takes next to nothing of the machine that the server runs on."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any


def request(
    path: str,
    body: bytes | dict[str, Any] | None = None,
    *,
    method: str = "",
    keeps: bool = False,
    length: int | None = None,
) -> bytes:
    """The bytes of a request.

    Args:
        path: what is asked.
        body: a JSON value, or bytes as they are.
        method: GET without a body and POST with one, if empty.
        keeps: whether the connection stays open behind the answer.
        length: what is said of the body's length, if that is not true.
    """
    data = json.dumps(body).encode() if isinstance(body, dict) else body or b""
    method = method or ("GET" if body is None else "POST")
    size = len(data) if length is None else length
    connection = "keep-alive" if keeps else "close"
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + data


class Connection:
    """One connection to the server; requests follow each other on it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, sent: bytes) -> bytes:
        """A whole answer with a length."""
        self._socket.sendall(sent)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._received()
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self._received()
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"refused: {body!r}")
        return body

    def stream(self, sent: bytes) -> Iterator[tuple[float, bytes]]:
        """When which bytes of a streamed answer came, without its head."""
        self._socket.sendall(sent)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._received()
        head, _, answer = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"refused: {answer!r}")
        if answer:
            yield time.perf_counter(), answer
        while not answer.endswith(b"0\r\n\r\n"):
            answer = self._received()
            yield time.perf_counter(), answer

    def close(self) -> None:
        """Ends it."""
        self._socket.close()

    def _received(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data
