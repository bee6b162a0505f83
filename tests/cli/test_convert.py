"""`edgewise convert` at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convert.cases import CASES
from convert.folders import GOLDEN, write_adapter, write_folder
from edgewise.cli import main

FIGURES = json.loads((GOLDEN / "figures.json").read_text())["cases"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_folder(tmp_path / "llama", CASES["llama"], FIGURES["llama"])


def test_the_path_goes_to_stdout_and_a_summary_to_stderr(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(folder), "--format", "q8_0"]) == 0
    out, err = capsys.readouterr()
    assert out == "llama-q8_0.gguf\n"
    assert "q8_0" in err
    assert Path("llama-q8_0.gguf").exists()


def test_the_file_that_was_made_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(folder), "-o", "model.gguf", "-q"]) == 0
    assert main(["run", "model.gguf", "--raw", "-p", "To be", "-n", "4", "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_an_existing_file_is_an_error_until_it_is_forced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(folder), "-o", "model.gguf"]) == 0
    assert main(["convert", str(folder), "-o", "model.gguf"]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["convert", str(folder), "-o", "model.gguf", "--force"]) == 0


def test_json_says_what_was_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["path"] == "llama-f16.gguf"
    assert report["size_bytes"] == Path("llama-f16.gguf").stat().st_size
    assert report["formats"] == {"f16": 16, "f32": 6}


def test_adapters_are_merged_or_written_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapter = str(write_adapter(Path("adapter"), "llama-lora", FIGURES["llama-lora"]))
    assert main(["convert", str(folder), "--lora", adapter, "-o", "merged.gguf"]) == 0
    assert main(["convert", str(folder), "--lora", f"{adapter}=0.5", "-o", "half.gguf"]) == 0
    assert Path("merged.gguf").read_bytes() != Path("half.gguf").read_bytes()
    capsys.readouterr()
    assert main(["convert", adapter, "--base", str(folder)]) == 0
    assert capsys.readouterr().out == "adapter-lora-f32.gguf\n"


def test_a_folder_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "nowhere"]) == 1
    assert "no model folder" in capsys.readouterr().err


def test_what_follows_the_equals_sign_is_a_scale_only_if_it_is_a_number(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_adapter(Path("a=b:0.5"), "llama-lora", FIGURES["llama-lora"])
    assert main(["convert", str(folder), "--lora", "a=b:0.5", "-o", "merged.gguf"]) == 0
    assert main(["convert", str(folder), "--lora", "a=b:0.5=nan", "-o", "wrong.gguf"]) == 1
    assert "a=b:0.5: its scale is nan" in capsys.readouterr().err


def test_a_base_is_for_adapters_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(folder), "--base", str(folder)]) == 2
    assert "llama has no adapter_config.json" in capsys.readouterr().err
    assert not list(Path().glob("*.gguf"))


@pytest.mark.parametrize(
    "option", [["--lora", "other"], ["--name", "Small"], ["--resume"], ["--pre-tokenizer", "qwen2"], ["--threads", "1"]]
)
def test_options_of_models_are_refused_for_an_adapter_alone(
    option: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = str(write_adapter(Path("adapter"), "llama-lora", FIGURES["llama-lora"]))
    assert main(["convert", adapter, "--base", str(folder), *option]) == 2
    assert f"error: {option[0]}: for models only" in capsys.readouterr().err
    assert not list(Path().glob("*.gguf"))
