"""A real server on a free port of the loopback address."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the server's packages are not installed: pip install 'edgewise[serve]'")
pytest.importorskip("uvicorn", reason="the server's packages are not installed: pip install 'edgewise[serve]'")

from edgewise.config import EngineConfig
from edgewise.server.app import make_app
from edgewise.server.logs import Log
from edgewise.server.serving import listen, server
from edgewise.server.settings import ServerConfig
from edgewise.store.store import Store
from server.running import Running, StartServer

Serve = Callable[..., tuple[Running, Callable[[], None]]]


@pytest.fixture(scope="session")
def _serve() -> Serve:
    def start(
        folder: Path, models: list[str], engine: EngineConfig, **settings: Any
    ) -> tuple[Running, Callable[[], None]]:
        config = replace(ServerConfig(port=0), **settings)
        store, log = Store(folder / "store"), io.StringIO()
        app = make_app(config, engine, store, models, Log(config.log_format, log))
        listener = listen(config)
        runner = server(app, config)
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]})
        thread.start()
        running = Running(listener.getsockname()[1], app.state, store, log, runner)
        running.wait_until(lambda: runner.started and app.state.is_ready)

        def stop() -> None:
            runner.should_exit = True
            thread.join(30)
            listener.close()
            assert not thread.is_alive()

        return running, stop

    return start


@pytest.fixture
def start(_serve: Serve, tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers that end with the test."""
    with ExitStack() as stack:

        def begin(*models: str, engine: EngineConfig | None = None, **settings: Any) -> Running:
            config = engine or EngineConfig(prompt_cache_bytes=0)
            running, stop = _serve(tmp_path, list(models), config, **settings)
            stack.callback(stop)
            return running

        yield begin


@pytest.fixture(scope="module")
def demo(_serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for the tests of a file, with the demo model."""
    running, stop = _serve(tmp_path_factory.mktemp("server"), [], EngineConfig(prompt_cache_bytes=0))
    yield running
    stop()
