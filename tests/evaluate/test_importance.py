"""Importance matrices beside llama-imatrix's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conformance.cases import BASE_SHAPES
from conftest import data
from edgewise.config import EngineConfig
from edgewise.errors import InvalidArgument
from edgewise.evaluate.importance import measure_importance
from edgewise.evaluate.quality import open_to_evaluate
from edgewise.quantize import imatrix
from edgewise.quantize.imatrix import ImportanceMatrix
from evaluate.cases import GOLDEN_IMPORTANCE, IMPORTANCE_CHUNKS, IMPORTANCE_CONTEXT, IMPORTANCE_TEXT, TEXT_BYTES
from random_model.recipe import uniform
from random_model.writer import write_model


def measured(path: Path, text: bytes, context: int, chunks: int | None = None, threads: int = 1) -> ImportanceMatrix:
    with open_to_evaluate(path, EngineConfig(threads=threads), context) as engine:
        return measure_importance(engine, text, "a text", chunks=chunks)


def test_sums_and_counts_are_those_of_llamacpp(story_model: Path) -> None:
    expected = imatrix.read(GOLDEN_IMPORTANCE)
    text = data(IMPORTANCE_TEXT).read_bytes()[:TEXT_BYTES]
    found = measured(story_model, text, IMPORTANCE_CONTEXT, IMPORTANCE_CHUNKS)
    assert found.entries.keys() == expected.entries.keys()
    assert (found.chunk_count, found.chunk_size) == (expected.chunk_count, expected.chunk_size)
    for name, sums in expected.entries.items():
        assert found.entries[name].counts == sums.counts == (IMPORTANCE_CHUNKS * IMPORTANCE_CONTEXT,)
        squares = np.array(sums.squares)
        assert np.abs(np.array(found.entries[name].squares) - squares).max() < 2e-3 * squares.max(), name


def test_a_tensor_of_several_projections_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "phi3.gguf"
    write_model(path, BASE_SHAPES["phi3"], uniform("f32"), 1)
    found = measured(path, b"some words of a text " * 20, 16, 2)
    parts = {name.split(".", 2)[2] for name in found.entries}
    assert parts == {"attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight"}
    assert {sums.counts for sums in found.entries.values()} == {(32,)}


def test_several_threads_give_the_same_sums(story_model: Path) -> None:
    one, two = (measured(story_model, b"Once upon a time " * 40, 64, threads=threads) for threads in (1, 2))
    for name, sums in one.entries.items():
        assert np.allclose(sums.squares, two.entries[name].squares, rtol=1e-4), name


def test_a_text_that_is_too_short_is_refused(story_model: Path) -> None:
    with pytest.raises(InvalidArgument, match="a chunk takes 64"):
        measured(story_model, b"Once", 64)
