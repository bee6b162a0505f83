"""A gap in a text is a prompt for models that have tokens for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from chat.models import model
from edgewise import EngineConfig, UnsupportedError
from edgewise.chat.infill import gap_tokens, infill_prompt
from edgewise.engine.models import DEMO
from edgewise.engine.native import NativeEngine

SPECIAL = ["<s>", "</s>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]


def test_the_gap_stands_between_its_tokens(tmp_path: Path) -> None:
    with NativeEngine(model(tmp_path / "model.gguf", SPECIAL), EngineConfig(context_length=64)) as engine:
        text = engine.detokenize(infill_prompt(engine, "def f(", "<s>: pass"), special=True).decode()
        assert text == "<s><|fim_prefix|>def f(<|fim_suffix|><s>: pass<|fim_middle|>"
        assert gap_tokens(engine) is not None
        begin = engine.tokenize("<s>", add_special=False, parse_special=True)
        assert infill_prompt(engine, "", "<s>").count(begin[0]) == 1


def test_a_model_without_such_tokens_fills_no_gaps() -> None:
    with NativeEngine(DEMO, EngineConfig(context_length=64)) as engine, pytest.raises(UnsupportedError, match="gaps"):
        infill_prompt(engine, "a", "b")
