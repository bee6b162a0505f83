"""From a model folder to figures, at the command line: every format of every architecture."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convert.cases import CASES
from convert.folders import GOLDEN, wide, write_folder
from edgewise import _core
from edgewise.cli import main
from edgewise.quantize.mixes import MIXES

FIGURES = json.loads((GOLDEN / "figures.json").read_text())["cases"]
FALLING = ["f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"]
"""Mixes with ever fewer bits, whose files get smaller and whose predictions get worse."""
TEXT = "To be, or not to be, that is the question: whether it is nobler to suffer, or to take arms. " * 8


@pytest.fixture
def edgewise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Runs a command and gives its JSON."""
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)

    def run(*arguments: str) -> dict[str, Any]:
        assert main([*arguments, "--json"]) == 0, capsys.readouterr().err
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run


@pytest.mark.parametrize("name", CASES)
def test_every_format_is_converted_quantized_run_and_evaluated(
    name: str, edgewise: Callable[..., dict[str, Any]]
) -> None:
    sizes, divergences = _all_formats(edgewise, write_folder(Path("folder"), *wide(CASES[name], FIGURES[name])))
    for mix in MIXES.values():
        assert mix.format in {form for _, form, _, _ in _core.ModelFile(f"{mix.name}.gguf").tensors()}
    for more, fewer in itertools.pairwise(FALLING):
        assert sizes[more] > sizes[fewer], fewer
        assert divergences[more] < divergences[fewer], fewer


def test_where_rows_are_no_whole_blocks_smaller_blocks_take_over(edgewise: Callable[..., dict[str, Any]]) -> None:
    sizes, divergences = _all_formats(edgewise, write_folder(Path("folder"), CASES["llama"], FIGURES["llama"]))
    for path in Path().glob("q*_k*.gguf"):
        assert not [form for _, form, _, _ in _core.ModelFile(path).tensors() if form.endswith("_k")]
    assert sizes["q8_0"] > sizes["q2_k"]
    assert divergences["q8_0"] < divergences["q2_k"]


def _all_formats(edgewise: Callable[..., dict[str, Any]], folder: Path) -> tuple[dict[str, int], dict[str, float]]:
    """By mix: the size of the file, and its mean divergence from the model in f32."""
    edgewise("convert", str(folder), "-q", "-o", "source.gguf", "--format", "f32")
    sizes, divergences = {}, {}
    for mix in MIXES:
        path = f"{mix}.gguf"
        edgewise("quantize", "source.gguf", mix, "-q", "-o", path)
        answer = edgewise("run", path, "--raw", "-p", "To be", "-n", "4", "--temp", "0", "--no-prompt-cache")
        assert (answer["finish_reason"], answer["decode_tokens"]) == ("length", 4) or answer["finish_reason"] == "stop"
        quality = edgewise(
            "eval", path, "--against", "source.gguf", "-q", "-f", "text.txt", "-c", "64", "--chunks", "2"
        )
        assert all(math.isfinite(number) for number in _numbers(quality)), path
        sizes[mix], divergences[mix] = Path(path).stat().st_size, quality["divergence"]["mean"]["value"]
    assert divergences["f32"] == 0
    return sizes, divergences


def _numbers(values: Any) -> list[float]:
    if isinstance(values, dict):
        return [number for value in values.values() for number in _numbers(value)]
    return [values] if isinstance(values, int | float) else []
