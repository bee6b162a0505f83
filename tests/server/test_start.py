"""A start succeeds if every model that it names can be loaded."""

from __future__ import annotations

import asyncio
import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgewise.config import EngineConfig
from edgewise.engine.available_memory import AvailableMemory
from edgewise.engine.models import DEMO
from edgewise.server.app import make_app
from edgewise.server.frame import Frame
from edgewise.server.logs import Log
from edgewise.server.refusals import Refused
from edgewise.server.serving import serve
from edgewise.server.settings import ServerConfig
from edgewise.store.store import Store
from server.running import StartServer
from server.test_wire import parsed, request


def verb(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "edgewise", "serve", "--port", "0", "--no-prompt-cache", *arguments]


def app_without_memory(folder: Path, *models: str) -> Frame:
    app = make_app(ServerConfig(), EngineConfig(prompt_cache_bytes=0), Store(folder), models, Log(file=io.StringIO()))
    app.state.models._memory = lambda: AvailableMemory(2**20, 0, 2**20)
    return app


@pytest.mark.parametrize("others", [[], ["demo"]])
def test_a_model_that_can_not_be_loaded_ends_the_start_with_the_reason(tmp_path: Path, others: list[str]) -> None:
    path = tmp_path / "strange.gguf"
    path.write_bytes(DEMO.read_bytes().replace(b"llama", b"zzzzz"))  # nothing that can be run
    result = subprocess.run(verb(*others, str(path)), capture_output=True, text=True, timeout=60)
    assert "listens on" in result.stderr  # it is read only then
    assert (result.returncode, "Traceback" in result.stderr) == (1, False), result.stderr
    assert "\nerror: model 'strange:latest' can not be loaded: " in result.stderr


def test_a_model_that_is_larger_than_memory_ends_the_start(tmp_path: Path) -> None:
    app = app_without_memory(tmp_path, "demo")
    with pytest.raises(Refused, match=r"model 'demo:latest' can not be loaded: .* needs .* of memory"):
        serve(app, ServerConfig(port=0), lambda address: None)
    assert not app.state.is_ready


def test_models_that_have_no_room_beside_each_other_are_no_failure(start: StartServer, tmp_path: Path) -> None:
    shutil.copy(DEMO, tmp_path / "other.gguf")
    running = start("demo", str(tmp_path / "other.gguf"), loaded_models=1)
    assert parsed(running.exchange(request("/health")))[0] == 200
    assert [model.installed.name for model in running.state.models.loaded] == ["other:latest"]
    (line,) = (line for line in running.log.getvalue().splitlines() if " making room " in line)
    assert "model=other:latest unloads=demo:latest" in line
    assert "at most 1 may be in memory (--max-models)" in line


def test_the_demo_that_nobody_named_may_be_missing(tmp_path: Path) -> None:
    app = app_without_memory(tmp_path)

    async def start() -> None:
        await app.state.start()
        while not app.state.is_ready:
            await asyncio.sleep(0.01)
        await app.state.close()

    asyncio.run(asyncio.wait_for(start(), 20))
    assert app.state.failure is None
