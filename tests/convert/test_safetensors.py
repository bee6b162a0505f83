"""Files of weights are proven before they are read."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from convert.folders import Stored, write_safetensors, write_shards
from edgewise.convert.safetensors import Checkpoint, read_header
from edgewise.errors import EdgewiseError, ModelFileError, UnsupportedError

TENSORS = {
    "a": Stored("F32", (2, 3), struct.pack("<6f", *range(6))),
    "b": Stored("BF16", (4,), b"\x80\x3f" * 4),
    "c": Stored("F16", (0, 5), b""),
}


def raw(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_rows_are_read_in_bands(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", TENSORS)
    with Checkpoint(tmp_path) as checkpoint:
        a = checkpoint.tensors["a"]
        assert (a.rows, a.columns, a.format) == (2, 3, "f32")
        assert checkpoint.read(a, 1, 1) == struct.pack("<3f", 3, 4, 5)
        assert checkpoint.read(a) == TENSORS["a"].data
        assert checkpoint.read(checkpoint.tensors["b"]) == TENSORS["b"].data


def test_shards_are_found_with_and_without_their_index(tmp_path: Path) -> None:
    write_shards(tmp_path, TENSORS, 3)
    assert Checkpoint(tmp_path).tensors.keys() == TENSORS.keys()
    (tmp_path / "model.safetensors.index.json").unlink()
    assert Checkpoint(tmp_path).tensors.keys() == TENSORS.keys()


@pytest.mark.parametrize("has_index", [True, False])
def test_a_missing_shard_is_named(tmp_path: Path, has_index: bool) -> None:
    write_shards(tmp_path, TENSORS, 3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    if not has_index:
        (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(ModelFileError, match=r"model-00002-of-00003.safetensors is missing"):
        Checkpoint(tmp_path)


def test_a_tensor_in_another_shard_than_the_index_says_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, TENSORS, 3)
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(path.read_text().replace('"a": "model-00001', '"a": "model-00002'))
    with pytest.raises(ModelFileError, match='tensor "a" is not in model-00002'):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("file", ["../model.safetensors", "/etc/model.safetensors", "a\\b.safetensors", 7, "passwd"])
def test_an_index_cannot_point_out_of_the_folder(tmp_path: Path, file: object) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": file}}))
    with pytest.raises(ModelFileError, match="weight_map"):
        Checkpoint(tmp_path)


def test_a_file_cut_at_every_byte_is_an_error(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "whole.safetensors", TENSORS)
    whole = (tmp_path / "whole.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError) as caught:
            read_header(path)
        assert caught.value.hint is not None or "JSON" in caught.value.message


def test_the_tensor_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, TENSORS)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match='ends before tensor "b" does') as caught:
        Checkpoint(tmp_path)
    assert caught.value.hint is not None
    assert "incomplete" in caught.value.hint


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "attack",
    [
        [],
        {"a": []},
        {"a": ENTRY | {"dtype": "F31"}},
        {"a": ENTRY | {"dtype": []}},
        {"a": ENTRY | {"shape": [-2]}},
        {"a": ENTRY | {"shape": [True, 2]}},
        {"a": ENTRY | {"shape": [2.0]}},
        {"a": ENTRY | {"shape": [1 << 40, 1 << 40]}},
        {"a": ENTRY | {"data_offsets": [8, 0]}},
        {"a": ENTRY | {"data_offsets": [-8, 0]}},
        {"a": ENTRY | {"data_offsets": [0, 8, 16]}},
        {"a": ENTRY | {"data_offsets": [8, 16]}},
        {"a": ENTRY | {"data_offsets": [0, 1 << 62]}},
        {"a": ENTRY | {"shape": [3]}},
    ],
    ids=str,
)
def test_a_header_that_lies_is_refused(tmp_path: Path, attack: object) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw(attack, b"\0" * 8))
    with pytest.raises(ModelFileError):
        read_header(path)


@pytest.mark.parametrize("text", [b"{", b'{"a": ' + b"[" * 100_000, b"\xff\xfe", b"nothing"])
def test_a_header_that_is_no_json_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(ModelFileError):
        read_header(path)


def test_pickles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(UnsupportedError, match="can run code"):
        Checkpoint(tmp_path)


def test_weights_that_are_no_floats_are_refused_when_they_are_needed(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"a": Stored("I8", (4,), b"\0" * 4)})
    with pytest.raises(UnsupportedError, match="stored as I8"), Checkpoint(tmp_path) as checkpoint:
        _ = checkpoint.tensors["a"].format


def test_a_folder_without_weights_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EdgewiseError, match="has no weights"):
        Checkpoint(tmp_path)
