"""A server that runs in a thread, as tests see it."""

from __future__ import annotations

import asyncio
import io
import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import uvicorn

from edgewise.server.state import State
from edgewise.store.store import Store


@dataclass
class Running:
    """A server that runs in a thread."""

    port: int
    state: State
    store: Store
    log: io.StringIO
    server: uvicorn.Server

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it runs on."""
        assert self.state.loop is not None
        return self.state.loop

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self.server.server_state.connections)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, timeout_s: float = 20.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def exchange(self, request: bytes, timeout_s: float = 20.0) -> bytes:
        """Sends bytes, and reads until the server closes the connection."""
        with closing(self.connect(timeout_s)) as connection:
            connection.sendall(request)
            answer = b""
            while data := connection.recv(65536):
                answer += data
            return answer

    def wait_until(self, holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Waits for something that another thread brings about."""
        end_s = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < end_s, "it did not happen"
            time.sleep(0.01)


StartServer = Callable[..., Running]
