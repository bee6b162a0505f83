"""Files appear whole or not at all, whatever happens on the way."""

from __future__ import annotations

import shutil
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from edgewise import _core
from edgewise.errors import InvalidArgument, SystemRefused
from edgewise.quantize import bands
from edgewise.quantize.bands import Written
from edgewise.quantize.mixes import MIXES
from edgewise.quantize.work import SourceModel, open_source, plan_mix, save
from quantize.models import model, spoil

FORMATS = [name for name in MIXES if name != "f32"]


def quantize(
    source: SourceModel, path: Path, mix: str = "q4_k_m", *, resume: bool = False, threads: int = 1
) -> Written:
    return save(source, plan_mix(source, MIXES[mix]), path, resume=resume, threads=threads)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def narrow_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of a few rows, so that a small model has many."""
    monkeypatch.setattr(bands, "_BAND_VALUES", 1 << 12)


class Interrupted:
    """Interrupts a run after so many bands."""

    def __init__(self, bands_left: int) -> None:
        self.bands_left = bands_left

    def __call__(self, done: int, total: int, name: str) -> None:
        self.bands_left -= bool(name)
        if self.bands_left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("mix", FORMATS)
def test_a_file_holds_what_encoding_whole_tensors_gives(tmp_path: Path, narrow_bands: None, mix: str) -> None:
    source = open_source(model(tmp_path))
    plan = plan_mix(source, MIXES[mix])
    written = quantize(source, tmp_path / "out.gguf", mix)
    result = _core.ModelFile(tmp_path / "out.gguf")
    assert result.size_bytes == written.size_bytes == (tmp_path / "out.gguf").stat().st_size
    for tensor in plan.tensors:
        name, kind = tensor.source.name, tensor.source.format
        data = bytes(source.file.read(name, 0, tensor.rows))
        if kind != tensor.format:
            data, (error, weights) = _core.encode(data, kind, tensor.format, tensor.columns, threads=1)
            assert written.losses[name].relative == pytest.approx((error / weights) ** 0.5)
        assert bytes(result.read(name, 0, tensor.rows)) == data
    assert set(written.losses) == {tensor.source.name for tensor in plan.tensors if not tensor.is_copied}


def test_the_number_of_threads_changes_no_byte(tmp_path: Path, narrow_bands: None) -> None:
    source = open_source(model(tmp_path))
    quantize(source, tmp_path / "one.gguf", threads=1)
    quantize(source, tmp_path / "many.gguf", threads=3)
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "many.gguf").read_bytes()


def test_importance_of_experts_is_that_of_their_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "_BAND_VALUES", 5 * 256)
    weights = [((7 * i) % 31 - 15) / 16 for i in range(2 * 8 * 256)]
    source = tmp_path / "source.gguf"
    name = "blk.0.ffn_up_exps.weight"
    writer = _core.GgufWriter(source, [("general.architecture", "string", "x")], [(name, "f32", [256, 8, 2])])
    writer.write(array("f", weights).tobytes())
    writer.finish()
    file = _core.ModelFile(source)
    opened = open_source(source)
    halves = [array("f", [1.0 + (i % 3) for i in range(256)]), array("f", [100.0 - (i % 97) for i in range(256)])]
    plan = plan_mix(opened, MIXES["q4_k_s"])
    bands.write(plan, file, bands.Target(tmp_path / "out.gguf"), importance={name: halves[0] + halves[1]}, threads=1)
    expected = b"".join(
        _core.encode(
            bytes(file.read(name, 8 * half, 8)), "f32", "q4_k", 256, importance=halves[half].tobytes(), threads=1
        )[0]
        for half in (0, 1)
    )
    assert bytes(_core.ModelFile(tmp_path / "out.gguf").read(name, 0, 16)) == expected


def test_an_interrupted_file_is_taken_up_where_it_was_left(tmp_path: Path, narrow_bands: None) -> None:
    source = open_source(model(tmp_path))
    plan = plan_mix(source, MIXES["q4_k_m"])
    save(source, plan, tmp_path / "whole.gguf", threads=1)
    path = tmp_path / "out.gguf"
    for stop in (0, 1, 7, 60, 61):
        with pytest.raises(KeyboardInterrupt):
            save(source, plan, path, threads=1, resume=True, progress=Interrupted(stop))
        assert names(tmp_path) == {"model-f16.gguf", "whole.gguf", "out.gguf.part"}
    reports: list[tuple[int, str]] = []
    save(source, plan, path, threads=1, resume=True, progress=lambda done, total, name: reports.append((done, name)))
    assert reports[0][0] > 0
    assert reports[0][1] == ""
    assert reports[-1][0] == sum(tensor.values for tensor in plan.tensors)
    assert path.read_bytes() == (tmp_path / "whole.gguf").read_bytes()
    assert names(tmp_path) == {"model-f16.gguf", "whole.gguf", "out.gguf"}


def test_other_work_is_not_taken_up(tmp_path: Path, narrow_bands: None) -> None:
    source = open_source(model(tmp_path))
    path = tmp_path / "out.gguf"
    with pytest.raises(KeyboardInterrupt):
        save(source, plan_mix(source, MIXES["q4_k_m"]), path, threads=1, progress=Interrupted(9))
    with pytest.raises(InvalidArgument, match=r"out.gguf.part was begun from something else"):
        quantize(source, path, "q4_k_s", resume=True)
    spoil(tmp_path / "model-f16.gguf", "blk.1.attn_q.weight", 3, 0.5)
    with pytest.raises(InvalidArgument, match=r"without --resume"):
        quantize(open_source(tmp_path / "model-f16.gguf"), path, resume=True)
    quantize(source, path)
    assert names(tmp_path) == {"model-f16.gguf", "out.gguf"}


def test_a_killed_run_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    source = model(tmp_path)
    code = (
        "import os, sys; from pathlib import Path; from edgewise.quantize import bands, work;"
        "from edgewise.quantize.mixes import MIXES; bands._BAND_VALUES = 1 << 12;"
        "source = work.open_source(Path(sys.argv[1]));"
        "stop = lambda done, total, name: done > total // 2 and os._exit(9);"
        "work.save(source, work.plan_mix(source, MIXES['q4_k_m']), Path(sys.argv[2]), progress=stop)"
    )
    path = tmp_path / "out.gguf"
    assert subprocess.run([sys.executable, "-c", code, source, path], check=False).returncode == 9
    assert names(tmp_path) == {source.name, "out.gguf.part"}
    opened = open_source(source)
    quantize(opened, path, resume=True)
    quantize(opened, tmp_path / "whole.gguf")
    assert path.read_bytes() == (tmp_path / "whole.gguf").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("source_format", ["f16", "f32"])
def test_weights_that_are_not_finite_are_named_and_nothing_stays(
    tmp_path: Path, narrow_bands: None, source_format: str, value: float
) -> None:
    path = model(tmp_path, source_format)
    spoil(path, "blk.1.ffn_up.weight", 300 * 256 + 17, value)
    with pytest.raises(InvalidArgument) as caught:
        quantize(open_source(path), tmp_path / "out.gguf")
    assert caught.value.message.startswith('tensor "blk.1.ffn_up.weight": row 300, column 17 is ')
    assert names(tmp_path) == {path.name}


def test_weights_that_are_too_large_for_f16_are_named(tmp_path: Path) -> None:
    path = model(tmp_path, "f32")
    spoil(path, "blk.0.attn_q.weight", 5, 1e6)
    with pytest.raises(InvalidArgument, match=r'tensor "blk.0.attn_q.weight": row 0, column 5 is 1e6; f16 holds'):
        quantize(open_source(path), tmp_path / "out.gguf", "f16")


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of file sizes there")
def test_a_disk_that_takes_no_more_is_named_and_nothing_stays(tmp_path: Path) -> None:
    source = model(tmp_path)
    code = (
        "import resource, sys; from pathlib import Path; from edgewise.cli import main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000));"
        "sys.exit(main(['quantize', sys.argv[1], 'q4_k_m']))"
    )
    result = subprocess.run([sys.executable, "-c", code, source], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {tmp_path / 'model-q4_k_m.gguf'} cannot be written: File too large")
    assert names(tmp_path) == {source.name}


def test_too_little_space_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(model(tmp_path))
    size_bytes = plan_mix(source, MIXES["q4_k_m"]).size_bytes
    usage = type(shutil.disk_usage(tmp_path))(10**9, 10**9 - size_bytes + 1, size_bytes - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(SystemRefused, match=rf"needs {size_bytes} bytes, its disk has {size_bytes - 1} left"):
        quantize(source, tmp_path / "out.gguf")
    assert names(tmp_path) == {"model-f16.gguf"}


def test_an_existing_file_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    source = open_source(model(tmp_path))
    path = tmp_path / "out.gguf"
    path.write_bytes(b"mine")
    with pytest.raises(InvalidArgument, match="exists already"):
        quantize(source, path)
    assert path.read_bytes() == b"mine"
    save(source, plan_mix(source, MIXES["q8_0"]), path, replace=True)
    assert _core.ModelFile(path).tensors()


def test_the_source_is_never_the_target(tmp_path: Path) -> None:
    path = model(tmp_path)
    with pytest.raises(InvalidArgument, match="is the model that is quantized"):
        save(open_source(path), plan_mix(open_source(path), MIXES["q8_0"]), path, replace=True)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemRefused, match="its folder must exist"):
        quantize(open_source(model(tmp_path)), tmp_path / "nowhere" / "out.gguf")
