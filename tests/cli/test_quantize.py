"""`edgewise quantize`: says what it does and why, and fails without leaving anything."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgewise import _core
from edgewise.cli import main
from edgewise.cli.argument_types import size_bytes
from edgewise.cli.progress import ProgressBar

DEMO = Path(__file__).parents[2] / "models" / "demo" / "demo-f16.gguf"
TEXT = DEMO.parents[2] / "benchmarks" / "texts" / "stories.txt"


def test_a_model_becomes_smaller_beside_its_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "demo-f16.gguf"
    source.symlink_to(DEMO)
    assert main(["quantize", str(source), "q4_k_m", "Q2_K"]) == 0
    output = capsys.readouterr()
    assert f"{source} -> {tmp_path / 'demo-q4_k_m.gguf'}\n" in output.out
    assert "more bits: attention values in the outer eighths and every third layer" in output.out
    assert "5.07 bits per weight" in output.out
    assert "until on the disk" in output.out
    assert output.err == ""
    assert {path.name for path in tmp_path.iterdir()} == {source.name, "demo-q4_k_m.gguf", "demo-q2_k.gguf"}


def test_a_dry_run_says_the_size_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "small.gguf"
    assert main(["quantize", str(DEMO), "q4_k_m", "--dry-run", "-o", str(path)]) == 0
    assert "(not written: --dry-run)" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    main(["quantize", str(DEMO), "q4_k_m", "--dry-run", "--json", "-o", str(path)])
    planned = json.loads(capsys.readouterr().out)["size_bytes"]
    main(["quantize", str(DEMO), "q4_k_m", "-q", "-o", str(path)])
    assert abs(planned - path.stat().st_size) < 1000


def test_verbose_has_a_line_for_every_tensor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["quantize", str(DEMO), "q4_k_m", "-v", "-o", str(tmp_path / "x.gguf")])
    lines = capsys.readouterr().out.splitlines()
    line = next(line for line in lines if line.startswith("blk.0.attn_q.weight"))
    assert line.split()[1:7] == ["256", "x", "256", "f16", "->", "q4_k"]
    assert re.search(r" [5-9]\.\d\d% ", line)  # the loss of four bits
    assert line.endswith("what q4_k_m gives most matrices")


def test_json_says_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.gguf"
    options = ["--tensor-type", "attn_v=q8_0", "--token-embedding", "Q5_K", "--json"]
    assert main(["quantize", str(DEMO), "q4_k_m", "-o", str(path), *options]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["size_bytes"] == path.stat().st_size
    assert facts["is_written"] is True
    tensors = {tensor["name"]: tensor for tensor in facts["tensors"]}
    assert tensors["blk.1.attn_v.weight"]["format"] == "q8_0"
    assert tensors["blk.1.attn_v.weight"]["reason"] == "asked for: --tensor-type attn_v=q8_0"
    assert 0 < tensors["blk.1.attn_v.weight"]["relative_error"] < 0.01
    assert tensors["token_embd.weight"]["format"] == "q5_k"
    assert tensors["output_norm.weight"]["relative_error"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: name a FORMAT, such as q4_k_m, or one of --target-size and --max-kld"),
        (["q4_k_m", "--target-size", "1GB"], "error: name a FORMAT, such as q4_k_m, or one of"),
        (["--max-kld", "0.1"], "error: --max-kld is measured on a text: name one with -f"),
        (["--max-kld", "-1"], "-1 is no divergence"),
        (["--target-size", "2 apples"], "2 apples is no size; write 2GB, 700MB or 1.5GiB"),
        (["q4_k_m", "q6_k", "-o", "x.gguf"], "error: -o names one file: give one FORMAT"),
        (["q4_k_m", "--tensor-type", "q8_0"], "q8_0 is no PATTERN=FORMAT, such as attn_v=q8_0"),
        (["q4_k_m", "--tensor-type", "attn_(=q8_0"], "attn_( is no regular expression"),
        (["q4_k_m", "--tensor-type", "attn_v=q9"], "no format is called 'q9'; known: f32, f16"),
        (["q4_k_m", "--output-tensor", "q4_k_m"], "no format is called 'q4_k_m'"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["quantize", str(DEMO), *arguments])
    except SystemExit as exit_of_argparse:
        code = int(exit_of_argparse.code or 0)
    assert code == 2
    assert message in capsys.readouterr().err


def test_a_file_is_made_for_a_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.gguf"
    assert main(["quantize", str(DEMO), "--target-size", "2.2MB", "-o", str(path), "-q"]) == 0
    assert 2.1e6 < path.stat().st_size <= 2.2e6
    assert "  measured: " in capsys.readouterr().out
    assert main(["quantize", str(DEMO), "--target-size", "1MB", "--dry-run"]) == 1
    assert "bytes at least, 1000000 are asked for" in capsys.readouterr().err


def test_a_file_is_made_for_a_divergence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, path = tmp_path / "text.txt", tmp_path / "x.gguf"
    text.write_text((Path(__file__).parents[2] / "benchmarks/texts/stories.txt").read_text()[:3000])
    options = ["--max-kld", "0.05", "-f", str(text), "-c", "128", "-q", "--json"]
    assert main(["quantize", str(DEMO), *options, "-o", str(path)]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert main(["eval", str(path), "--against", str(DEMO), "-f", str(text), "-c", "128", "-q", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)["divergence"]["mean"]["value"]
    assert planned["divergence"] == pytest.approx(measured)
    assert 0.02 < measured <= 0.05
    assert {entry.name for entry in tmp_path.iterdir()} == {"text.txt", "x.gguf"}


def test_an_unknown_mix_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", str(DEMO), "q9_z"]) == 1
    assert "hint: known: f32, f16, bf16, q8_0" in capsys.readouterr().err


def test_the_demo_is_quantized_already(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", "demo", "q4_k_m", "--dry-run"]) == 1
    assert "--allow-requantize" in capsys.readouterr().err
    assert main(["quantize", "demo", "q4_k_m", "--dry-run", "--allow-requantize"]) == 0
    assert "-> demo-q4_k_m.gguf (not" in capsys.readouterr().out


def test_an_existing_file_needs_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"mine")
    assert main(["quantize", str(DEMO), "q4_k_m", "-o", str(path)]) == 1
    assert "exists already\nhint: choose another name, or ask to replace it: --force" in capsys.readouterr().err
    assert main(["quantize", str(DEMO), "q4_k_m", "-o", str(path), "--force", "-q"]) == 0
    assert _core.ModelFile(path).tensors()


def test_an_interrupted_run_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.gguf"
    with monkeypatch.context() as patched:
        patched.setattr(ProgressBar, "update", _interrupt)
        assert main(["quantize", str(DEMO), "q4_k_m", "-o", str(path)]) == 130
    assert f"interrupted: --resume takes up {path}.part" in capsys.readouterr().err
    assert main(["quantize", str(DEMO), "q4_k_m", "-o", str(path), "--resume"]) == 0
    assert {entry.name for entry in tmp_path.iterdir()} == {"x.gguf"}


def test_with_resume_files_that_were_finished_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "d-f16.gguf"
    source.symlink_to(DEMO)
    assert main(["quantize", str(source), "q8_0", "-q"]) == 0
    before = (tmp_path / "d-q8_0.gguf").stat().st_mtime_ns
    assert main(["quantize", str(source), "q8_0", "q4_k_m", "-q"]) == 1
    assert not (tmp_path / "d-q4_k_m.gguf").exists(), "refused before the work"
    assert main(["quantize", str(source), "q8_0", "q4_k_m", "-q", "--resume"]) == 0
    assert "d-q8_0.gguf is whole already" in capsys.readouterr().err
    assert (tmp_path / "d-q8_0.gguf").stat().st_mtime_ns == before
    assert _core.ModelFile(tmp_path / "d-q4_k_m.gguf").tensors()
    (tmp_path / "d-q6_k.gguf").write_bytes(b"mine")
    assert main(["quantize", str(source), "q6_k", "-q", "--resume"]) == 1
    assert (tmp_path / "d-q6_k.gguf").read_bytes() == b"mine"


@pytest.mark.parametrize("aim", [["--max-kld", "0.05"], ["q4_k_m", "--report", "r.json"]])
def test_what_can_not_work_is_found_before_the_work(
    aim: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d-f16.gguf").symlink_to(DEMO)
    Path("text.txt").write_text("Too short.")
    assert main(["quantize", "d-f16.gguf", *aim, "-f", "text.txt", "-q"]) == 1
    assert "the text has" in capsys.readouterr().err
    for name in ("d-kld0.05.gguf", "d-q4_k_m.gguf", "r.json"):
        Path(name).write_text("mine")
    assert main(["quantize", "d-f16.gguf", *aim, "-f", str(TEXT), "-q"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {
        "d-f16.gguf",
        "text.txt",
        "d-kld0.05.gguf",
        "d-q4_k_m.gguf",
        "r.json",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    assert main(["quantize", str(DEMO), "q4_k_m", "-o", str(pipe), "--force", "-q"]) == 1
    assert "pipe.gguf is no regular file" in capsys.readouterr().err
    assert pipe.is_fifo()


def _interrupt(bar: ProgressBar, done: int, total: int, note: str = "") -> None:
    if note:
        raise KeyboardInterrupt


def test_a_terminal_gets_a_bar_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, seconds = Terminal(), iter(range(0, 1000, 10))
    monkeypatch.setattr(sys, "stderr", terminal)
    with ProgressBar("rows", clock=lambda: float(next(seconds))) as bar:
        bar.skip(100)
        bar.update(150, 400, "blk.0")
    assert "150 of 400 rows, 0:50 left, blk.0" in terminal.getvalue()


def test_elsewhere_a_line_comes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    file, seconds = io.StringIO(), iter([0.0, 1.0, 16.0, 20.0, 40.0])
    monkeypatch.setattr(sys, "stderr", file)
    with ProgressBar("rows", clock=lambda: next(seconds)) as bar:
        for done in (1, 16, 20, 40):
            bar.update(done, 40)
    assert [line.split("] ")[1] for line in file.getvalue().splitlines()] == [
        "16 of 40 rows, 0:24 left",
        "40 of 40 rows, 0:00 left",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2 * 10**9), ("700m", 7 * 10**8), ("1.5 GiB", 3 << 29), ("123", 123), ("7B", 7), ("64kib", 1 << 16)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.long
def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    source, rows, columns = tmp_path / "large-f16.gguf", 16384, 4096
    names = [f"blk.{layer}.ffn_up.weight" for layer in range(6)]
    writer = _core.GgufWriter(source, [], [(name, "f16", [columns, rows]) for name in names])
    for _ in names:
        writer.write(bytes(2 * rows * columns))
    writer.finish()
    command = [sys.executable, "-m", "edgewise", "quantize", str(source), "q8_0", "--json"]
    facts = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert facts["source_bytes"] > 800e6
    assert facts["peak_memory_bytes"] < 150e6


def test_a_report_needs_files_and_a_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report = ["--report", str(tmp_path / "report.json")]
    assert main(["quantize", str(DEMO), "q4_k_m", *report]) == 2
    assert "--report is measured on a text" in capsys.readouterr().err
    assert main(["quantize", str(DEMO), "q4_k_m", "--dry-run", "-f", "text.txt", *report]) == 2
    assert "and --dry-run writes none" in capsys.readouterr().err
    assert main(["quantize", str(DEMO), "q4_k_m", "-f", str(TEXT), "--report", "report.pdf"]) == 1
    assert not list(tmp_path.iterdir())


def test_a_report_measures_what_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewise.evaluate.speed.ROUNDS", 1)
    source = tmp_path / "demo-f16.gguf"
    source.symlink_to(DEMO)
    report = tmp_path / "report.html"
    options = ["-f", str(TEXT), "--context", "64", "--chunks", "4", "-q"]
    assert main(["quantize", str(source), "q8_0", "q2_k", "--report", str(report), *options]) == 0
    assert "| q2_k | 1." in capsys.readouterr().out
    facts = json.loads(report.with_suffix(".json").read_text())
    assert [one["name"] for one in facts["results"]] == ["q8_0", "q2_k"]
    assert facts["command"].startswith("edgewise quantize ")
    assert facts["circumstances"]["chunks"] == 4
    assert "</svg>" in report.read_text()
