"""Formats under a budget: bytes go where they save most.

What a model loses adds up over its tensors: each contributes its squared error, relative to its weights, times how much
its role matters. Of every tensor the formats that no mixture of others beats are steps, each of which saves so much for
so many bytes; the best steps of all tensors are taken until the budget is spent.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Option:
    """A format for a tensor, and what it costs.

    Args:
        format: the format.
        size_bytes: of the whole tensor in it.
        error: squared error as a share of the squared weights.
    """

    format: str
    size_bytes: int
    error: float


@dataclass(frozen=True)
class Candidates:
    """A tensor and what it may become.

    Args:
        name: of the tensor.
        weight: what its error counts.
        options: at least one.
    """

    name: str
    weight: float
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Allocation:
    """What each tensor becomes.

    Args:
        options: by the tensor's name.
        better: the next step that the budget did not pay for, where there is one.
        size_bytes: of all tensors.
        loss: of all tensors, weighted.
    """

    options: dict[str, Option]
    better: dict[str, Option]
    size_bytes: int
    loss: float


def allocate(tensors: Sequence[Candidates], budget_bytes: int) -> Allocation:
    """The formats with which the tensors lose least within a budget.

    Args:
        tensors: what may become what.
        budget_bytes: what all of them may take together.

    Raises:
        InvalidArgument: if the smallest options take more.
    """
    steps = {tensor.name: worthwhile(tensor.options) for tensor in tensors}
    weights = {tensor.name: tensor.weight for tensor in tensors}
    at = dict.fromkeys(steps, 0)
    left = budget_bytes - sum(options[0].size_bytes for options in steps.values())
    if left < 0:
        raise InvalidArgument(
            f"the tensors take {budget_bytes - left} bytes at least, more than the {budget_bytes} that are asked for"
        )
    queue: list[tuple[float, str]] = []

    def offer(name: str) -> None:
        options, index = steps[name], at[name]
        if index + 1 < len(options):
            now, then = options[index], options[index + 1]
            saved = weights[name] * (now.error - then.error) / (then.size_bytes - now.size_bytes)
            heapq.heappush(queue, (-saved, name))

    for name in steps:
        offer(name)
    while queue:
        _, name = heapq.heappop(queue)
        now, then = steps[name][at[name] : at[name] + 2]
        if then.size_bytes - now.size_bytes > left:
            continue  # too large a step; smaller ones of other tensors may still fit
        left -= then.size_bytes - now.size_bytes
        at[name] += 1
        offer(name)
    chosen = {name: options[at[name]] for name, options in steps.items()}
    better = {name: options[at[name] + 1] for name, options in steps.items() if at[name] + 1 < len(options)}
    loss = sum(weights[name] * option.error for name, option in chosen.items())
    return Allocation(chosen, better, budget_bytes - left, loss)


def smallest_for(tensors: Sequence[Candidates], loss: float) -> int:
    """The smallest budget with which the tensors lose at most so much; that of the best options if none does."""
    low = sum(worthwhile(tensor.options)[0].size_bytes for tensor in tensors)
    high = sum(worthwhile(tensor.options)[-1].size_bytes for tensor in tensors)
    while low < high:
        middle = (low + high) // 2
        if allocate(tensors, middle).loss <= loss:
            high = middle
        else:
            low = middle + 1
    return high


def worthwhile(options: Sequence[Option]) -> list[Option]:
    """The options that no mixture of two others beats, smallest first: each saves less per byte than the one before."""
    hull: list[Option] = []
    for option in sorted(options, key=lambda option: (option.size_bytes, option.error)):
        if hull and option.error >= hull[-1].error:
            continue
        while len(hull) > 1 and _slope(hull[-1], option) >= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(option)
    return hull


def _slope(small: Option, large: Option) -> float:
    """Error saved for a byte."""
    return (small.error - large.error) / (large.size_bytes - small.size_bytes)
