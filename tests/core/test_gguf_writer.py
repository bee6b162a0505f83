"""Model files written through the binding: types kept, nothing left half done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgewise import _core
from edgewise.errors import InvalidArgument, ModelFileError, SystemRefused

TENSORS = [("a", "f32", [5, 3]), ("b", "f32", [2])]
DATA = bytes(range(68))
METADATA: list[tuple[str, str, object]] = [
    ("general.architecture", "string", "llama"),
    ("u", "u32", 7),
    ("i", "i32", -7),
    ("f", "f32", 0.5),
    ("yes", "bool", True),
    ("tokens", "[string]", ["a", b"\xff", "ü"]),
    ("types", "[i32]", [1, -2]),
    ("scores", "[f32]", [0.25, -1.0]),
    ("flags", "[bool]", [True, False]),
    ("none", "[u64]", []),
]


def write(path: Path, metadata: list[tuple[str, str, object]] = METADATA) -> None:
    writer = _core.GgufWriter(path, metadata, TENSORS)
    writer.write(DATA)
    assert writer.finish() >= 0


def test_values_keep_their_types(tmp_path: Path) -> None:
    write(tmp_path / "x.gguf")
    file = _core.ModelFile(tmp_path / "x.gguf")
    scalars = {"general.architecture": "llama", "u": 7, "i": -7, "f": 0.5, "yes": True}
    assert file.metadata() == scalars
    assert file.arrays() == [
        ("tokens", "string", 3),
        ("types", "i32", 2),
        ("scores", "f32", 2),
        ("flags", "bool", 2),
        ("none", "u64", 0),
    ]
    assert file.array("types") == [1, -2]
    assert file.tensors() == [("a", "f32", [5, 3], 60), ("b", "f32", [2], 8)]


def test_metadata_is_copied_exactly_and_keys_are_replaced(tmp_path: Path) -> None:
    write(tmp_path / "x.gguf")
    writer = _core.GgufWriter(
        tmp_path / "y.gguf",
        [("u", "u32", 8), ("general.file_type", "u32", 15)],
        TENSORS,
        copy=_core.ModelFile(tmp_path / "x.gguf"),
    )
    writer.write(DATA)
    writer.finish()
    write(tmp_path / "z.gguf", [*METADATA[:1], ("u", "u32", 8), *METADATA[2:], ("general.file_type", "u32", 15)])
    assert (tmp_path / "y.gguf").read_bytes() == (tmp_path / "z.gguf").read_bytes()


@pytest.mark.parametrize(
    ("kind", "value"), [("u32", -1), ("u8", 256), ("u32", "x"), ("[i32]", [1, "x"]), ("string", 5), ("u33", 1)]
)
def test_a_value_that_its_type_does_not_hold_is_refused(tmp_path: Path, kind: str, value: object) -> None:
    with pytest.raises(InvalidArgument, match=r'metadata key "key" is no .*: '):
        _core.GgufWriter(tmp_path / "x.gguf", [("key", kind, value)], TENSORS)
    assert not list(tmp_path.iterdir())


def test_rows_are_read_where_they_are_and_written_as_they_are(tmp_path: Path) -> None:
    write(tmp_path / "x.gguf")
    file = _core.ModelFile(tmp_path / "x.gguf")
    rows = file.read("a", 1, 2)
    assert len(rows) == 40
    assert bytes(rows) == DATA[20:60]
    file.release("a", 0, 3)
    assert bytes(rows) == DATA[20:60]
    writer = _core.GgufWriter(tmp_path / "y.gguf", METADATA, TENSORS)
    writer.write(file.read("a", 0, 3))
    writer.write(file.read("b", 0, 1))
    writer.finish()
    assert (tmp_path / "y.gguf").read_bytes() == (tmp_path / "x.gguf").read_bytes()
    encoded, _ = _core.encode(file.read("b", 0, 1), "f32", "f32", 2, threads=1)
    assert encoded == DATA[60:]
    for name, first, count in (("c", 0, 1), ("a", 0, 4), ("a", 3, 1)):
        with pytest.raises(InvalidArgument):
            file.read(name, first, count)
        with pytest.raises(InvalidArgument):
            file.release(name, first, count)


def test_an_unfinished_file_does_not_open_and_is_resumed(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    made_from = bytes(range(16))
    writer = _core.GgufWriter(path, METADATA, TENSORS, made_from=made_from)
    writer.write(DATA[:47])
    assert writer.position == (0, 47)
    del writer
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.gguf.part"]
    with pytest.raises(ModelFileError):
        _core.ModelFile(tmp_path / "x.gguf.part")
    writer = _core.GgufWriter(path, METADATA, TENSORS, resume=True, made_from=made_from)
    assert writer.position == (0, 40)
    writer.write(DATA[40:])
    assert writer.position == (2, 0)
    writer.finish()
    assert bytes(_core.ModelFile(path).read("a", 0, 3)) == DATA[:60]
    with pytest.raises(InvalidArgument, match="finished or discarded"):
        writer.write(b"x")
    writer = _core.GgufWriter(path, METADATA, TENSORS, replace=True, resume=True)
    assert writer.position == (0, 0)


def test_an_existing_file_stays_until_a_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"mine")
    with pytest.raises(InvalidArgument, match=r"exists already\nhint: .*--force"):
        _core.GgufWriter(path, METADATA, TENSORS)
    writer = _core.GgufWriter(path, METADATA, TENSORS, replace=True)
    writer.write(DATA[:60])
    with pytest.raises(InvalidArgument, match="0 of 8 bytes were written"):
        writer.finish()
    assert path.read_bytes() == b"mine"
    writer = _core.GgufWriter(path, METADATA, TENSORS, replace=True)
    writer.discard()
    writer.discard()
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.gguf"]


def test_when_the_system_takes_no_more_nothing_stays(tmp_path: Path) -> None:
    script = f"""
import resource, signal
from edgewise import _core
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = _core.GgufWriter({str(tmp_path / "x.gguf")!r}, [], [("a", "f32", [4096])])
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
writer.write(bytes(4 * 4096))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "SystemRefused" in run.stderr
    assert "x.gguf cannot be written: " in run.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemRefused, match="its folder must exist"):
        _core.GgufWriter(tmp_path / "none" / "x.gguf", METADATA, TENSORS)
