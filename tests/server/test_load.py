"""Many clients at once, of every kind, leave nothing behind; a server that is killed leaves its store whole."""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the server's packages are not installed: pip install 'edgewise[serve]'")

from edgewise.store.checkup import verify
from edgewise.store.store import Store
from server_load import OPTIONS, check
from serving.clients import Client, load, settled
from serving.process import ServerProcess
from serving.wire import Connection, request

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.mark.parametrize(("clients", "seconds"), [(16, 3.0), pytest.param(64, 20.0, marks=pytest.mark.long)])
def test_nothing_grows_and_nothing_stays_behind(clients: int, seconds: float) -> None:
    with ServerProcess(["demo"], OPTIONS) as server:
        done = asyncio.run(load(server.port, clients, seconds))
        asyncio.run(settled(server.port))
        before = server.usage
        done += asyncio.run(load(server.port, clients, seconds, first=clients))
        asyncio.run(settled(server.port))
        check(before, server.usage)
        assert "Traceback" not in server.log
    assert any(what.startswith("streamed: 200") for what in done)


def test_more_connections_than_the_system_allows_are_told_to_come_again() -> None:
    with ServerProcess(["demo"], OPTIONS, descriptors=160) as server, ExitStack() as stack:
        idle = [stack.enter_context(closing(Connection(server.port))) for _ in range(200)]
        with pytest.raises((SystemExit, ConnectionError)):
            idle[-1].ask(request("/api/version"))
        assert idle[0].ask(request("/api/version"))
        for connection in idle:
            connection.close()
        asyncio.run(settled(server.port))
        assert "Traceback" not in server.log


def test_a_server_that_is_killed_while_models_come_and_go_starts_again_with_a_whole_store(tmp_path: Path) -> None:
    chance = random.Random(1)
    for round_ in range(4):
        server = ServerProcess(["demo"], OPTIONS, home=tmp_path)
        with server:
            if round_:
                asyncio.run(settled(server.port))
            asyncio.run(change_until_killed(server, 0.2 + chance.random() / 2, first=100 * round_))
        assert server.process.returncode == -9
        store = Store(tmp_path)
        assert verify(store) == []
        assert all(model.path.exists() for model in store.list())


async def change_until_killed(server: ServerProcess, after_s: float, *, first: int) -> None:
    """Clients that upload, make and delete models, until the server is no more."""

    async def change(number: int) -> None:
        client = Client(server.port, number)
        with suppress(ConnectionError, AssertionError, asyncio.IncompleteReadError):
            while server.process.returncode is None:
                for way in (client.uploads, client.creates):
                    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                    try:
                        await way(reader, writer)
                    finally:
                        writer.transport.abort()

    working = asyncio.gather(*(change(first + number) for number in range(12)))
    await asyncio.sleep(after_s)
    server.kill()
    await asyncio.wait_for(working, 30)
