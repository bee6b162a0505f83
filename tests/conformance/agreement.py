"""What it means that Edgewise computes what llama.cpp computes."""

import numpy as np

from conformance.cases import FLOAT_TOLERANCE, KL_TOLERANCE, Case
from conformance.golden import Golden, Logits
from conformance.measure import divergence, is_clear, noise

# Edgewise rounds activations to int8 by itself: it may be this much further from exact weights than llama.cpp is.
NOISE_FACTOR = 1.25


def largest_difference(found: Logits, expected: Logits) -> float:
    """As a share of the range of the logits."""
    return float(np.abs(found - expected).max() / (expected.max() - expected.min()))


def assert_agrees(case: Case, golden: Golden, found: Logits) -> None:
    if case.is_float:
        assert largest_difference(found, golden.logits) <= FLOAT_TOLERANCE
        return
    assert divergence(golden.logits, found).max() <= KL_TOLERANCE
    clear = is_clear(golden.logits, golden.exact)
    np.testing.assert_array_equal(found.argmax(axis=-1)[clear], golden.logits.argmax(axis=-1)[clear])
    own_noise = float(np.sqrt((noise(golden.exact, found) ** 2).mean()))
    oracle_noise = float(np.sqrt((noise(golden.exact, golden.logits) ** 2).mean()))
    assert own_noise <= NOISE_FACTOR * oracle_noise
