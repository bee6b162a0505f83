from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.store.store import Store
from store.files import gguf


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return gguf(tmp_path / "model.gguf")
