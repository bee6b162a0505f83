"""Model folders and their figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convert.cases import CASES
from convert.folders import GOLDEN, write_folder


@pytest.fixture(scope="session")
def figures() -> dict[str, Any]:
    """What transformers computed, by case."""
    cases: dict[str, Any] = json.loads((GOLDEN / "figures.json").read_text())["cases"]
    return cases


@pytest.fixture
def folder_of(tmp_path: Path, figures: dict[str, Any]) -> Callable[[str], Path]:
    """Writes the folder of a case."""
    return lambda name: write_folder(tmp_path / name, CASES[name], figures[name])


@pytest.fixture
def folder(folder_of: Callable[[str], Path]) -> Path:
    """A llama in two shards."""
    return folder_of("llama")
