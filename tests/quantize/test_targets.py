"""Formats by measured error: for a size, and for a divergence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgewise import _core
from edgewise.errors import InvalidArgument
from edgewise.quantize.plan import Plan, PlannedTensor
from edgewise.quantize.recipe import Wishes
from edgewise.quantize.roles import Tensor
from edgewise.quantize.samples import measure
from edgewise.quantize.targets import Measured, measure_formats, plan_divergence
from edgewise.quantize.work import open_source, save
from quantize.models import SHAPE, model, spoil


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return measure_formats(open_source(model(tmp_path_factory.mktemp("models"))))


def formats(plan: Plan) -> dict[str, str]:
    return {tensor.source.name: tensor.format for tensor in plan.tensors}


@pytest.mark.parametrize("share", [0.25, 0.3, 0.4, 0.6, 0.9])
def test_the_file_is_as_large_as_it_may_be(measured: Measured, tmp_path: Path, share: float) -> None:
    source = measured.source
    budget = int(source.file.size_bytes * share)
    plan = measured.plan(budget)
    written = save(source, plan, tmp_path / "out.gguf")
    assert 0.93 * budget < written.size_bytes <= budget
    assert all(tensor.reason for tensor in plan.tensors)


def test_more_bytes_lose_less(measured: Measured) -> None:
    total = measured.source.file.size_bytes
    losses = [measured.loss_of(measured.plan(int(total * share))) for share in (0.2, 0.3, 0.5, 0.8, 1.1)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == 0


def test_the_output_gets_more_bits_than_most(measured: Measured) -> None:
    found = formats(measured.plan(int(measured.source.file.size_bytes * 0.3)))
    bits = {name: _core.block_size(kind)[1] * 8 / _core.block_size(kind)[0] for name, kind in found.items()}
    assert bits["output.weight"] > bits["blk.0.ffn_up.weight"]


def test_a_reason_tells_what_more_bytes_would_give(measured: Measured) -> None:
    plan = measured.plan(int(measured.source.file.size_bytes * 0.3))
    tensor = next(tensor for tensor in plan.tensors if tensor.source.name == "blk.0.attn_q.weight")
    assert tensor.reason.startswith("measured: ")
    assert " would have " in tensor.reason
    assert measured.plan(10**9).tensors[0].reason == "loses nothing: there is room for it"


def test_too_small_a_size_is_refused_with_the_least_one(measured: Measured) -> None:
    with pytest.raises(InvalidArgument, match=r"takes (\d+) bytes at least, 1000 are asked for") as caught:
        measured.plan(1000)
    least = int(caught.value.message.split(" takes ")[1].split()[0])
    assert measured.plan(least)
    with pytest.raises(InvalidArgument):
        measured.plan(least - 1)


def test_wishes_leave_no_choice(tmp_path: Path) -> None:
    source = open_source(model(tmp_path))
    wishes = Wishes(patterns=(("attn_v", "q8_0"),), output="q4_0")
    found = formats(measure_formats(source, wishes).plan(source.file.size_bytes // 3))
    assert found["blk.1.attn_v.weight"] == "q8_0"
    assert found["output.weight"] == "q4_0"


def test_columns_that_are_no_multiple_of_256_get_smaller_blocks(tmp_path: Path) -> None:
    shape = replace(SHAPE, embedding_length=288, head_count=3, head_count_kv=1, key_length=96)
    source = open_source(model(tmp_path, shape=shape))
    plan = measure_formats(source).plan(source.file.size_bytes // 3)
    assert all(tensor.size_bytes for tensor in plan.tensors)
    assert {tensor.format for tensor in plan.tensors if tensor.columns == 288} <= {
        "f32", "q4_0", "iq4_nl", "q4_1", "q5_0", "q5_1", "q8_0"
    }  # fmt: skip


def test_a_weight_that_is_not_finite_is_named(tmp_path: Path) -> None:
    path = model(tmp_path)
    spoil(path, "blk.0.attn_k.weight", 0, float("nan"))
    with pytest.raises(InvalidArgument, match=r'tensor "blk.0.attn_k.weight", among sampled rows: row 0, column 0'):
        measure_formats(open_source(path))


def test_a_sample_says_what_the_whole_tensor_would_lose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgewise.quantize import samples

    source = open_source(model(tmp_path))
    tensor = PlannedTensor(Tensor("blk.0.ffn_down.weight", "f16", (512, 256)), "f16", "")
    (whole,) = measure(tensor, ["q4_k"], source.file, threads=1)
    monkeypatch.setattr(samples, "_SAMPLE_VALUES", 32 * 512)
    (part,) = measure(tensor, ["q4_k"], source.file, threads=1)
    assert part.size_bytes == whole.size_bytes == 256 * 288
    assert part.error != whole.error
    assert part.error == pytest.approx(whole.error, rel=0.05)


@pytest.mark.parametrize("factor", [0.2, 1.0, 7.0])
@pytest.mark.parametrize("limit", [0.001, 0.02, 0.3])
def test_the_search_ends_close_below_the_limit(measured: Measured, factor: float, limit: float) -> None:
    trials: list[float] = []

    def divergence(plan: Plan) -> float:
        trials.append(factor * measured.loss_of(plan) ** 1.1)
        return trials[-1]

    plan, found = plan_divergence(measured, limit, divergence)
    assert found == factor * measured.loss_of(plan) ** 1.1
    assert found <= limit
    assert found > 0.6 * limit or plan.size_bytes == measured.plan_for_loss(1e9).size_bytes
    assert len(trials) <= 6


def test_a_limit_that_nothing_holds_is_an_error(measured: Measured) -> None:
    with pytest.raises(InvalidArgument, match=r"no choice of formats stays within a divergence of 0.01"):
        plan_divergence(measured, 0.01, lambda plan: 0.5)
