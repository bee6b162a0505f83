"""The benchmarks run, and write what they say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from gguf import GGUFReader

from make_model import make_model
from speed.ceilings import work_of
from speed.document import BEGIN
from speed.plan import PARTS
from speed.report import PRESENTED

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "benchmarks" / "bench.py"
SMOKE_FORMATS = ("q4_k_m", "q8_0")


def run(*arguments: str | Path) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_smoke_run_measures_every_part_and_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    document = tmp_path / "document.md"
    document.write_text(f"Before.\n\n{BEGIN}\nOld.\n")
    formats = ",".join(SMOKE_FORMATS)
    printed = run(BENCH, "--smoke", "--formats", formats, "--json", path, "--record", document)
    result = json.loads(path.read_text())
    has_avx2 = "avx2" in result["machine"]["instruction_sets"].split()
    with_tables = {"speculation", "recall", "quality"}  # of their own
    assert {row["part"] for row in result["rows"]} == {*PARTS} - with_tables - (set() if has_avx2 else {"avx2"})
    for row in result["rows"]:
        own = row["spreads"]["edgewise"]
        assert 0 < own["least"] <= own["median"] <= own["most"]
    assert {one["model"] for one in result["quality"]} >= {
        "demo q8_0",
        *(f"random tiny {name}" for name in SMOKE_FORMATS),
    }
    assert {one["case"]["is_repeated"] for one in result["speculation"]} == {True, False}
    assert [set(one["read"]) for one in result["recall"]] == [{"begin_s", "first_token_s"}]
    assert "Guessed tokens: " in printed
    assert "Prompts from disk: " in printed
    assert all(presented.title in printed for part, presented in PRESENTED.items() if has_avx2 or part != "avx2")
    assert f"of {len(result['verdicts'])} targets met" in printed
    assert document.read_text().startswith(f"Before.\n\n{BEGIN}\n\nMade on ")
    assert printed.strip() in document.read_text()


def test_prompts_from_disk_are_measured_beside_computed_ones() -> None:
    script = ROOT / "benchmarks" / "prompt_cache.py"
    printed = run(script, "--shape", "tiny", "--format", "q4_k_m", "--tokens", "256", "--rounds", "1").splitlines()
    assert printed[0].startswith("Prompts from disk: tiny-q4_k_m.gguf, 256 tokens")
    assert [line.split(" computed")[0].strip() for line in printed[1:]] == ["prompt", "first token"]


def test_a_model_with_an_adapter_is_measured_beside_the_one_without() -> None:
    script = ROOT / "benchmarks" / "lora.py"
    printed = run(script, "--shape", "tiny", "--tokens", "64", "--rounds", "1").splitlines()
    assert [line.split()[0] for line in printed] == ["tiny-q4_k_m.gguf,", "prefill", "decode"]


@pytest.mark.parametrize("wrong", [("--only", "everything"), ("--formats", "q9"), ("--model", "absent.gguf")])
def test_what_is_unknown_is_refused_by_name(wrong: tuple[str, str]) -> None:
    done = subprocess.run([sys.executable, BENCH, *wrong], capture_output=True, text=True)
    assert done.returncode == 2
    assert wrong[1] in done.stderr


def test_an_interpreter_without_llama_cpp_is_refused_by_name() -> None:
    done = subprocess.run([sys.executable, BENCH, "--peer", "no-such-python"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "bench: there is no interpreter no-such-python\n"


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
