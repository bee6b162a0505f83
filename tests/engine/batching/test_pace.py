"""Portions of prompts follow the time that they were seen to take."""

from __future__ import annotations

import pytest

from edgewise.engine.batching.pace import FIRST_CHUNK, Pace


def settle(pace: Pace, others: int, decode_s: float, step_s: float, token_s: float) -> int:
    """Steps on a machine where a token of a prompt takes `token_s`, and a step with any `step_s` beside it."""
    for _ in range(20):
        pace.took(others, 0, decode_s)
        chunk = pace.chunk(others)
        pace.took(others, chunk, decode_s + step_s + chunk * token_s)
    return pace.chunk(others)


@pytest.mark.parametrize("token_s", [0.0001, 0.001, 0.004, 0.02, 0.1])
@pytest.mark.parametrize("step_s", [0.0, 0.01, 0.04])
def test_a_portion_adds_less_than_the_bound_but_makes_use_of_it(token_s: float, step_s: float) -> None:
    chunk = settle(Pace(0.15, 512), 3, 0.03, step_s, token_s)
    assert chunk == 1 or step_s + chunk * token_s <= 0.15
    assert chunk == 512 or step_s + (chunk + 1) * token_s >= 0.15 / 4


def test_where_nobody_waits_portions_are_longer() -> None:
    pace = Pace(0.15, 512)
    assert settle(pace, 0, 0.03, 0.0, 0.004) > 3 * settle(pace, 2, 0.03, 0.0, 0.004)


def test_a_machine_that_slows_down_gets_shorter_portions() -> None:
    pace = Pace(0.15, 512)
    before = settle(pace, 1, 0.03, 0.0, 0.001)
    assert settle(pace, 1, 0.06, 0.0, 0.01) < before / 5


def test_the_few_tokens_that_a_cached_prompt_lacks_do_not_shorten_portions() -> None:
    pace = Pace(0.15, 512)
    before = settle(pace, 1, 0.03, 0.0, 0.001)
    for _ in range(5):
        pace.took(1, 1, 0.04)
    assert pace.chunk(1) == before


def test_the_first_portion_is_short_and_none_is_longer_than_it_may_be() -> None:
    assert Pace(0.15, 512).chunk(1) == FIRST_CHUNK
    assert Pace(0.15, 8).chunk(1) == 8
    pace = Pace(0.15, 512)
    pace.took(0, 100, 1e-6)
    assert pace.chunk(0) == pace.chunk(5) == 512
    pace.took(1, 1, 1000.0)
    assert pace.chunk(1) == 1
