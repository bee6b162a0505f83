"""Means, error bars, quantiles."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import astuple

import pytest

from edgewise.evaluate import figures
from edgewise.evaluate.figures import Estimate


def is_close(found: Estimate, value: float, error: float) -> bool:
    return astuple(found) == pytest.approx((value, error))


def test_an_error_bar_is_the_standard_error() -> None:
    chance = random.Random(1)
    draws = [chance.gauss(3, 2) for _ in range(1000)]
    expected = statistics.pstdev(draws) / math.sqrt(len(draws) - 1)
    assert is_close(figures.mean(draws), statistics.fmean(draws), expected)


def test_one_value_has_no_error_bar() -> None:
    assert figures.mean([2.0]) == Estimate(2.0, 0.0)


def test_perplexity_of_even_chances_is_their_number() -> None:
    assert is_close(figures.perplexity([math.log(50)] * 7), 50, 0)


def test_perplexity_beyond_floats_is_infinite() -> None:
    assert figures.perplexity([1000.0, 1000.0]).value == math.inf


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([1.0], 0.5, 1.0), ([1.0, 2.0], 0.5, 1.5), ([1.0, 2.0, 4.0], 0.5, 2.0), ([0.0, 1.0, 2.0, 4.0], 0.99, 3.94)],
)
def test_quantiles_lie_between_neighbours(values: list[float], share: float, expected: float) -> None:
    assert figures.percentile(values, share) == pytest.approx(expected)


def test_what_is_alike_in_both_does_not_blur_their_ratio() -> None:
    reference = [float(i % 17) for i in range(500)]
    model = [surprise + 0.01 for surprise in reference]
    found = figures.divergence(model, reference, [0.02] * 500, [True] * 450 + [False] * 50)
    assert is_close(found.log_ratio, 0.01, 0)
    assert found.reference_perplexity.error > 1
    assert is_close(found.same_top, 0.9, math.sqrt(0.09 / 499))
