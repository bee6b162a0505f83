"""A split model is the same model, and merged again the same file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise import _core
from edgewise.cli import main
from edgewise.errors import InvalidArgument, ModelFileError
from edgewise.quantize import bands
from edgewise.quantize.shards import bare_name, merge, split
from quantize.models import model


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("most_bytes", [300_000, 700_000, 1_500_000])
def test_no_shard_is_larger_than_asked(tmp_path: Path, most_bytes: int) -> None:
    source = model(tmp_path)
    paths = split(source, tmp_path / "part", most_bytes=most_bytes)
    assert len(paths) > 1
    largest_tensor = max(size for *_, size in _core.ModelFile(source).tensors())
    for path in paths:
        assert path.stat().st_size <= max(most_bytes, largest_tensor + 1000)


@pytest.mark.parametrize("most_tensors", [1, 7, 20])
def test_merged_again_it_is_the_same_file(tmp_path: Path, most_tensors: int) -> None:
    source = model(tmp_path)
    paths = split(source, tmp_path / "part", most_tensors=most_tensors)
    assert paths[0].name == f"part-00001-of-{len(paths):05}.gguf"
    merged = tmp_path / "merged.gguf"
    assert merge(paths[-1], merged) == merged.stat().st_size
    whole, again = _core.ModelFile(source), _core.ModelFile(merged)
    assert again.metadata() == whole.metadata()
    assert again.tensors() == whole.tensors()
    for name, _, shape, _ in whole.tensors():
        rows = shape[1] if len(shape) > 1 else 1
        assert bytes(again.read(name, 0, rows)) == bytes(whole.read(name, 0, rows))


def test_shards_say_where_they_belong(tmp_path: Path) -> None:
    source = model(tmp_path)
    paths = split(source, tmp_path / "part", most_tensors=12)
    opened = _core.ModelFile(paths[1])
    assert opened.tensors() == _core.ModelFile(source).tensors()
    metadata = opened.metadata()
    count = len(opened.tensors())
    assert (metadata["split.no"], metadata["split.count"], metadata["split.tensors.count"]) == (0, len(paths), count)


def test_a_split_model_is_quantized_as_a_whole_one(tmp_path: Path) -> None:
    source = model(tmp_path)
    first = split(source, tmp_path / "part-f16", most_tensors=9)[0]
    assert main(["quantize", str(source), "q4_k_m", "-q"]) == 0
    assert main(["quantize", str(first), "q4_k_m", "-q"]) == 0
    assert (tmp_path / "part-q4_k_m.gguf").read_bytes() == (tmp_path / "model-q4_k_m.gguf").read_bytes()


def test_a_missing_shard_is_named_and_nothing_stays(tmp_path: Path) -> None:
    paths = split(model(tmp_path), tmp_path / "part", most_tensors=12)
    paths[1].unlink()
    before = names(tmp_path)
    with pytest.raises(ModelFileError, match=paths[1].name):
        merge(paths[0], tmp_path / "merged.gguf")
    assert names(tmp_path) == before


def test_what_fits_one_file_is_not_split(tmp_path: Path) -> None:
    source = model(tmp_path)
    with pytest.raises(InvalidArgument, match="nothing to split"):
        split(source, tmp_path / "part", most_bytes=10**9)
    with pytest.raises(InvalidArgument, match="nothing to merge"):
        merge(source, tmp_path / "merged.gguf")
    assert names(tmp_path) == {source.name}


def test_existing_files_stay_unless_they_are_to_be_replaced(tmp_path: Path) -> None:
    source = model(tmp_path)
    paths = split(source, tmp_path / "part", most_tensors=12)
    paths[0].unlink()
    with pytest.raises(InvalidArgument, match=rf"{paths[1].name} exists already"):
        split(source, tmp_path / "part", most_tensors=12)
    assert not paths[0].exists()
    split(source, tmp_path / "part", most_tensors=12, replace_files=True)
    (tmp_path / "merged.gguf").write_bytes(b"mine")
    with pytest.raises(InvalidArgument, match="exists already"):
        merge(paths[0], tmp_path / "merged.gguf")
    with pytest.raises(InvalidArgument, match="is part of the model"):
        merge(paths[0], paths[0], replace_file=True)
    with pytest.raises(InvalidArgument, match="is part of the model"):
        merge(paths[0], paths[1], replace_file=True)
    assert main(["quantize", str(paths[0]), "q4_k_m", "-o", str(paths[1]), "--force", "-q"]) == 1
    assert _core.ModelFile(paths[0]).tensors()


@pytest.mark.parametrize(("most_bytes", "most_tensors"), [(0, None), (None, 0), (None, -1)])
def test_a_file_must_hold_something(tmp_path: Path, most_bytes: int | None, most_tensors: int | None) -> None:
    with pytest.raises(InvalidArgument, match="at least one byte and one tensor"):
        split(model(tmp_path), tmp_path / "part", most_bytes=most_bytes, most_tensors=most_tensors)


@pytest.mark.parametrize("shards_done", [0, 3])
def test_an_interruption_leaves_no_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards_done: int) -> None:
    source = model(tmp_path)
    monkeypatch.setattr(bands, "_BAND_VALUES", 1 << 12)
    there = 1 + shards_done

    def interrupt(done: int, total: int, name: str) -> None:
        if name and len(names(tmp_path)) > there:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split(source, tmp_path / "part", most_tensors=3, progress=interrupt)
    assert names(tmp_path) == {source.name}
    paths = split(source, tmp_path / "part", most_tensors=12)
    there = 1 + len(paths)
    with pytest.raises(KeyboardInterrupt):
        merge(paths[0], tmp_path / "merged.gguf", progress=interrupt)
    assert names(tmp_path) == {source.name, *(path.name for path in paths)}


@pytest.mark.parametrize(
    ("path", "bare"),
    [("a/model.gguf", "a/model"), ("model-00002-of-00003.gguf", "model"), ("model", "model")],
)
def test_bare_names(path: str, bare: str) -> None:
    assert bare_name(Path(path)) == Path(bare)


def test_the_verbs_print_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = model(tmp_path)
    assert main(["split", str(source), "--max-size", "700kB"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == str(tmp_path / f"model-f16-00001-of-{len(printed):05}.gguf")
    assert main(["merge", printed[0], "-o", str(tmp_path / "again.gguf")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'again.gguf'}\n"
    assert main(["split", str(source), "--max-tensors", "0"]) == 1
