"""Where tests find models: ../shared, or the folder that EDGEWISE_TEST_DATA names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewise import Llama
from random_model.adapter import Adapter, write_adapter
from random_model.shape import Shape

ROOT = Path(__file__).parent.parent


def data(name: str) -> Path:
    folder = Path(os.environ.get("EDGEWISE_TEST_DATA", ROOT.parent / "shared"))
    if not (folder / name).exists():
        pytest.skip(f"{name} is not in {folder}; EDGEWISE_TEST_DATA names another folder")
    return folder / name


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No configuration file, no cache and no installed model takes part; EDGEWISE_ISA set for a run still means it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("EDGEWISE_HOME", str(home / "edgewise"))
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "ollama"))
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))


@pytest.fixture(scope="session")
def story_model() -> Path:
    return data("models/stories260k-f32.gguf")


@pytest.fixture(scope="session")
def demo_adapters(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two random adapters for the model in the package."""
    shape = Shape(
        architecture="llama",
        block_count=4,
        embedding_length=256,
        feed_forward_length=768,
        head_count=4,
        head_count_kv=2,
        key_length=64,
        vocabulary_size=2048,
    )
    folder = tmp_path_factory.mktemp("adapters")
    paths = folder / "first.gguf", folder / "second.gguf"
    for seed, path in enumerate(paths):
        write_adapter(path, shape, Adapter(rank=4, alpha=0.0), seed)
    return paths


@pytest.fixture(scope="session")
def templates() -> Path:
    return data("templates")


@pytest.fixture(scope="session")
def vocabularies() -> Path:
    return data("vocab")


@pytest.fixture
def llm(story_model: Path) -> Iterator[Llama]:
    with Llama(model_path=str(story_model), n_ctx=512, verbose=False) as llama:
        yield llama
