"""Bytes go where they save most."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest

from edgewise.errors import InvalidArgument
from edgewise.quantize.budget import Candidates, Option, allocate, smallest_for, worthwhile


def options(*pairs: tuple[int, float]) -> tuple[Option, ...]:
    return tuple(Option(f"f{size}", size, error) for size, error in pairs)


def sizes(found: list[Option]) -> list[int]:
    return [option.size_bytes for option in found]


def test_options_that_others_beat_are_left_out() -> None:
    assert sizes(worthwhile(options((4, 1.0), (5, 1.0), (6, 2.0), (8, 0.1)))) == [4, 8]


def test_options_that_a_mixture_of_others_beats_are_left_out() -> None:
    assert sizes(worthwhile(options((2, 8.0), (3, 7.9), (4, 2.0), (8, 0.0)))) == [2, 4, 8]


def test_of_the_same_size_the_better_one_stays() -> None:
    assert [option.error for option in worthwhile(options((4, 2.0), (4, 1.0)))] == [1.0]


def test_the_tensor_whose_error_counts_more_gets_the_bytes() -> None:
    pair = options((10, 1.0), (20, 0.1))
    found = allocate([Candidates("a", 1.0, pair), Candidates("b", 2.0, pair)], 30)
    assert {name: option.size_bytes for name, option in found.options.items()} == {"a": 10, "b": 20}
    assert {name: option.size_bytes for name, option in found.better.items()} == {"a": 20}
    assert found.size_bytes == 30
    assert found.loss == pytest.approx(1.2)


def test_a_step_that_does_not_fit_leaves_room_for_smaller_ones() -> None:
    large, small = options((100, 9.0), (200, 0.0)), options((10, 0.1), (20, 0.0))
    found = allocate([Candidates("large", 1.0, large), Candidates("small", 1.0, small)], 125)
    assert {name: option.size_bytes for name, option in found.options.items()} == {"large": 100, "small": 20}


def test_less_than_the_smallest_options_take_is_an_error() -> None:
    with pytest.raises(InvalidArgument, match="take 10 bytes at least, more than the 9"):
        allocate([Candidates("a", 1.0, options((10, 1.0)))], 9)


@pytest.mark.parametrize("seed", range(20))
def test_no_choice_of_the_same_size_loses_much_less(seed: int) -> None:
    random = Random(seed)
    tensors = [
        Candidates(
            str(index),
            random.uniform(0.1, 4),
            options(
                *((size * random.randint(90, 110), 4.0 ** (3 - size) * random.uniform(0.5, 2)) for size in range(2, 6))
            ),
        )
        for index in range(5)
    ]
    found = allocate(tensors, 1600)
    assert found.size_bytes <= 1600
    exact = min(
        sum(tensor.weight * option.error for tensor, option in zip(tensors, choice, strict=True))
        for choice in product(*(tensor.options for tensor in tensors))
        if sum(option.size_bytes for option in choice) <= 1600
    )
    # What one step would save bounds what is lost by going step by step.
    step = max(
        tensor.weight * (found.options[tensor.name].error - found.better[tensor.name].error)
        for tensor in tensors
        if tensor.name in found.better
    )
    assert exact <= found.loss <= exact + step


def test_the_smallest_budget_for_a_loss_is_found() -> None:
    pair = options((10, 1.0), (20, 0.1))
    tensors = [Candidates("a", 1.0, pair), Candidates("b", 2.0, pair)]
    assert smallest_for(tensors, 3.0) == 20
    assert smallest_for(tensors, 1.2) == 30
    assert smallest_for(tensors, 0.5) == 40
    assert smallest_for(tensors, 0.0) == 40
