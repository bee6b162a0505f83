"""How much faster a prompt is back from disk than computed, each in a process of its own.

python benchmarks/prompt_cache.py --shape smollm2-135m --format q8_0
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from edgewise import EngineConfig, GenerateOptions, _core
from edgewise.engine.native import NativeEngine
from make_model import FOLDER, make_model
from speed.verdict import Verdict

_FIGURES = {"begin_s": "prompt", "first_token_s": "first token"}


@dataclass(frozen=True)
class Recalled:
    """How a prompt came back.

    Attributes:
        subject: model, tokens and cache format.
        computed: name of a figure -> milliseconds in each round, where the prompt is computed.
        read: the same where it is read from disk.
    """

    subject: str
    computed: dict[str, list[float]]
    read: dict[str, list[float]]

    def ratio(self, name: str) -> float:
        """How many times faster the read prompt is, by medians."""
        return statistics.median(self.computed[name]) / statistics.median(self.read[name])

    def verdict(self) -> Verdict:
        """A prompt is back at least 20 times as fast."""
        ratio = self.ratio("begin_s")
        return Verdict(f"prompt from disk, {self.subject}", ">= 20x computed", ratio, ratio >= 20)

    def table(self) -> str:
        """What was measured, in words."""
        lines = [f"Prompts from disk: {self.subject}; target {self.verdict().target}: {self.verdict()}"]
        for name, title in _FIGURES.items():
            computed, read = shown(self.computed[name]), shown(self.read[name])
            lines.append(f"{title:12} computed {computed}, from disk {read}: {self.ratio(name):.0f}x")
        return "\n".join(lines)


def main() -> None:
    """Measure one model; the figures are medians, and the smallest and largest with them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="smollm2-135m")
    parser.add_argument("--format", default="q8_0")
    parser.add_argument("--cache-type", default="f16", help="format of keys and values")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        path, folder, size_bytes = arguments.child
        print(json.dumps(one(Path(path), folder, int(size_bytes), arguments.cache_type, arguments.tokens)))
        return
    path = FOLDER / f"{arguments.shape}-{arguments.format}.gguf"
    if not path.exists():
        make_model(path, arguments.shape, arguments.format)
    print(measure_recall(path, arguments.tokens, arguments.rounds, arguments.cache_type).table())


def measure_recall(path: Path, tokens: int, rounds: int, cache_type: str = "f16") -> Recalled:
    """Prompts of so many tokens, computed and read from disk in turn, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:

        def child(size_bytes: int) -> dict[str, float]:
            options = ["--tokens", str(tokens), "--cache-type", cache_type]
            command = [sys.executable, __file__, *options, "--child", str(path), folder, str(size_bytes)]
            result: dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            return result

        child(1 << 30)
        found = [(child(0), child(1 << 30)) for _ in range(rounds)]
    computed, read = ({name: [1e3 * pair[side][name] for pair in found] for name in _FIGURES} for side in (0, 1))
    threads = _core.choose_threads().threads
    return Recalled(f"{path.name}, {tokens} tokens, {cache_type} cache, {threads} threads", computed, read)


def one(path: Path, folder: str, size_bytes: int, cache_type: str, tokens: int) -> dict[str, float]:
    """Seconds until the prompt is in the KV cache, and until the first token behind it."""
    config = EngineConfig(
        context_length=tokens + 64,
        key_format=cache_type,  # type: ignore[arg-type]
        value_format=cache_type,  # type: ignore[arg-type]
        cache_folder=folder,
        prompt_cache_bytes=size_bytes,
    )
    with NativeEngine(path, config) as engine:
        generator = random.Random(1)
        prompt = [generator.randrange(10, engine.vocabulary_size) for _ in range(tokens + 1)]
        started_s = time.perf_counter()
        held = engine.begin(prompt, "")
        if held < tokens:
            engine.session.evaluate(prompt[held:tokens])
        begun_s = time.perf_counter()
        answer = engine.generate(prompt, GenerateOptions(temperature=0, max_tokens=1))
        next(answer)
        return {"begin_s": begun_s - started_s, "first_token_s": time.perf_counter() - started_s}


def shown(values: list[float]) -> str:
    """Median and spread."""
    return f"{statistics.median(values):.1f} ms ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
