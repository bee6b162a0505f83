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
from pathlib import Path

from edgewise import EngineConfig, GenerateOptions, _core
from edgewise.engine.native import NativeEngine
from make_model import FOLDER, make_model


def main() -> None:
    """Measure one model; the figures are medians, and the smallest and largest with them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="smollm2-135m")
    parser.add_argument("--format", default="q8_0")
    parser.add_argument("--cache-type", default="f16", help="format of keys and values")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    path = FOLDER / f"{arguments.shape}-{arguments.format}.gguf"
    if arguments.child:
        folder, size_bytes = arguments.child
        print(json.dumps(one(path, folder, int(size_bytes), arguments.cache_type, arguments.tokens)))
        return
    if not path.exists():
        make_model(path, arguments.shape, arguments.format)
    with tempfile.TemporaryDirectory() as folder:

        def child(size_bytes: int) -> dict[str, float]:
            command = [sys.executable, *sys.argv, "--child", folder, str(size_bytes)]
            result: dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            return result

        child(1 << 30)
        rounds = [(child(0), child(1 << 30)) for _ in range(arguments.rounds)]
    threads = _core.choose_threads().threads
    print(f"{path.name}, {arguments.tokens} tokens, {arguments.cache_type} cache, {threads} threads")
    for name in ("begin_s", "first_token_s"):
        computed, back = ([1e3 * pair[side][name] for pair in rounds] for side in (0, 1))
        ratio = statistics.median(computed) / statistics.median(back)
        print(f"  {name[:-2]:12} computed {shown(computed)}, from disk {shown(back)}: {ratio:.0f}x")


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
