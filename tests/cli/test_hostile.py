"""Odd files, arguments and streams: a message and an exit code, never a traceback."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from edgewise import Engine, EngineConfig, GenerateOptions
from edgewise.chat.conversation import Conversation
from edgewise.cli import main, sampling_arguments, verb_parser
from edgewise.cli import run as run_verb
from edgewise.cli.repl import Repl

EDGEWISE = [sys.executable, "-m", "edgewise"]
HUGE = "9" * 23


def with_metadata(source: Path, target: Path, **values: str | float | bool) -> Path:
    """A copy of a GGUF file with more metadata, `__` for a dot in its keys."""
    data = source.read_bytes()

    def pair(key: str, value: str | float | bool) -> bytes:
        name = struct.pack("<Q", len(key)) + key.encode()
        if isinstance(value, str):
            return name + struct.pack("<IQ", 8, len(value.encode())) + value.encode()
        if isinstance(value, bool):
            return name + struct.pack("<I?", 7, value)
        return name + (struct.pack("<If", 6, value) if isinstance(value, float) else struct.pack("<Ii", 5, value))

    pairs = b"".join(pair(key.replace("__", "."), value) for key, value in values.items())
    # Whole steps of 32 bytes leave the tensors as aligned as they were.
    pairs += pair("test.filler", "x" * (-len(pairs + pair("test.filler", "")) % 32))
    count = struct.unpack_from("<Q", data, 16)[0] + len(values) + 1
    target.write_bytes(data[:16] + struct.pack("<Q", count) + pairs + data[24:])
    return target


def run(*arguments: str | Path, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [*EDGEWISE, *map(str, arguments)]
    return subprocess.run(
        command, input=stdin, capture_output=True, env={**os.environ, **environment}, check=False, timeout=60
    )


@pytest.mark.parametrize(
    "values",
    [
        {"general__sampling__top_k": 3.5},
        {"general__sampling__top_k": True},
        {"general__sampling__penalty_last_n": 2.5},
        {"general__sampling__temp": float("nan")},
        {"general__sampling__penalty_repeat": 0.0},
    ],
    ids=str,
)
def test_sampling_metadata_that_does_not_fit_is_left_out(
    story_model: Path, tmp_path: Path, values: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    path = with_metadata(story_model, tmp_path / "odd.gguf", **values)
    assert main(["run", str(path), "-p", "Once", "-n", "2", "-q", "--temp", "0"]) == 0
    assert capsys.readouterr().err == ""


def test_sampling_metadata_that_fits_holds(story_model: Path, tmp_path: Path) -> None:
    path = with_metadata(story_model, tmp_path / "k.gguf", general__sampling__top_k=7, general__sampling__temp=0.5)
    parser = verb_parser("run", run_verb)
    with Engine.open(path) as engine:
        chosen = sampling_arguments.options(parser.parse_args([]), engine.metadata)
    assert (chosen.top_k, chosen.temperature) == (7, 0.5)


@pytest.mark.parametrize("option", ["-c", "-t", "-b", "-n", "--gpu-layers", "--top-k", "--seed"])
@pytest.mark.parametrize("number", [HUGE, f"-{HUGE}"])
def test_a_number_that_no_machine_has_is_wrong_usage(
    option: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", "demo", "-p", "x", f"{option}={number}" if option.startswith("--") else f"{option}{number}"])
    assert caught.value.code == 2
    assert "out of range" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["-p", "--system", "--stop"])
def test_an_argument_that_is_no_text_is_wrong_usage(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", "demo", "-n", "1", option, os.fsdecode(b"a\xff") if os.name != "nt" else "a\ud800"])
    assert caught.value.code == 2
    assert "is not UTF-8" in capsys.readouterr().err


def test_output_goes_on_where_the_encoding_ends(story_model: Path, tmp_path: Path) -> None:
    path = with_metadata(story_model, tmp_path / "named.gguf", tokenizer__chat_template="日本 é")
    text = run("show", path, "--template", PYTHONIOENCODING="cp1252")
    assert (text.returncode, text.stderr) == (0, b"")
    assert text.stdout.rstrip() == ("日本 é".encode() if os.name == "nt" else b"?? \xe9")
    facts = json.loads(run("show", path, "--json", PYTHONIOENCODING="cp1252").stdout)
    assert facts["metadata"]["tokenizer.chat_template"] == "日本 é"


def test_a_prompt_from_a_pipe_is_utf8_whatever_the_locale(story_model: Path) -> None:
    def tokens(prompt: bytes) -> int:
        result = run("run", story_model, "-n", "1", "--json", stdin=prompt, PYTHONIOENCODING="cp1252")
        return int(json.loads(result.stdout)["prompt_tokens"])

    assert tokens("日本".encode()) == tokens(b"\xef\xbb\xbf" + "日本".encode())
    assert tokens(b"Once \xff upon") == tokens("Once \ufffd upon".encode())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("verb", [["run", "demo", "-p", "Hi", "-n", "4"], ["show", "demo"], ["--version"]])
def test_a_full_disk_is_a_failure(verb: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run([*EDGEWISE, *verb], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no way to start a program with closed streams")
@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-"])
def test_a_closed_stream_is_no_traceback(closed: str, tmp_path: Path) -> None:
    # bash's own redirection; what Python may say goes to a file that is opened first.
    line = f"exec 2> errors; {' '.join(EDGEWISE)} run demo -p Hi -n 2 -q {closed}"
    result = subprocess.run(["bash", "-c", line], cwd=tmp_path, stdout=subprocess.DEVNULL, check=False)
    assert (result.returncode, (tmp_path / "errors").read_text()) == (0, "")


def test_metadata_does_not_steer_the_terminal(
    story_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    escape = "\x1b]0;owned\x07\x9b31m"
    path = with_metadata(story_model, tmp_path / f"{escape}.gguf", general__basename=escape)
    main(["show", str(path)])
    main(["show", str(path), "--json"])
    main(["show", str(tmp_path / f"{escape}-away.gguf")])
    output = capsys.readouterr()
    assert not {"\x1b", "\x07", "\x9b"} & set(output.out + output.err)
    assert "\\x1b]0;owned" in output.err


def test_json_has_no_nan(story_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    path = with_metadata(story_model, tmp_path / "nan.gguf", test__nan=float("nan"), test__inf=float("-inf"))
    main(["show", str(path), "--json"])
    metadata = json.loads(capsys.readouterr().out, parse_constant=refuse)["metadata"]
    assert (metadata["test.nan"], metadata["test.inf"]) == (None, None)


@pytest.mark.parametrize("verb", [["run", "-p", "Hi", "-n", "2"], ["show", "--template"]])
def test_a_chat_template_that_is_no_text_is_a_fault_of_the_file(
    story_model: Path, tmp_path: Path, verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = with_metadata(story_model, tmp_path / "template.gguf", tokenizer__chat_template=5)
    assert main([verb[0], str(path), *verb[1:]]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert "tokenizer.chat_template" in error
    assert hint.startswith("hint: ")
    assert main(["run", str(path), "--raw", "-p", "Hi", "-n", "2", "-q"]) == 0


def test_a_prompt_that_is_too_long_says_what_gives_room(story_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(story_model), "-c", "16", "-p", "Once upon a time " * 9]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert "exceed context window" in error
    assert hint.startswith("hint: -c N")


@pytest.mark.parametrize(("template", "has_hint"), [("{{ 1 / 0 }}", False), ("{{ 'Once upon' * 99 }}", True)])
def test_a_chat_names_clear_only_where_it_helps(
    story_model: Path,
    tmp_path: Path,
    template: str,
    has_hint: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = with_metadata(story_model, tmp_path / "chat.gguf", tokenizer__chat_template=template)
    lines = iter(["Hi", "/exit"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    with Engine.open(path, EngineConfig(context_length=64)) as engine:
        assert Repl(Conversation(engine, GenerateOptions()), is_quiet=True).run() == 0
    errors = capsys.readouterr().err
    assert "error: " in errors
    assert ("/clear makes room" in errors) == has_hint


def test_doctor_says_that_an_instruction_set_is_unknown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWISE_ISA", "bogus")
    assert main(["doctor"]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("instructions"))
    assert "bogus is asked for, which is not one of them; this machine can run scalar" in line
    main(["doctor", "--json"])
    assert json.loads(capsys.readouterr().out)["instruction_sets"]["used"] is None
