"""`edgewise run` as a program: stdout is the text alone, everything else is on stderr."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EDGEWISE = [sys.executable, "-m", "edgewise"]
ONCE = ["-p", "Once upon a time", "--temp", "0"]


def run(*arguments: str | Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*EDGEWISE, *map(str, arguments)]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


def test_stdout_is_the_text_and_stderr_the_speeds(story_model: Path) -> None:
    result = run("run", story_model, *ONCE, "-n", "16")
    assert result.returncode == 0
    assert result.stdout == ", there was a little girl named Lily. She loved to play\n"
    assert len(result.stderr.splitlines()) == 1
    for word in ("load", "first token", "prefill 5 tokens", "decode 16 tokens", "peak memory"):
        assert word in result.stderr


def test_the_familiar_flags_work(story_model: Path) -> None:
    result = run("run", "-m", story_model, "-n", "4", "-p", "Once upon a time", "--temp", "0", "-t", "1", "-c", "64")
    assert (result.returncode, result.stdout) == (0, ", there was a\n")


def test_quiet_leaves_stderr_empty(story_model: Path) -> None:
    assert run("run", story_model, *ONCE, "-n", "4", "-q").stderr == ""


def test_json_is_one_object_with_text_and_speeds(story_model: Path) -> None:
    result = run("run", story_model, *ONCE, "-n", "4", "--json")
    assert result.stderr == ""
    answer = json.loads(result.stdout)
    assert (answer["text"], answer["finish_reason"], answer["prompt_tokens"]) == (", there was a", "length", 5)
    assert answer["decode_tokens"] == 4
    assert answer["peak_memory_bytes"] > 0


def test_adapters_are_added_with_their_scales(demo_adapters: tuple[Path, Path]) -> None:
    first, second = demo_adapters
    ask = ["run", "demo", "-p", "What is a model?", "--temp", "0", "-n", "24", "-q", "--no-prompt-cache"]
    options = [[], [f"{first}=0.5"], [f"{first}=-0.5"], [f"{first}=0.5", str(second)]]
    answers = [run(*ask, *(f"--lora={adapter}" for adapter in adapters)) for adapters in options]
    assert [answer.returncode for answer in answers] == [0, 0, 0, 0]
    assert len({answer.stdout for answer in answers}) == 4
    assert run(*ask, "--lora", f"{first}=0").stdout == answers[0].stdout
    wrong = run(*ask, "--lora", "nowhere.gguf=0.5")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: nowhere.gguf: ")


def test_the_folder_of_an_adapter_says_how_to_convert_it(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    for arguments in (["demo", "--lora", tmp_path], [tmp_path]):
        wrong = run("run", *arguments, "-p", "x")
        assert wrong.stderr.splitlines() == [
            f"error: {tmp_path}: is a folder, not a GGUF file",
            "hint: this LoRA adapter must become a GGUF file first: edgewise convert DIR --base MODEL_DIR",
        ]


def test_weights_of_an_adapter_say_so_too(tmp_path: Path) -> None:
    path = tmp_path / "adapter_model.safetensors"
    path.write_bytes(b'\x02\0\0\0\0\0\0\0{""}')
    wrong = run("run", "demo", "--lora", path, "-p", "x")
    assert "edgewise convert DIR --base MODEL_DIR" in wrong.stderr


def test_a_prompt_comes_through_a_pipe(story_model: Path) -> None:
    assert run("run", story_model, "-n", "4", "--temp", "0", stdin="Once upon a time").stdout == ", there was a\n"


def test_stop_and_seed_are_obeyed(story_model: Path) -> None:
    assert run("run", story_model, *ONCE, "--stop", " girl", "--stop", "zebra").stdout == ", there was a little\n"
    first, second = (run("run", story_model, "-p", "Once", "-n", "20", "--seed", "5").stdout for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "/nowhere.gguf", "-p", "x"], "error: /nowhere.gguf: no such file"),
        (["run", "/", "-p", "x"], "error: /: is a folder, not a GGUF file"),
        (["run", "", "-p", "x"], "error: a model without a name: no such file"),
        (["show", "/nowhere.gguf"], "error: /nowhere.gguf: no such file"),
    ],
)
def test_a_failure_is_two_lines_and_no_traceback(arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (1, "")
    error, hint = result.stderr.splitlines()
    assert error == words
    assert hint.startswith("hint: ")


def test_a_file_that_is_no_model_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "page.gguf"
    path.write_text("<html>not found</html>")
    result = run("run", path, "-p", "x")
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "a", "-m", "b"],
        ["run", "a", "--nonsense"],
        ["bogus"],
        [],
        ["completion", "tcsh"],
        ["run", "-n"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr


def test_options_out_of_range_are_failures_that_are_named(story_model: Path) -> None:
    assert "threads must be at least 0" in run("run", story_model, *ONCE, "--threads", "-1").stderr
    assert "'four'" in run("run", story_model, *ONCE, EDGEWISE_THREADS="four").stderr
    assert "repeat_penalty" in run("run", story_model, *ONCE, "--repeat-penalty", "0").stderr


def test_a_system_message_needs_a_template(story_model: Path) -> None:
    result = run("run", story_model, *ONCE, "--system", "Be brief.")
    assert result.returncode == 1
    assert "no chat template" in result.stderr


def test_help_teaches_by_example_and_names_the_exit_codes() -> None:
    for arguments in (["--help"], ["run", "--help"]):
        result = run(*arguments)
        assert result.returncode == 0
        assert "edgewise run demo -p" in result.stdout
        assert "130 interrupted" in result.stdout


def test_the_version_is_that_of_the_core() -> None:
    from edgewise import __version__

    assert run("--version").stdout == f"edgewise {__version__}\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_a_long_prefill_at_once_with_exit_code_130(story_model: Path) -> None:
    words = "Once upon a time there was a little girl. " * 4000
    command = [*EDGEWISE, "run", str(story_model), "-c", "65536", "-b", "512", "--isa", "scalar", "-t", "1", "-n", "1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(words)
        process.stdin.close()
        time.sleep(1.5)  # it is in the middle of the prefill, which takes far longer
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
    assert process.returncode == 130


@pytest.mark.skipif(os.name == "nt", reason="pipes close differently on Windows")
def test_a_reader_that_leaves_is_no_failure(story_model: Path) -> None:
    line = f"{' '.join(EDGEWISE)} run {story_model} -p Once -n 400 --temp 0 -q | head -c 5"
    result = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False)
    assert (len(result.stdout), result.stderr, result.returncode) == (5, "", 0)
