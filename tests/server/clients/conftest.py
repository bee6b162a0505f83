"""A server whose model says what the tests want."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("gguf")
pytest.importorskip("numpy")

from edgewise.config import EngineConfig
from server.clients.scripted import scripted_model
from server.running import Running


@pytest.fixture(scope="session")
def scripted(
    _serve: Callable[..., tuple[Running, Callable[[], None]]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """One server for all tests of clients."""
    folder = tmp_path_factory.mktemp("scripted")
    path = scripted_model(folder / "scripted.gguf")
    running, stop = _serve(folder, [str(path)], EngineConfig(prompt_cache_bytes=0))
    yield running
    stop()
