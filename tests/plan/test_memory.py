"""Memory parts are those of models that are really opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise import _core
from edgewise.engine.models import DEMO
from edgewise.plan.memory import Settings, cache_bytes, cache_read_bytes, compute_bytes, largest_context, memory_of
from edgewise.plan.models import Layer, model_in
from edgewise.plan.shapes import shape_named
from random_model.recipe import uniform
from random_model.shape import Shape
from random_model.writer import write_model

SHAPES = {
    "grouped queries": Shape("llama", 3, 128, 256, 8, 2, 16, 512),
    "heads that are no vectors": Shape("llama", 2, 160, 256, 4, 4, 40, 512),
    "a head wider than its share": Shape("qwen3", 2, 128, 256, 4, 2, 64, 512, has_qk_norms=True),
    "windows": Shape(
        "gemma3", 7, 128, 256, 4, 1, 32, 512, sliding_window=64, vocabulary="spm", has_qk_norms=True,
        has_post_norms=True, is_tied=True,
    ),
    "fused projections": Shape("phi3", 2, 96, 192, 4, 4, 24, 512, vocabulary="spm", has_fused_projections=True),
}  # fmt: skip

CASES = [
    Settings(512),
    Settings(100, sequences=3),
    Settings(33, "q8_0", "q8_0"),
    Settings(1, "f32", "q8_0", sequences=2),
    Settings(4000, "q8_0", "f16", sequences=5),
]


def session(path: Path, settings: Settings) -> _core.Session:
    return _core.Session(
        _core.Model(_core.ModelFile(path)),
        context_length=settings.context_length,
        batch=settings.batch,
        key_format=settings.key_format,
        value_format=settings.value_format,
        isa="auto",
        threads=1,
        sequences=settings.sequences,
    )


@pytest.fixture(scope="module", params=[*SHAPES, "demo"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "demo":
        return DEMO
    path = tmp_path_factory.mktemp("model") / "model.gguf"
    write_model(path, SHAPES[request.param], uniform("f16"), 0)
    return path


@pytest.mark.parametrize("settings", CASES)
def test_the_cache_is_what_a_session_reserves(path: Path, settings: Settings) -> None:
    assert cache_bytes(model_in(path, "m").layers, settings) == session(path, settings).cache_bytes


def test_weights_are_the_file(path: Path) -> None:
    assert memory_of(model_in(path, "m"), Settings(64)).weights_bytes == path.stat().st_size


def test_a_token_reads_what_the_file_holds_for_it(path: Path) -> None:
    tensors = {name: size for name, _, _, size in _core.ModelFile(path).tensors()}
    if "output.weight" in tensors:
        del tensors["token_embd.weight"]
    assert model_in(path, "m").read_bytes == sum(tensors.values())


def test_a_window_bounds_what_is_read_and_not_what_is_kept() -> None:
    wide, windowed = (Layer(4, 2, 64, 64, window) for window in (0, 512))
    settings = Settings(4096)
    assert cache_bytes([windowed], settings) == cache_bytes([wide], settings)
    assert cache_read_bytes([windowed], 100, settings) == cache_read_bytes([wide], 100, settings)
    assert cache_read_bytes([windowed], 4096, settings) == cache_read_bytes([wide], 512, settings)
    assert cache_read_bytes([wide], 4096, settings) == 4096 * 2 * 2 * 64 * 2


def test_gemma_3_has_a_window_on_five_of_six_layers() -> None:
    windows = [layer.window for layer in shape_named("gemma3-1b").layers]
    assert windows[:7] == [512, 512, 512, 512, 512, 0, 512]
    assert windows.count(0) == 4


@pytest.mark.parametrize("name", ["llama3.2-1b", "qwen3-0.6b", "llama2-7b", "gemma3-1b"])
@pytest.mark.parametrize("spare", [0, 1, 10**8, 10**10])
def test_the_largest_context_fits_and_a_larger_one_does_not(name: str, spare: int) -> None:
    model, settings = shape_named(name), Settings(256)
    available = memory_of(model, settings).total_bytes + spare
    found = largest_context(model, settings, available)
    assert found >= 256
    assert memory_of(model, Settings(found)).total_bytes <= available
    assert found == model.trained_length or memory_of(model, Settings(found + 256)).total_bytes > available


def test_no_context_fits_where_weights_do_not() -> None:
    assert largest_context(shape_named("llama2-7b"), Settings(256), 10**9) == 0


def test_buffers_stay_small_however_large_the_model_is() -> None:
    assert compute_bytes(shape_named("llama2-70b"), Settings(131072)) < 100e6
