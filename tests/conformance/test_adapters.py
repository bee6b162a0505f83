"""With adapters, too, Edgewise computes what llama.cpp computes."""

from pathlib import Path

import numpy as np
import pytest

from conformance.agreement import assert_agrees, largest_difference
from conformance.cases import FLOAT_TOLERANCE, STEPS, Case, adapter_cases, prompt
from conformance.golden import load_golden
from conformance.measure import divergence
from conformance.runs import Run, write_golden_files
from edgewise import _core

CASES = {case.name: case for case in adapter_cases()}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)


def test_every_architecture_has_an_adapter() -> None:
    assert {name.split("-")[0] for name in CASES} == {"llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3"}


@pytest.mark.parametrize("isa", _core.instruction_sets())
@each_case
def test_adapted_models_give_the_logits_of_llama_cpp(case: Case, isa: str, tmp_path: Path) -> None:
    golden = load_golden()[case.name]
    files = write_golden_files(tmp_path, case, golden)
    run = Run(files.model, case.context_length, adapters=files.adapters, isa=isa)
    assert_agrees(case, golden, run.follow(case, golden.tokens))


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.is_float], ids=lambda case: case.name)
def test_adapted_float_models_give_the_tokens_of_llama_cpp(case: Case, tmp_path: Path) -> None:
    golden = load_golden()[case.name]
    files = write_golden_files(tmp_path, case, golden)
    assert Run(files.model, case.context_length, adapters=files.adapters).greedy(case, STEPS) == golden.tokens


@each_case
def test_without_its_adapters_a_model_gives_something_else(case: Case, tmp_path: Path) -> None:
    golden = load_golden()[case.name]
    files = write_golden_files(tmp_path, case, golden)
    for number in range(len(files.adapters)):
        others = files.adapters[:number] + files.adapters[number + 1 :]
        found = Run(files.model, case.context_length, adapters=others).follow(case, golden.tokens)
        assert largest_difference(found, golden.logits) > 20 * FLOAT_TOLERANCE


@pytest.mark.parametrize("batch", [1, 7, 17])
def test_the_batch_size_does_not_matter(batch: int, tmp_path: Path) -> None:
    case = CASES["llama-f32-adapters"]
    files = write_golden_files(tmp_path, case, load_golden()[case.name])
    whole, parts = (
        Run(files.model, case.context_length, adapters=files.adapters, batch=size).evaluate(prompt(case))
        for size in (512, batch)
    )
    assert largest_difference(parts, whole) <= 1e-4


@each_case
def test_the_number_of_threads_changes_no_bit(case: Case, tmp_path: Path) -> None:
    golden = load_golden()[case.name]
    files = write_golden_files(tmp_path, case, golden)
    one, two = (
        Run(files.model, case.context_length, adapters=files.adapters, threads=threads).follow(case, golden.tokens)
        for threads in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def test_a_smaller_kv_cache_stays_close(tmp_path: Path) -> None:
    case = CASES["llama-f32-adapter"]
    golden = load_golden()[case.name]
    files = write_golden_files(tmp_path, case, golden)
    run = Run(files.model, case.context_length, adapters=files.adapters, cache_format="q8_0")
    assert 0 < divergence(golden.logits, run.follow(case, golden.tokens)).max() < 1e-2
