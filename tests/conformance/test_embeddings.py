"""Edgewise embeds as llama.cpp does: both architectures, several formats, every pooling, every instruction set."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from conformance.encoder_cases import POOLINGS, ROWS_OF, TOLERANCE, EncoderCase, encoder_cases
from conformance.golden import FOLDER
from edgewise import _core
from random_model.encoder import write_encoder

Vectors = npt.NDArray[np.float32]

each_case = pytest.mark.parametrize("case", encoder_cases(), ids=lambda case: case.name)


@cache
def record() -> Any:
    return json.loads((FOLDER / "embedding-figures.json").read_text())


@cache
def golden() -> dict[str, Vectors]:
    with np.load(FOLDER / "embeddings.npz") as arrays:
        return {name: unit(arrays[name]) for name in arrays.files}


def unit(vectors: npt.ArrayLike) -> Vectors:
    found = np.asarray(vectors, dtype=np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=-1, keepdims=True))


def open_case(folder: Path, case: EncoderCase, *, isa: str = "auto", batch: int = 512) -> _core.Encoder:
    path = folder / f"{case.name}.gguf"
    write_encoder(path, case.shape, case.format_name, record()["seed"])
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found == record()["sha256"][case.name], "another file than it was: run make_embeddings again"
    return _core.Encoder(_core.ModelFile(path), context_length=0, batch=batch, isa=isa, threads=2)


def assert_same(found: Vectors, expected: Vectors) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE
    assert 1 - (found * expected).sum(axis=-1).min() <= TOLERANCE


@each_case
@pytest.mark.parametrize("batch", [1, 512])
def test_embeddings_are_those_of_llama_cpp(case: EncoderCase, batch: int, tmp_path: Path) -> None:
    encoder = open_case(tmp_path, case, batch=batch)
    for pooling in POOLINGS:
        found = unit([rows[0] for rows in encoder.embed(case.texts, pooling)])
        assert_same(found, golden()[f"{case.name}/{pooling}"])
    assert_same(unit(encoder.embed([case.texts[ROWS_OF]], "none")[0]), golden()[f"{case.name}/none"])


@pytest.mark.parametrize("isa", _core.instruction_sets())
@each_case
def test_every_instruction_set_gives_them(case: EncoderCase, isa: str, tmp_path: Path) -> None:
    encoder = open_case(tmp_path, case, isa=isa)
    assert_same(unit([rows[0] for rows in encoder.embed(case.texts, "mean")]), golden()[f"{case.name}/mean"])


@each_case
def test_a_difference_would_show(case: EncoderCase) -> None:
    by_pooling = [golden()[f"{case.name}/{pooling}"][2:] for pooling in POOLINGS]
    for index, vectors in enumerate(by_pooling):
        assert min(np.abs(vectors - other).max(axis=-1).min() for other in by_pooling[index + 1 :] or [-vectors]) > 0.01
        assert np.abs(vectors[0] - vectors[1]).max() > 0.01
