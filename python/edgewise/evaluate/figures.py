"""Perplexity and divergence from what single positions say, with their error bars.

Source: the definitions of llama.cpp's tools/perplexity, which the names of the figures stand for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Estimate:
    """A mean, and how uncertain it is.

    Args:
        value: the mean.
        error: its standard error: the positions of the text are taken for independent draws.
    """

    value: float
    error: float


@dataclass(frozen=True)
class Divergence:
    """How far a model is from its reference. Divergences are those of Kullback and Leibler, in nats.

    Args:
        reference_perplexity: of the reference, on the same text.
        log_ratio: logarithm of the quotient of the perplexities, the model's over the reference's.
        mean: divergence of a position, on average.
        median: of half the positions at most this.
        percentile_99: of 99 in 100 positions at most this.
        maximum: the largest of all.
        same_top: share of the positions at which both find the same token the likeliest.
    """

    reference_perplexity: Estimate
    log_ratio: Estimate
    mean: Estimate
    median: float
    percentile_99: float
    maximum: float
    same_top: Estimate


def mean(values: Sequence[float]) -> Estimate:
    """The mean of some values.

    Args:
        values: at least one.
    """
    count = len(values)
    average = math.fsum(values) / count
    return Estimate(average, _error(math.fsum((x - average) ** 2 for x in values) / count, count))


def perplexity(surprises: Sequence[float]) -> Estimate:
    """E to the mean surprise: among so many equally likely tokens the model would be as uncertain."""
    surprise = mean(surprises)
    value = _exp(surprise.value)
    return Estimate(value, value * surprise.error)


def divergence(
    surprises: Sequence[float],
    reference_surprises: Sequence[float],
    divergences: Sequence[float],
    same_tops: Sequence[bool],
) -> Divergence:
    """The figures of a model beside its reference; each argument has one value per position."""
    ordered = sorted(divergences)
    count = len(ordered)
    share = sum(same_tops) / count
    return Divergence(
        reference_perplexity=perplexity(reference_surprises),
        # The surprises of both are alike, so their difference is far more certain than each of them.
        log_ratio=mean([a - b for a, b in zip(surprises, reference_surprises, strict=True)]),
        mean=mean(divergences),
        median=percentile(ordered, 0.5),
        percentile_99=percentile(ordered, 0.99),
        maximum=ordered[-1],
        same_top=Estimate(share, _error(share * (1 - share), count)),
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which so many of the ordered ones lie, interpolated between neighbours."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _error(variance: float, count: int) -> float:
    return math.sqrt(variance / (count - 1)) if count > 1 else 0.0


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf
