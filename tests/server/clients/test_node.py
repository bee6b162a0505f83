"""Clients of another language: npm's `openai` and `ollama`, in the folder that EDGEWISE_NODE_MODULES names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from server.running import Running

SCRIPT = Path(__file__).with_name("clients.mjs")


@pytest.fixture(scope="module")
def modules() -> Path:
    """A folder with `node_modules`."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    folder = Path(os.environ.get("EDGEWISE_NODE_MODULES", Path(__file__).parent))
    if not all((folder / "node_modules" / name).is_dir() for name in ("openai", "ollama")):
        pytest.skip("npm's clients are not installed: npm install openai ollama, then EDGEWISE_NODE_MODULES=FOLDER")
    return folder


def run(modules: Path, running: Running, client: str) -> Any:
    script = modules / f"edgewise-{os.getpid()}.mjs"  # modules are found from where the script lies
    script.write_bytes(SCRIPT.read_bytes())
    try:
        done = subprocess.run(
            ["node", str(script), client, running.url], capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        script.unlink()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def length(running: Running) -> Any:
    """How many numbers an embedding has."""
    return running.state.models.loaded[0].engine.metadata["llama.embedding_length"]


def test_npms_openai_answers_streams_calls_parses_and_embeds(scripted: Running, modules: Path) -> None:
    pytest.importorskip("llguidance", reason="llguidance is not installed: pip install 'edgewise[serve]'")
    found = run(modules, scripted, "openai")
    assert found == {
        "models": ["scripted:latest"],
        "whole": "Deux words and a few more.",
        "streamed": "naïve 😀 €!",
        "calls": ['{"city":"Paris"}', '{"city":"Rome"}'],
        "parsed": {"city": "Lima"},
        "response": "Deux words and a few more.",
        "events": "Deux words and a few more.",
        "completion": "Deux words and a few more.",
        "lengths": [length(scripted)] * 2,
        "decision": "yes",
        "error": [404, "model_not_found"],
    }


def test_npms_ollama_answers_streams_calls_decides_and_embeds(scripted: Running, modules: Path) -> None:
    found = run(modules, scripted, "ollama")
    assert found["version"]
    del found["version"]
    assert found == {
        "models": ["scripted:latest"],
        "whole": "Deux words and a few more.",
        "streamed": "naïve 😀 €!",
        "calls": [{"city": "Paris"}, {"city": "Rome"}],
        "lengths": [length(scripted)] * 2,
        "decision": "yes",
        "error": [404, "model 'other' not found"],
    }
