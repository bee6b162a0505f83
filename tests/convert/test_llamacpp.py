"""llama.cpp loads what was converted, and continues texts alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import edgewise
from convert.cases import CASES
from edgewise import EngineConfig, GenerateOptions
from edgewise.config import EngineName
from edgewise.convert.conversion import Options, convert_model

pytest.importorskip("xllamacpp", reason="pip install 'edgewise[llamacpp]'")


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_both_engines_give_the_same_greedy_text(name: str, folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    convert_model(folder_of(name), path, Options("f32"))

    def text(engine: EngineName) -> str:
        config = EngineConfig(
            engine=engine, context_length=256, key_format="f32", value_format="f32", prompt_cache_bytes=0
        )
        with edgewise.open(path, config) as opened:
            generation = opened.generate("To be, or not to be", GenerateOptions(temperature=0, max_tokens=48))
            return "".join(piece.text for piece in generation)

    assert text("llamacpp") == text("native")
