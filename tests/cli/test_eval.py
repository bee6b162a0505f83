"""`edgewise eval` and `imatrix`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewise.cli import main, progress
from edgewise.cli.progress import ProgressBar
from edgewise.quantize import imatrix
from speed.quality_models import DEMO_SOURCE, TEXT

ON_TEXT = ["-f", str(TEXT), "--context", "64", "--chunks", "4"]


def test_eval_prints_perplexity_and_speed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "demo", *ON_TEXT]) == 0
    output = capsys.readouterr()
    assert [line.split()[0] for line in output.out.splitlines()] == ["perplexity", "scored", "speed"]
    assert "124 tokens in 4 chunks of 64" in output.out
    assert output.err == ""


def test_eval_prints_the_divergence_from_another_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "demo", "--against", str(DEMO_SOURCE), *ON_TEXT]) == 0
    lines = {line[:20].strip(): line[20:] for line in capsys.readouterr().out.splitlines()}
    assert lines["against"] == str(DEMO_SOURCE)
    assert 0 < float(lines["KL divergence, mean"].split()[0]) < 0.01
    assert lines["same top token"].endswith("%")


def test_eval_says_it_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "demo", "--against", str(DEMO_SOURCE), "--json", *ON_TEXT]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["positions"], facts["chunks"], facts["context"]) == (124, 4, 64)
    assert facts["perplexity"]["error"] > 0
    assert facts["divergence"]["maximum"] >= facts["divergence"]["percentile_99"] >= facts["divergence"]["median"]
    assert facts["tokens_per_second"] > 0


def test_eval_of_a_context_beyond_the_models_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "demo", "-f", str(TEXT), "-c", "600", "--chunks", "1"]) == 0
    assert "was trained for 512 tokens of context, not for 600" in capsys.readouterr().err


def test_eval_without_a_text_that_is_there_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "demo", "-f", "nowhere.txt"]) == 1
    assert capsys.readouterr().err.startswith("error: nowhere.txt: ")


def test_imatrix_writes_a_file_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "imatrix.gguf"
    assert main(["imatrix", "demo", "-o", str(path), *ON_TEXT]) == 0
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", f"{path}: 28 tensors, 256 tokens of stories.txt\n")
    matrix = imatrix.read(path)
    assert (matrix.datasets, matrix.chunk_count, matrix.chunk_size) == (("stories.txt",), 4, 64)


def test_imatrix_replaces_a_file_only_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "imatrix.gguf"
    path.write_bytes(b"mine")
    assert main(["imatrix", "demo", "-o", str(path), *ON_TEXT]) == 1
    assert "ask to replace it: --force" in capsys.readouterr().err
    assert path.read_bytes() == b"mine"
    assert main(["imatrix", "demo", "-o", str(path), "--force", *ON_TEXT]) == 0
    assert imatrix.read(path).entries


def test_a_progress_bar_says_how_long_it_will_take() -> None:
    assert progress.bar(3, 12, "chunks", 30.0, "perplexity 5.2") == (
        "[#######-----------------------] 3 of 12 chunks, 1:30 left, perplexity 5.2"
    )
    assert progress.duration(3847) == "1:04:07"


def test_a_progress_bar_is_for_terminals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with ProgressBar("chunks") as shown:
        shown.update(1, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with ProgressBar("chunks", is_quiet=True) as shown:
        shown.update(1, 2)
    assert capsys.readouterr().err == ""
    with ProgressBar("chunks") as shown:
        shown.update(1, 2)
        shown.update(2, 2)
    lines = capsys.readouterr().err.split("\r")
    assert lines[1].rstrip().endswith("1 of 2 chunks, 0:00 left")
    assert lines[-2].strip() == ""
