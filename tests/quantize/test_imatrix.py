"""Importance matrices are read from both forms of llama.cpp, and written in the newer one."""

from __future__ import annotations

import struct
from array import array
from pathlib import Path

import pytest
from gguf import GGUFReader

from edgewise.errors import InvalidArgument, ModelFileError, SystemRefused
from edgewise.quantize import imatrix
from edgewise.quantize.imatrix import ImportanceMatrix, Sums

MATRIX = ImportanceMatrix(
    {
        "blk.0.attn_q.weight": Sums(array("f", [2, 4, 8, 0]), (2,)),
        "blk.0.ffn_up_exps.weight": Sums(array("f", [3, 6, 5, 7]), (3, 0)),
    },
    datasets=("calibration.txt", "more.txt"),
    chunk_count=7,
    chunk_size=512,
)


def legacy(
    entries: list[tuple[str, int, list[float]]], chunk_count: int | None = 3, dataset: str | None = "text.txt"
) -> bytes:
    data = struct.pack("<i", len(entries))
    for name, calls, values in entries:
        data += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", calls, len(values))
        data += struct.pack(f"<{len(values)}f", *values)
    if chunk_count is not None:
        data += struct.pack("<i", chunk_count)
    if dataset is not None:
        data += struct.pack("<i", len(dataset)) + dataset.encode()
    return data


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.gguf"
    imatrix.write(path, MATRIX)
    assert imatrix.read(path) == MATRIX


def test_the_file_has_the_names_shapes_and_keys_that_llama_cpp_reads(tmp_path: Path) -> None:
    imatrix.write(tmp_path / "imatrix.gguf", MATRIX)
    reader = GGUFReader(tmp_path / "imatrix.gguf")
    tensors = {tensor.name: (tensor.shape.tolist(), tensor.data.ravel().tolist()) for tensor in reader.tensors}
    assert tensors == {
        "blk.0.attn_q.weight.in_sum2": ([4], [2, 4, 8, 0]),
        "blk.0.attn_q.weight.counts": ([1], [2]),
        "blk.0.ffn_up_exps.weight.in_sum2": ([2, 2], [3, 6, 5, 7]),
        "blk.0.ffn_up_exps.weight.counts": ([1, 2], [3, 0]),
    }
    keys = ("general.type", "imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size")
    assert [reader.fields[key].contents() for key in keys] == ["imatrix", ["calibration.txt", "more.txt"], 7, 512]


def test_importance_is_a_mean_and_one_for_experts_that_saw_nothing() -> None:
    assert MATRIX.importance("blk.0.attn_q.weight", 4, 1) == array("f", [1, 2, 4, 0])
    assert MATRIX.importance("blk.0.ffn_up_exps.weight", 2, 2) == array("f", [1, 2, 1, 1])
    assert MATRIX.importance("blk.9.attn_q.weight", 4, 1) is None


def test_another_size_is_an_error_but_for_embeddings() -> None:
    with pytest.raises(InvalidArgument, match=r'"blk.0.attn_q.weight" has 4 values, the tensor has 8 columns'):
        MATRIX.importance("blk.0.attn_q.weight", 8, 1)
    with pytest.raises(InvalidArgument, match=r"has 4 values, the tensor has 4 columns in each of 2 matrices"):
        MATRIX.importance("blk.0.ffn_up_exps.weight", 4, 2)
    matrix = ImportanceMatrix({"token_embd.weight": Sums(array("f", [1]), (1,))})
    assert matrix.importance("token_embd.weight", 8, 1) is None


def test_the_older_form_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "imatrix.dat", legacy([("a.weight", 4, [4, 8]), ("b.weight", 0, [1, 3])]))
    matrix = imatrix.read(path)
    assert (matrix.datasets, matrix.chunk_count, matrix.chunk_size) == (("text.txt",), 3, 0)
    assert matrix.importance("a.weight", 2, 1) == array("f", [1, 2])
    assert matrix.importance("b.weight", 2, 1) == array("f", [1, 3])


@pytest.mark.parametrize(("chunk_count", "dataset"), [(None, None), (3, None), (3, "")])
def test_the_end_of_the_older_form_may_be_missing(tmp_path: Path, chunk_count: int | None, dataset: str | None) -> None:
    path = written(tmp_path / "imatrix.dat", legacy([("a", 1, [1])], chunk_count, dataset))
    assert imatrix.read(path).datasets == ()


def test_a_file_of_the_older_form_cut_anywhere_is_an_error_or_lacks_its_end(tmp_path: Path) -> None:
    data = legacy([("a.weight", 4, [4, 8]), ("b.weight", 1, [1, 3])])
    whole = {len(legacy([("a.weight", 4, [4, 8]), ("b.weight", 1, [1, 3])], chunks, None)) for chunks in (None, 3)}
    path = tmp_path / "imatrix.dat"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        if length in whole:
            assert len(imatrix.read(path).entries) == 2
        else:
            with pytest.raises(ModelFileError, match="no importance matrix"):
                imatrix.read(path)


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (b"", "number of entries: 4 bytes needed, 0 left"),
        (struct.pack("<i", -1), "-1 entries"),
        (struct.pack("<ii", 1, -1), "the name of an entry has -1 bytes"),
        (struct.pack("<ii", 1, 1 << 30), "the name of an entry has 1073741824 bytes"),
        (legacy([("a", 1, [])]), "0 values"),
        (struct.pack("<ii1sii", 1, 1, b"a", 1, 1 << 29), "values: 2147483648 bytes needed, 0 left"),
        (legacy([("a", 1, [1]), ("a", 1, [1])]), 'entry "a" is there twice'),
        (legacy([("a", 1, [1, float("nan")])]), 'entry "a": value 1 is nan'),
        (legacy([("a", 1, [float("inf")])]), 'entry "a": value 0 is inf'),
        (legacy([("a", 1, [1, 2, -1])]), 'entry "a": value 2 is -1.0'),
    ],
)
def test_a_damaged_file_is_an_error_that_names_the_finding(tmp_path: Path, data: bytes, finding: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        imatrix.read(written(tmp_path / "imatrix.dat", data))
    assert finding in caught.value.message
    assert "imatrix.dat" in caught.value.message


def test_a_model_is_no_importance_matrix(story_model: Path) -> None:
    with pytest.raises(ModelFileError, match=r"no tensor whose name ends in \.in_sum2"):
        imatrix.read(story_model)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemRefused, match=r"imatrix.gguf cannot be read: No such file or directory"):
        imatrix.read(tmp_path / "imatrix.gguf")


def test_an_existing_file_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = written(tmp_path / "imatrix.gguf", b"mine")
    with pytest.raises(InvalidArgument, match="exists already"):
        imatrix.write(path, MATRIX)
    assert path.read_bytes() == b"mine"
    imatrix.write(path, MATRIX, replace=True)
    assert imatrix.read(path) == MATRIX


def test_sums_are_as_many_for_each_matrix() -> None:
    with pytest.raises(InvalidArgument, match="3 sums are not as many for each of 2 matrices"):
        Sums(array("f", [1, 2, 3]), (1, 1))
