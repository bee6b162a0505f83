"""The benchmarks run, and write what they say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from gguf import GGUFReader

from make_model import make_model
from speed.ceilings import limits, work_of
from speed.report import ratios, summarize

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_smoke_run_measures_every_quantity_and_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    printed = run(ROOT / "benchmarks" / "bench.py", "--smoke", "--json", path)
    result = json.loads(path.read_text())
    for figures in result["summaries"]["edgewise"].values():
        assert 0 < figures["least"] <= figures["median"] <= figures["most"]
    assert all(limit > 0 for limit in result["limits"].values())
    for title in (
        "machine",
        "edgewise",
        "peer",
        "model",
        "decode, tokens/s",
        "start to first token",
        "beyond file",
        "read bandwidth",
        "int8 peak",
    ):
        assert title in printed


def test_a_made_model_is_the_same_each_time_and_sound(tmp_path: Path) -> None:
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    make_model(first, "tiny", "q4_k_m")
    run(ROOT / "benchmarks" / "make_model.py", "--shape", "tiny", "--format", "q4_k_m", "--out", second)
    assert first.read_bytes() == second.read_bytes()
    formats = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(first).tensors}
    expected = {"token_embd.weight": "Q6_K", "blk.0.attn_q.weight": "Q4_K", "output_norm.weight": "F32"}
    assert {name: formats[name] for name in expected} == expected


def test_the_work_of_a_model_counts_each_weight_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    make_model(path, "tiny", "f32")
    work = work_of(path)
    attention, feed_forward = 256 * (256 + 128 + 128 + 256), 3 * 256 * 512
    assert work.multiply_adds_per_token == 2 * (attention + feed_forward)
    vectors = 5 * 256 + 32  # two norms per block, the last norm, the frequency factors
    assert work.bytes_per_token == 4 * (work.multiply_adds_per_token + 512 * 256 + vectors)
    assert limits(
        {"read_bandwidth": 2.0 * work.bytes_per_token, "int8_peak": 3.0 * work.multiply_adds_per_token}, work
    ) == {
        "decode_tokens_per_second": 2,
        "prefill_tokens_per_second": 3,
    }


def figures(decode: float, prefill: float, first_token: float, memory: float) -> dict[str, float]:
    return {
        "decode_tokens_per_second": decode,
        "prefill_tokens_per_second": prefill,
        "first_token_s": first_token,
        "peak_memory_bytes": memory,
    }


def test_ratios_say_how_many_times_better() -> None:
    own = summarize([figures(30, 90, 1, 4), figures(10, 90, 1, 4), figures(20, 90, 1, 4)])
    peer = summarize([figures(10, 30, 4, 2)])
    assert own["decode_tokens_per_second"] == {"median": 20, "least": 10, "most": 30}
    assert ratios(own, peer) == pytest.approx(figures(2, 3, 4, 0.5))
