"""Models are made beside requests, a few at a time, whoever leaves meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edgewise.store.store import Store
from server.running import Running, StartServer
from server.test_wire import ASK, parsed, request


class Gate:
    """Holds those who make a model until it is opened."""

    def __init__(self, create: Callable[..., Any]) -> None:
        self._create = create
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self.names: list[str] = []
        self.inside = self.most = 0

    def __call__(self, store: Store, name: str, *rest: Any) -> Any:
        with self._lock:
            self.names.append(name)
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            assert self._opened.wait(60)
            return self._create(store, name, *rest)
        finally:
            with self._lock:
                self.inside -= 1

    def open(self) -> None:
        self._opened.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    held = Gate(Store.create)
    monkeypatch.setattr(Store, "create", lambda *given: held(*given))
    yield held
    held.open()


def leave(running: Running, count: int, stream: bool, prefix: str) -> None:
    """Clients that ask for a model and leave before it is made."""
    before = running.log.getvalue()
    connections = [running.connect() for _ in range(count)]
    for index, connection in enumerate(connections):
        body = {"model": f"{prefix}{index}", "from": "demo", "stream": stream}
        connection.sendall(request("/api/create", body))
    running.wait_until(lambda: running.connections >= count)
    for connection in connections:
        connection.close()
    # One whose request and end come at once is a connection, but perhaps no request.
    running.wait_until(lambda: running.connections == 0 and running.log.getvalue() != before)


@pytest.mark.parametrize("stream", [False, True])
def test_clients_that_leave_hold_no_thread_of_others(start: StartServer, gate: Gate, stream: bool) -> None:
    running = start("demo")
    try:
        for round_number in range(3):
            leave(running, 10, stream, f"model{round_number}-")
        status, _, body = parsed(running.exchange(request("/api/generate", {**ASK, "stream": False})))
        assert (status, bool(json.loads(body)["response"])) == (200, True)
        assert gate.inside <= 2
    finally:
        gate.open()
    running.wait_until(lambda: gate.inside == 0)
    assert gate.most <= 2


def test_what_is_made_keeps_its_place_until_it_is_there(start: StartServer, gate: Gate) -> None:
    running = start("demo")
    body = {"from": "demo", "stream": False}
    with running.connect() as first, running.connect() as second:
        first.sendall(request("/api/create", {"model": "first", **body}))
        second.sendall(request("/api/create", {"model": "second", **body}))
        running.wait_until(lambda: gate.inside == 2)
    running.wait_until(lambda: running.log.getvalue().count("path=/api/create") == 2)
    with running.connect() as third:
        third.sendall(request("/api/create", {"model": "third", **body}))
        running.wait_until(lambda: running.connections == 1)
        assert parsed(running.exchange(request("/api/tags")))[0] == 200
        assert sorted(gate.names) == ["first", "second"]
        gate.open()
        assert third.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert gate.most == 2
    models = {model.name for model in running.store.list()}
    assert {"first:latest", "second:latest", "third:latest"} <= models
