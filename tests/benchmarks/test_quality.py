"""Perplexity, divergence, and the same weights as f32."""

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

from edgewise import _core
from make_model import make_model
from speed.divergence import WINDOW, divergence, expected_perplexity, log_softmax, perplexity, windows
from speed.quality import Quality, measure_quality
from speed.quality_models import DEMO, random_models, write_as_f32

TOKENS = list(range(8)) * (WINDOW // 4)


def test_equal_chances_have_the_perplexity_of_their_number() -> None:
    even = log_softmax(np.zeros((2 * (WINDOW - 1), 8)))
    assert perplexity(even, TOKENS) == pytest.approx(8)
    assert expected_perplexity(even, even) == pytest.approx(8)


def test_a_window_predicts_all_but_its_first_token() -> None:
    certain = np.full((2 * (WINDOW - 1), 8), -100.0)
    for row, token in enumerate(token for window in windows(TOKENS) for token in window[1:]):
        certain[row, token] = 100.0
    assert perplexity(log_softmax(certain), TOKENS) == pytest.approx(1)


def test_divergence_is_nothing_from_itself_and_grows_with_the_distance() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(16, 32))
    noise = generator.normal(size=logits.shape)
    exact = log_softmax(logits)
    near, far = (divergence(exact, log_softmax(logits + scale * noise)) for scale in (0.01, 0.1))
    assert divergence(exact, exact) == 0
    assert 0 < near < far < 0.02


def quality(**changed: float) -> Quality:
    values = {"perplexity": 6.0, "tiles_change": 0.0, "activations_kl": 1e-3, "tiles_kl": 1e-3, "between_kl": 1e-4}
    return Quality("demo", 100, **{**values, **changed})


def test_tiles_may_neither_change_the_perplexity_nor_add_to_the_divergence() -> None:
    assert [verdict.is_met for verdict in quality().verdicts()] == [True, True]
    assert [verdict.is_met for verdict in quality(tiles_change=-0.002).verdicts()] == [False, True]
    assert [verdict.is_met for verdict in quality(tiles_kl=1.2e-3).verdicts()] == [True, False]


def test_the_same_model_as_f32_has_the_same_metadata_and_weights(tmp_path: Path) -> None:
    path = tmp_path / "as-f32.gguf"
    write_as_f32(DEMO, path)
    before, after = _core.ModelFile(DEMO), _core.ModelFile(path)
    assert before.metadata() == after.metadata()
    assert before.arrays() == after.arrays()
    for quantized, expanded in zip(GGUFReader(DEMO).tensors, GGUFReader(path).tensors, strict=True):
        assert quantized.name == expanded.name
        np.testing.assert_array_equal(dequantize(quantized.data, quantized.tensor_type), expanded.data)


def test_int8_activations_cost_more_than_tiles_add(tmp_path: Path) -> None:
    make_model(tmp_path / "tiny-q8_0.gguf", "tiny", "q8_0")
    (model,) = random_models(tmp_path, "tiny", ["q8_0"], WINDOW)
    found = measure_quality(model, "auto", 1)
    assert found.positions == WINDOW - 1
    assert 0 < found.activations_kl < 1e-3
    assert found.tiles_kl < 1.5 * found.activations_kl
