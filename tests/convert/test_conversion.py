"""Converted models compute what transformers computes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.cases import CASES, POSITIONS, STEPS, TOLERANCE, prompt
from convert.folders import GOLDEN, Stored, tensors_of, write_safetensors
from convert.runs import Run, metadata_of, values_of
from edgewise import _core
from edgewise.convert.conversion import Options, convert_model
from edgewise.convert.safetensors import Checkpoint
from edgewise.errors import InvalidArgument

FolderOf = Callable[[str], Path]
each_case = pytest.mark.parametrize("name", CASES)


@each_case
def test_logits_and_greedy_tokens_are_those_of_transformers(
    name: str, folder_of: FolderOf, figures: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    convert_model(folder_of(name), path, Options("f32"))
    expected = np.load(GOLDEN / "logits.npz")[name]
    found = Run(path).evaluate(prompt(CASES[name]))[list(POSITIONS)]
    assert np.abs(found - expected).max() <= TOLERANCE * figures[name]["range"]
    assert Run(path).greedy(prompt(CASES[name]), STEPS) == figures[name]["tokens"]


@each_case
@pytest.mark.parametrize("mix", ["q8_0", "q4_k_m", "q2_k"])
def test_a_quantized_file_comes_straight_from_the_folder(
    name: str, mix: str, folder_of: FolderOf, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    report = convert_model(folder_of(name), path, Options(mix))
    assert report.size_bytes == path.stat().st_size
    assert sum(report.formats.values()) == len(_core.ModelFile(path).tensors())
    assert np.isfinite(Run(path).evaluate(prompt(CASES[name]))).all()
    assert list(tmp_path.glob("*.gguf*")) == [path]


def test_sixteen_bits_are_kept_as_they_are(folder_of: FolderOf, figures: dict[str, Any], tmp_path: Path) -> None:
    for name, form in (("llama-bf16", "bf16"), ("qwen3", "f16"), ("llama", "f16")):
        path = tmp_path / f"{name}.gguf"
        convert_model(folder_of(name), path, Options())
        formats = {found for tensor, found, shape, _ in _core.ModelFile(path).tensors() if len(shape) == 2}
        assert formats == {form}, name


def test_rows_of_heads_become_neighbours_where_pairs_are_rotated(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    convert_model(folder, path, Options("f32"))
    with Checkpoint(folder) as checkpoint:
        tensor = checkpoint.tensors["model.layers.1.self_attn.k_proj.weight"]
        stored = np.frombuffer(checkpoint.read(tensor), "<f4").reshape(2, 2, 8, 64)
    found = values_of(path, "blk.1.attn_k.weight").reshape(2, 8, 2, 64)
    np.testing.assert_array_equal(found, stored.swapaxes(1, 2))


def test_the_file_says_what_the_folder_says(folder: Path, tmp_path: Path) -> None:
    (folder / "generation_config.json").write_text(
        '{"do_sample": true, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "eos_token_id": [506, 509, 511]}'
    )
    path = tmp_path / "model.gguf"
    convert_model(folder, path, Options("q8_0", name="Small"))
    metadata = metadata_of(path)
    assert metadata["general.name"] == "Small"
    assert metadata["general.file_type"] == 7
    assert metadata["general.sampling.top_k"] == 20
    assert metadata["general.sampling.temp"] == pytest.approx(0.6)
    assert metadata["llama.attention.head_count_kv"] == 2
    assert "assistant" not in str(metadata["tokenizer.chat_template"])
    assert "message['role']" in str(metadata["tokenizer.chat_template"])


def test_a_window_pattern_of_its_own_is_kept(folder_of: FolderOf, tmp_path: Path) -> None:
    folder = folder_of("gemma2")
    usual, turned = tmp_path / "usual.gguf", tmp_path / "turned.gguf"
    convert_model(folder, usual, Options("f32"))
    config = (folder / "config.json").read_text()
    swapped = config.replace('"sliding_attention", "full_attention"', '"full_attention", "sliding_attention"')
    assert swapped != config
    (folder / "config.json").write_text(swapped)
    convert_model(folder, turned, Options("f32"))
    assert "gemma2.attention.sliding_window_pattern" not in metadata_of(usual)
    assert metadata_of(turned)["gemma2.attention.sliding_window_pattern"] == [False, True]


def test_without_a_name_the_file_is_called_as_folder_and_format(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert convert_model(folder, None, Options("q8_0")).path == Path("llama-q8_0.gguf")


def test_an_existing_file_needs_force(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_text("precious")
    with pytest.raises(InvalidArgument, match="exists already"):
        convert_model(folder, path, Options("f32"))
    assert path.read_text() == "precious"
    convert_model(folder, path, Options("f32", replace=True))
    assert _core.ModelFile(path).tensors()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_model(folder: Path, figures: dict[str, Any], tmp_path: Path) -> None:
    rows = 1 << 20  # a matrix of 256 MiB, twice
    config = figures["llama"]["config"] | {"vocab_size": rows}
    (folder / "config.json").write_text(json.dumps(config))
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    tensors = tensors_of(CASES["llama"], figures["llama"]["tensors"], 1)
    empty = Stored("F32", (rows, 64), b"\0" * (rows * 64 * 4))
    write_safetensors(
        folder / "model.safetensors", tensors | {"model.embed_tokens.weight": empty, "lm_head.weight": empty}
    )
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from edgewise.convert.conversion import Options, convert_model\n"
        "convert_model(Path(sys.argv[1]), Path(sys.argv[2]), Options('q8_0', threads=1))\n"
        "print(Path('/proc/self/status').read_text())"
    )
    command = [sys.executable, "-c", program, str(folder), str(tmp_path / "big.gguf")]
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    status = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    assert peak < 500_000_000
