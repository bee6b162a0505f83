"""The stored figures fit the cases, and a comparison with them says something."""

import numpy as np
import pytest

from conformance.cases import (
    FLOAT_TOLERANCE,
    KL_TOLERANCE,
    POSITIONS,
    PROMPT_LENGTH,
    STEPS,
    VOCABULARY_SIZE,
    Case,
    adapter_cases,
    all_cases,
)
from conformance.golden import load_golden
from conformance.measure import divergence, is_clear, margin
from random_model.blocks import FORMATS

CASES = [*all_cases(), *adapter_cases()]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_every_architecture_is_there_in_every_format() -> None:
    names = {case.name for case in CASES}
    for architecture in ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3"):
        assert {f"{architecture}-{name}" for name in FORMATS} <= names


def test_each_case_has_its_figures_and_no_others_are_stored() -> None:
    assert sorted(load_golden()) == sorted(case.name for case in CASES)


@each_case
def test_stored_figures_are_whole(case: Case) -> None:
    golden = load_golden()[case.name]
    assert golden.logits.shape == golden.exact.shape == (len(POSITIONS), VOCABULARY_SIZE)
    assert np.isfinite(golden.logits).all()
    assert len(golden.tokens) == STEPS


@each_case
def test_a_difference_beyond_the_tolerance_would_show(case: Case) -> None:
    golden = load_golden()[case.name]
    if case.is_float:
        spread = golden.logits.max() - golden.logits.min()
        choices = [PROMPT_LENGTH - 1 <= position < PROMPT_LENGTH + STEPS - 1 for position in POSITIONS]
        assert margin(golden.logits[choices]).min() > 2 * FLOAT_TOLERANCE * spread
    else:  # a tenth more than what the figures were chosen for, because they are stored as f16
        assert divergence(golden.exact, golden.logits).max() < 0.55 * KL_TOLERANCE
        assert is_clear(golden.logits, golden.exact).mean() >= 0.5
