"""Speed, start-up and memory of Edgewise, beside llama.cpp in the same run, the two in turn.

python benchmarks/bench.py                                     the model of the targets: llama3.2-1b, q4_k_m
python benchmarks/bench.py --shape qwen3-0.6b --format q8_0    another shape; weights are random
python benchmarks/bench.py --model FILE                        a file of yours
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from edgewise import _core
from make_model import FOLDER, make_model
from random_model.known_shapes import KNOWN_SHAPES
from random_model.recipe import MIXES
from speed.ceilings import limits, measure_ceilings, work_of
from speed.machine import ROOT, describe_machine
from speed.report import ratios, summarize, table

PEER_COMMAND = f"{sys.executable} -m pip install --no-binary llama-cpp-python llama-cpp-python"


def main() -> None:
    """Run the benchmark that the arguments describe."""
    arguments = _arguments()
    machine = describe_machine()
    path = _model(arguments)
    _warm(path)
    engines = ["edgewise"]
    if importlib.util.find_spec("llama_cpp"):
        engines.append("llama.cpp")
    facts: dict[str, Any] = {}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
    ceilings: list[dict[str, float]] = []
    for index in range(arguments.rounds):
        ceilings.append(measure_ceilings("auto", arguments.threads))
        for name in engines:
            print(f"round {index + 1} of {arguments.rounds}: {name}", file=sys.stderr)
            found = _measure(name, path, arguments)
            facts[name] = found["facts"]
            runs[name].append(found["figures"])
    summaries = {name: summarize(runs[name]) for name in engines}
    result = {
        "machine": machine,
        "model": {"file": path.name, "bytes": path.stat().st_size},
        "settings": {key: getattr(arguments, key) for key in ("context", "threads", "decode", "prefill", "rounds")},
        "engines": facts,
        "ceilings": ceilings,
        "limits": limits({key: median(run[key] for run in ceilings) for key in ceilings[0]}, work_of(path)),
        "runs": runs,
        "summaries": summaries,
        "times_better": ratios(summaries["edgewise"], summaries["llama.cpp"]) if len(engines) > 1 else None,
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    _print(result)
    print(f"figures of every run: {arguments.json}", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a GGUF file; by default one is made")
    parser.add_argument("--shape", choices=sorted(KNOWN_SHAPES), default="llama3.2-1b", help="of the model to make")
    parser.add_argument("--format", choices=sorted(MIXES), default="q4_k_m", help="of the model to make")
    parser.add_argument("--threads", type=int, help="for both engines; by default what Edgewise chooses")
    parser.add_argument("--context", type=int, default=2048, help="tokens of context")
    parser.add_argument("--decode", type=int, default=64, help="tokens to decode in an empty context")
    parser.add_argument("--prefill", type=int, default=256, help="tokens of the prompt to prefill")
    parser.add_argument("--rounds", type=int, default=5, help="processes per engine")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json", help="where all figures go")
    parser.add_argument("--smoke", action="store_true", help="one short round on a tiny model: does it run?")
    arguments = parser.parse_args()
    if arguments.model and not arguments.model.exists():
        parser.error(f"{arguments.model} does not exist")
    if arguments.smoke:
        arguments.shape, arguments.rounds, arguments.decode, arguments.prefill, arguments.context = "tiny", 1, 4, 16, 64
    arguments.threads = arguments.threads or _core.choose_threads().threads
    return arguments


def _model(arguments: argparse.Namespace) -> Path:
    if arguments.model:
        return Path(arguments.model).resolve()
    path = FOLDER / f"{arguments.shape}-{arguments.format}.gguf"
    if not path.exists():
        print(f"making {path}", file=sys.stderr)
        make_model(path, arguments.shape, arguments.format)
    return path


def _warm(path: Path) -> None:
    """Read the file once: every run finds it in the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def _measure(engine: str, path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """One run of one engine in a process of its own."""
    command = [sys.executable, "-m", "speed.worker", engine, str(path)]
    for key in ("context", "threads", "decode", "prefill"):
        command += [f"--{key}", str(getattr(arguments, key))]
    command += ["--started", str(time.monotonic())]
    done = subprocess.run(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _share(work: str, rates: dict[str, float], most: dict[str, float]) -> str:
    key = f"{work}_tokens_per_second"
    return f"{work} can reach {most[key]:.1f} tokens/s, edgewise has {rates[key] / most[key]:.0%} of that"


def _print(result: dict[str, Any]) -> None:
    machine, model, settings = result["machine"], result["model"], result["settings"]
    own = result["engines"]["edgewise"]
    quota = "" if machine["quota"] is None else f", quota {machine['quota']:g}"
    print(f"machine   {machine['cpu']}, {machine['cpus']} CPUs{quota}, {machine['architecture']}")
    print(f"edgewise  {own['version']}, commit {machine['commit']}, isa {own['isa']}, {own['threads']} threads")
    if len(result["engines"]) > 1:
        peer = result["engines"]["llama.cpp"]
        print(f"peer      llama-cpp-python {peer['version']}, {peer['threads']} threads, built with {peer['isa']}")
    else:
        print(f"peer      llama-cpp-python is not installed, so there is nothing to compare with: {PEER_COMMAND}")
    print(
        f"model     {model['file']}, {model['bytes'] / 1e6:.1f} MB in the page cache; context {settings['context']}, "
        f"KV cache f16, {own['cache_bytes'] / 1e6:.1f} MB"
    )
    print(
        f"work      {settings['decode']} tokens from an empty context, then a prompt of {settings['prefill']} tokens\n"
        "both      the same random token ids, greedy, mmap, batch 512; the rest is each engine's default"
    )
    print(f"figures   median (least - most) of {settings['rounds']} processes per engine, in turn\n")
    print(table(result["summaries"]))
    own_rates = {key: result["summaries"]["edgewise"][key]["median"] for key in result["limits"]}
    bandwidth, peak = (median(run[key] for run in result["ceilings"]) for key in ("read_bandwidth", "int8_peak"))
    print(
        f"\nread bandwidth {bandwidth / 1e9:.1f} GB/s: {_share('decode', own_rates, result['limits'])}\n"
        f"int8 peak {peak / 1e9:.0f} billion multiply-adds/s: {_share('prefill', own_rates, result['limits'])}"
    )
    if machine["load"] > 0.5 * machine["cpus"]:
        print(f"warning: other work kept {machine['load']:.1f} CPUs busy at the start; these figures say little")
    peak_bytes = result["summaries"]["edgewise"]["peak_memory_bytes"]["median"]
    beyond = (peak_bytes - model["bytes"] - own["cache_bytes"]) / 1e6
    print(f"peak memory of edgewise beyond file and KV cache: {beyond:.1f} MB")


if __name__ == "__main__":
    main()
