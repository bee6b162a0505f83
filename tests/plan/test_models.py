"""Models as plans see them: what files and shapes are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.engine.models import DEMO
from edgewise.errors import InvalidArgument, ModelFileError
from edgewise.plan.models import model_in
from edgewise.plan.shapes import SHAPES, shape_named
from edgewise.quantize.mixes import MIXES
from quantized_sizes import plan_of
from random_model.known_shapes import KNOWN_SHAPES
from random_model.recipe import uniform
from random_model.shape import Shape
from random_model.writer import write_model


@pytest.mark.parametrize("name", sorted(set(SHAPES) & set(KNOWN_SHAPES)))
@pytest.mark.parametrize("mix", MIXES)
def test_a_shape_has_the_size_of_the_file_that_quantizing_would_give(name: str, mix: str) -> None:
    assert shape_named(f"{name}:{mix}").weights_bytes == plan_of(name, mix).size_bytes


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("llama2-7b", 6.74), ("llama2-13b", 13.02), ("llama2-70b", 68.98), ("llama3.1-8b", 8.03),
        ("llama3.1-70b", 70.55),
        ("llama3.2-1b", 1.24), ("llama3.2-3b", 3.21), ("mistral-7b", 7.25), ("tinyllama-1.1b", 1.10),
        ("qwen2.5-0.5b", 0.49), ("qwen2.5-1.5b", 1.54), ("qwen2.5-3b", 3.09), ("qwen2.5-7b", 7.62),
        ("qwen3-0.6b", 0.60), ("qwen3-1.7b", 1.72), ("qwen3-4b", 4.02), ("qwen3-8b", 8.19),
        ("gemma2-2b", 2.61), ("gemma3-1b", 1.00), ("phi3.5-mini", 3.82), ("smollm2-1.7b", 1.71),
    ],
)  # fmt: skip
def test_a_shape_has_the_parameters_that_its_makers_publish(name: str, billions: float) -> None:
    assert round(shape_named(name).parameters / 1e9, 2) == billions


def test_the_shapes_of_written_files_are_read_back(tmp_path: Path) -> None:
    written = Shape("llama", 3, 128, 256, 8, 2, 32, 512, context_length=777)
    write_model(tmp_path / "m.gguf", written, uniform("f16"), 0)
    model = model_in(tmp_path / "m.gguf", "m")
    assert [(one.heads, one.kv_heads, one.key_length, one.value_length) for one in model.layers] == [(8, 2, 32, 32)] * 3
    assert (model.embedding_length, model.feed_forward_length) == (128, 256)
    assert (model.vocabulary_size, model.trained_length) == (512, 777)


def test_a_file_in_another_format_is_smaller() -> None:
    demo = model_in(DEMO, "demo")
    assert demo.in_format("q4_k_m").weights_bytes < 0.7 * demo.weights_bytes
    assert demo.in_format("q4_k_m").read_bytes < 0.7 * demo.read_bytes


@pytest.mark.parametrize("name", ["llama9-1b", "", "llama2-7b:q9", "llama2-7b:q4_k_m:x"])
def test_what_is_no_shape_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        shape_named(name)
    assert refusal.value.hint is not None
    assert "known" in refusal.value.hint


def test_a_truncated_header_is_an_error_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(DEMO.read_bytes()[:5000])
    with pytest.raises(ModelFileError):
        model_in(tmp_path / "cut.gguf", "cut")
