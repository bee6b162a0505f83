"""`edgewise plan`: what it prints, and that nonsense is answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgewise.cli import main
from edgewise.engine.models import DEMO
from edgewise.plan.devices import devices


def plan(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = main(["plan", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_file_is_planned_for_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = plan(capsys, str(DEMO), "--this", "--ctx", "256")
    assert code == 0
    assert found["verdict"] == "fits"
    assert found["memory"]["weights_bytes"] == DEMO.stat().st_size
    assert found["disk"]["fits"] is True
    assert found["speed"]["decode"]["p10"] < found["speed"]["decode"]["p90"]
    assert (
        sum(value for key, value in found["memory"].items() if key != "total_bytes") == found["memory"]["total_bytes"]
    )


def test_a_shape_is_planned_before_it_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = plan(capsys, "llama2-7b:q4_k_m", "--device", "pi5-8gb", "--ctx", "2048", "--kv", "q8_0")
    assert code == 0
    assert found["memory"]["cache_bytes"] == 2048 * 32 * 32 * 2 * 128 * 34 // 32
    assert found["device"]["sources"]["decode_gb_per_s"]


def test_parallel_sequences_take_their_own_cache(capsys: pytest.CaptureFixture[str]) -> None:
    _, one = plan(capsys, "qwen3-0.6b", "--device", "n150")
    _, four = plan(capsys, "qwen3-0.6b", "--device", "n150", "--parallel", "4")
    assert four["memory"]["cache_bytes"] == 4 * one["memory"]["cache_bytes"]


def test_what_does_not_fit_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "llama2-70b", "--device", "iphone15pro"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("verdict       does not fit")
    assert "disk-bound" in out
    assert "a smaller model" in out


def test_all_devices_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "llama3.2-1b:q8_0", "--all-devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(devices())
    _, found = plan(capsys, "llama3.2-1b:q8_0", "--all-devices")
    assert [one["device"]["name"] for one in found] == list(devices())


def test_without_a_model_the_best_and_the_fastest_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--device", "pi5-8gb"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["best", "fastest"]
    _, found = plan(capsys, "--device", "pi5-8gb")
    assert [f"{one['model']['name']}:{one['model']['format']}" for one in found["recommended"]] == [
        line.split()[1] for line in lines[1:]
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["llama2-7b", "--device", "toaster"], "no device is called 'toaster'"),
        (["llama2-7b", "--device", "n150", "--ctx", "-5"], "--ctx must be between 0"),
        (["llama2-7b", "--device", "n150", "--parallel", "0"], "--parallel must be between 1"),
        (["llama2-7b", "--device", "n150", "--prompt", "5000"], "--prompt must be between 1 and 4096"),
        (["llama2-7b:q99", "--device", "n150"], "no mix of formats is called 'q99'"),
        (["--all-devices"], "--all-devices is about one MODEL"),
        (["llama99", "--device", "n150"], "llama99: no such file, installed model or shape"),
        (["", "--device", "n150"], "no such file, installed model or shape"),
    ],
)
def test_nonsense_is_answered(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *arguments]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_truncated_header_is_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = DEMO.read_bytes()[:100_000]
    for length in (0, 3, 24, 100, 5000, len(whole)):
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        assert main(["plan", str(tmp_path / "cut.gguf"), "--device", "n150"]) == 1
        assert capsys.readouterr().err.startswith("error: ")


def test_a_huge_context_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = plan(capsys, "llama3.2-1b", "--device", "gateway-2gb", "--ctx", str(2**31 - 1))
    assert code == 0
    assert found["verdict"] == "fits with changes"
    assert found["speed"] is None


def test_zero_is_the_context_that_the_model_was_trained_for(capsys: pytest.CaptureFixture[str]) -> None:
    _, found = plan(capsys, "llama3.2-1b", "--device", "laptop-32gb", "--ctx", "0")
    assert found["settings"]["context_length"] == 131072
