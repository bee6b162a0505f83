"""A model file becomes a smaller one that says what was done to it."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from edgewise import _core
from edgewise.engine import open as open_engine
from edgewise.engine.protocol import GenerateOptions
from edgewise.errors import InvalidArgument, UnsupportedError
from edgewise.quantize import imatrix
from edgewise.quantize.imatrix import ImportanceMatrix, Sums
from edgewise.quantize.mixes import MIXES
from edgewise.quantize.plan import facts_of
from edgewise.quantize.work import default_path, open_source, plan_mix, save
from quantize.models import SHAPE, TIED, model


def write_matrix(path: Path, source: Path, *, columns: int | None = None) -> Path:
    tensors = facts_of(_core.ModelFile(source)).tensors
    entries = {
        tensor.name: Sums(array("f", (1 + i % 7 for i in range(columns or tensor.shape[0]))), (1,))
        for tensor in tensors
        if len(tensor.shape) == 2 and tensor.name != "token_embd.weight"
    }
    imatrix.write(path, ImportanceMatrix(entries, ("calibration.txt",), 12, 512))
    return path


@pytest.mark.parametrize("mix", MIXES)
def test_the_file_runs_and_says_what_it_is(tmp_path: Path, mix: str) -> None:
    source = open_source(model(tmp_path, shape=TIED))
    save(source, plan_mix(source, MIXES[mix]), tmp_path / "out.gguf")
    metadata = _core.ModelFile(tmp_path / "out.gguf").metadata()
    assert metadata["general.file_type"] == MIXES[mix].file_type
    assert metadata["general.quantization_version"] == 2
    before = source.file.metadata()
    assert {key: metadata[key] for key in before if key not in ("general.file_type",)} == before
    with open_engine(tmp_path / "out.gguf") as engine:
        assert list(engine.generate("a", GenerateOptions(max_tokens=4)))


def test_an_importance_matrix_changes_the_weights_and_is_named(tmp_path: Path) -> None:
    path = model(tmp_path)
    matrix = write_matrix(tmp_path / "imatrix.gguf", path)
    plain, guided = open_source(path), open_source(path, matrix)
    assert guided.unmeasured == 1
    for source, name in ((plain, "plain"), (guided, "guided")):
        save(source, plan_mix(source, MIXES["q4_k_m"]), tmp_path / f"{name}.gguf")
    one, other = (_core.ModelFile(tmp_path / f"{name}.gguf") for name in ("plain", "guided"))
    assert bytes(one.read("blk.0.attn_q.weight", 0, 256)) != bytes(other.read("blk.0.attn_q.weight", 0, 256))
    added = {key: value for key, value in other.metadata().items() if key.startswith("quantize.")}
    assert added == {
        "quantize.imatrix.file": str(matrix),
        "quantize.imatrix.dataset": "calibration.txt",
        "quantize.imatrix.entries_count": 15,
        "quantize.imatrix.chunks_count": 12,
    }
    assert not any(key.startswith("quantize.") for key in one.metadata())


def test_an_importance_matrix_of_another_model_is_refused(tmp_path: Path) -> None:
    path = model(tmp_path)
    matrix = write_matrix(tmp_path / "wide.gguf", path, columns=384)
    with pytest.raises(InvalidArgument, match=r"has 384 values, the tensor has 256 columns\nhint: .*another model"):
        open_source(path, matrix)
    imatrix.write(tmp_path / "other.gguf", ImportanceMatrix({"h.0.attn.weight": Sums(array("f", [1]), (1,))}))
    with pytest.raises(InvalidArgument, match=r"other.gguf knows no tensor of"):
        open_source(path, tmp_path / "other.gguf")


def test_a_quantized_model_is_quantized_again_only_when_asked(tmp_path: Path) -> None:
    source = open_source(model(tmp_path, "q8_0"))
    with pytest.raises(InvalidArgument, match=r"is q8_0 already; .*\nhint: .*--allow-requantize"):
        plan_mix(source, MIXES["q4_k_m"])
    save(source, plan_mix(source, MIXES["q4_k_m"], may_requantize=True), tmp_path / "out.gguf")
    assert {kind for _, kind, _, _ in _core.ModelFile(tmp_path / "out.gguf").tensors()} == {"f32", "q4_k", "q6_k"}


def test_what_is_in_its_format_already_is_copied(tmp_path: Path) -> None:
    source = open_source(model(tmp_path, "q8_0"))
    plan = plan_mix(source, MIXES["q8_0"])
    assert all(tensor.is_copied for tensor in plan.tensors)
    written = save(source, plan, tmp_path / "out.gguf")
    assert written.losses == {}
    result = _core.ModelFile(tmp_path / "out.gguf")
    assert bytes(result.read("output.weight", 0, 320)) == bytes(source.file.read("output.weight", 0, 320))


def test_a_format_that_the_core_cannot_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "source.gguf"
    writer = _core.GgufWriter(path, [], [("blk.0.attn_q.weight", "iq2_xxs", [256, 2])])
    writer.write(bytes(132))
    writer.finish()
    with pytest.raises(UnsupportedError, match=r'tensor "blk.0.attn_q.weight" is iq2_xxs, whose numbers'):
        plan_mix(open_source(path), MIXES["q4_k_m"], may_requantize=True)


def test_a_vocabulary_has_nothing_to_quantize(vocabularies: Path) -> None:
    with pytest.raises(InvalidArgument, match="has no tensors"):
        open_source(vocabularies / "ggml-vocab-qwen2.gguf")


def test_facts_are_those_of_the_file(tmp_path: Path) -> None:
    facts = facts_of(_core.ModelFile(model(tmp_path)))
    assert (facts.architecture, facts.block_count, facts.head_count, facts.head_count_kv) == ("llama", 2, 4, 2)
    assert (facts.heads_per_key, facts.expert_count) == (2, 0)
    assert len(facts.tensors) == len(SHAPE.tensors())


def test_heads_may_be_given_for_each_layer(tmp_path: Path) -> None:
    metadata: list[tuple[str, str, object]] = [
        ("general.architecture", "string", "deci"),
        ("deci.attention.head_count", "[i32]", [32, 16]),
        ("deci.attention.head_count_kv", "[i32]", [8, 0]),
    ]
    writer = _core.GgufWriter(tmp_path / "x.gguf", metadata, [("a", "f32", [1])])
    writer.write(bytes(4))
    writer.finish()
    assert facts_of(_core.ModelFile(tmp_path / "x.gguf")).heads_per_key == 4


def test_the_plan_knows_sizes_before_a_byte_is_written(tmp_path: Path) -> None:
    source = open_source(model(tmp_path))
    plan = plan_mix(source, MIXES["q4_k_m"])
    written = save(source, plan, tmp_path / "out.gguf")
    assert abs(plan.size_bytes + source.header_bytes - written.size_bytes) < 200
    values = sum(tensor.values for tensor in plan.tensors)
    assert plan.bits_per_weight == pytest.approx(8 * plan.size_bytes / values)


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("model-f16.gguf", "model-q4_k_m.gguf"),
        ("Model.BF16.gguf", "Model-q4_k_m.gguf"),
        ("model.gguf", "model-q4_k_m.gguf"),
        ("Llama-3.2-1B-Instruct-f32-00001-of-00004.gguf", "Llama-3.2-1B-Instruct-q4_k_m.gguf"),
        ("model-Q8_0.gguf", "model-q4_k_m.gguf"),
        ("model-IQ4_XS.gguf", "model-q4_k_m.gguf"),
        ("f16.gguf", "f16-q4_k_m.gguf"),
    ],
)
def test_a_result_is_named_for_its_formats(source: str, result: str) -> None:
    assert default_path(Path("folder") / source, "q4_k_m") == Path("folder") / result
