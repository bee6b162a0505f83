"""`edgewise show`, `doctor` and `completion`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from edgewise.cli import VERBS, main


def test_show_says_what_is_in_a_file(story_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(story_model)]) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines() if " " in line.strip())
    assert lines["architecture"] == "llama"
    assert lines["parameters"] == "260,032"
    assert lines["context"] == "512"
    assert lines["engine"] == "native"
    assert lines["f32"].split()[0] == "47"


def test_show_lists_tensors(story_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", str(story_model), "--tensors"])
    assert "blk.4.ffn_up.weight" in capsys.readouterr().out


def test_show_says_it_as_json(story_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", str(story_model), "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["formats"] == {"f32": {"tensors": 47, "size_bytes": 260032 * 4}}
    assert facts["metadata"]["llama.context_length"] == 512
    assert facts["arrays"]["tokenizer.ggml.tokens"] == {"type": "string", "count": 512}
    assert facts["runs_in_core"] is True


def test_show_of_a_template_that_is_not_there_fails(story_model: Path) -> None:
    assert main(["show", str(story_model), "--template"]) == 1


def test_show_of_a_vocabulary_says_why_it_does_not_run(vocabularies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(vocabularies / "ggml-vocab-qwen2.gguf"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["vocabulary"] > 100_000
    assert facts["runs_in_core"] is False
    assert facts["refusal"]


def test_show_of_an_adapter_says_how_it_is_used(
    demo_adapters: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(demo_adapters[0])]) == 0
    assert "--lora" in capsys.readouterr().out


def test_doctor_explains_its_choice_of_threads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    assert "CPU" in output
    assert "scalar" in output
    main(["doctor", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["threads"]["used"] >= 1
    assert facts["threads"]["reasons"]
    assert facts["instruction_sets"]["used"] in facts["instruction_sets"]["available"]


def test_doctor_clamps_what_the_environment_asks_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWISE_THREADS", "4096")
    main(["doctor", "--json"])
    threads = json.loads(capsys.readouterr().out)["threads"]
    assert (threads["asked"], threads["used"]) == (4096, threads["limit"])


def test_doctor_says_where_prompts_are_kept_and_how_much_they_may_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWISE_CACHE_FOLDER", "/nowhere")
    monkeypatch.setenv("EDGEWISE_PROMPT_CACHE_BYTES", "5000000")
    assert main(["doctor"]) == 0
    assert "prompt cache  0 of 5 MB in /nowhere/prompts\n" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_verb_and_its_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(verb in script for verb in VERBS)
    assert "top-k" in script


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_sound(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    main(["completion", shell])
    script = capsys.readouterr().out
    check = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False)
    assert (check.returncode, check.stderr) == (0, "")


def test_bash_completes_verbs_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    main(["completion", "bash"])
    script = capsys.readouterr().out

    def completed(*words: str) -> list[str]:
        line = (
            f'COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; _edgewise; printf "%s " "${{COMPREPLY[@]}}"'
        )
        result = subprocess.run(["bash", "-c", script + line], capture_output=True, text=True, check=True)
        return result.stdout.split()

    assert completed("edgewise", "ru") == ["run"]
    assert completed("edgewise", "run", "--top-") == ["--top-k", "--top-p"]
    assert completed("edgewise", "doctor", "--j") == ["--json"]
