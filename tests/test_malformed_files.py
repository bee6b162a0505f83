"""Malformed files are errors that name what is wrong: never a crash, never a wrong answer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgewise._core import ModelFile
from edgewise.config import EngineConfig
from edgewise.engine import open as open_engine
from edgewise.errors import ModelFileError, UnsupportedError

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attacks")
    command = ["cargo", "run", "--quiet", "-p", "edgewise-core", "--example", "write_attacks", "--", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


def test_every_attack_is_an_error_that_names_what_is_wrong(attacks: Path) -> None:
    table = [line.split("\t") for line in (attacks / "attacks.tsv").read_text(encoding="utf-8").splitlines()]
    assert len(table) >= 80
    for name, file, must_name, stage in table:
        is_adapter = stage == "Adapter"
        config = EngineConfig(lora=[(attacks / file, 1.0)] if is_adapter else [])
        with pytest.raises(ModelFileError) as caught:
            open_engine(attacks / ("sound.gguf" if is_adapter else file), config, engine="native").close()
        assert must_name in caught.value.message, name


def test_the_same_file_without_a_fault_opens(attacks: Path) -> None:
    config = EngineConfig(lora=[(attacks / "sound-adapter.gguf", 1.0)])
    with open_engine(attacks / "sound.gguf", config, engine="native") as engine:
        assert engine.name == "native"
    for name in ("sound-bert.gguf", "sound-nomic-bert.gguf"):
        with open_engine(attacks / name, engine="native") as engine:
            assert engine.name == "native"


def test_a_file_cut_anywhere_is_an_error(story_model: Path, tmp_path: Path) -> None:
    whole = story_model.read_bytes()
    path = tmp_path / "cut.gguf"
    for length in [*range(64), *range(64, len(whole), 4001)]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            ModelFile(path)


def test_an_unknown_architecture_names_the_way_out(story_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(story_model.read_bytes().replace(b"llama", b"lmaal"))
    with pytest.raises(UnsupportedError, match="lmaal") as caught:
        open_engine(path, engine="native")
    assert caught.value.hint is not None
    assert "pip install" in caught.value.hint
