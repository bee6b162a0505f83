"""Edgewise computes what llama.cpp computes: all architectures, all formats, all instruction sets of this machine."""

from pathlib import Path

import numpy as np
import pytest

from conformance.agreement import assert_agrees, largest_difference
from conformance.cases import KL_TOLERANCE, STEPS, Case, all_cases, prompt
from conformance.golden import load_golden
from conformance.measure import divergence
from conformance.runs import Run, write_case
from edgewise import _core
from random_model.blocks import FORMATS

CASES = {case.name: case for case in all_cases()}
FLOAT_CASES = [case for case in CASES.values() if case.is_float]
QUANTIZED_CASES = [case for case in CASES.values() if not case.is_float]
LLAMA_CASES = [case for case in CASES.values() if case.name.startswith("llama-")]
ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3")


def name_of(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", FLOAT_CASES, ids=name_of)
def test_float_models_give_the_logits_and_the_tokens_of_llama_cpp(case: Case, tmp_path: Path) -> None:
    golden = load_golden()[case.name]
    path = write_case(tmp_path, case, golden)
    assert_agrees(case, golden, Run(path, case.context_length).follow(case, golden.tokens))
    assert Run(path, case.context_length).greedy(case, STEPS) == golden.tokens


@pytest.mark.parametrize("case", QUANTIZED_CASES, ids=name_of)
def test_quantized_models_give_the_logits_of_llama_cpp(case: Case, tmp_path: Path) -> None:
    golden = load_golden()[case.name]
    path = write_case(tmp_path, case, golden)
    assert_agrees(case, golden, Run(path, case.context_length).follow(case, golden.tokens))


@pytest.mark.parametrize("isa", _core.instruction_sets())
@pytest.mark.parametrize("case", LLAMA_CASES, ids=name_of)
def test_every_instruction_set_gives_the_logits_of_llama_cpp(case: Case, isa: str, tmp_path: Path) -> None:
    golden = load_golden()[case.name]
    path = write_case(tmp_path, case, golden)
    assert_agrees(case, golden, Run(path, case.context_length, isa=isa).follow(case, golden.tokens))


@pytest.mark.parametrize("batch", [1, 7, 17])
@pytest.mark.parametrize("format_name", ["f32", "q8_0", "q4_k"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_batch_size_does_not_matter(architecture: str, format_name: str, batch: int, tmp_path: Path) -> None:
    case = CASES[f"{architecture}-{format_name}"]
    path = write_case(tmp_path, case, load_golden()[case.name])
    tokens = prompt(case)
    whole = Run(path, case.context_length).evaluate(tokens)
    found = Run(path, case.context_length, batch=batch).evaluate(tokens)
    if case.is_float:
        assert largest_difference(found, whole) <= 1e-4
    else:  # another order of float additions can round an activation the other way, and what follows with it
        assert divergence(whole, found).max() <= KL_TOLERANCE


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_number_of_threads_changes_no_bit(format_name: str, tmp_path: Path) -> None:
    case = CASES[f"llama-{format_name}"]
    golden = load_golden()[case.name]
    path = write_case(tmp_path, case, golden)
    one, two = (Run(path, case.context_length, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.follow(case, golden.tokens), two.follow(case, golden.tokens))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_prompt_may_come_in_pieces(architecture: str, tmp_path: Path) -> None:
    case = CASES[f"{architecture}-f32"]
    path = write_case(tmp_path, case, load_golden()[case.name])
    tokens = prompt(case)
    run = Run(path, case.context_length)
    pieces = [run.evaluate(tokens[start:end]) for start, end in ((0, 1), (1, 16), (16, 17), (17, 40), (40, 48))]
    assert largest_difference(np.concatenate(pieces), Run(path, case.context_length).evaluate(tokens)) <= 1e-4


@pytest.mark.parametrize("cache_format", ["f16", "q8_0"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_smaller_kv_cache_stays_close(architecture: str, cache_format: str, tmp_path: Path) -> None:
    case = CASES[f"{architecture}-f32"]
    golden = load_golden()[case.name]
    path = write_case(tmp_path, case, golden)
    found = Run(path, case.context_length, cache_format=cache_format).follow(case, golden.tokens)
    share = largest_difference(found, golden.logits)
    assert 0 < share <= (1e-3 if cache_format == "f16" else 1e-2)
