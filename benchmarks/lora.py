"""What a LoRA adapter costs: prefill and decode with it and without, in turn.

python benchmarks/lora.py --shape llama3.2-1b --format q4_k_m --rank 16
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from edgewise import _core
from make_model import FOLDER, make_model
from random_model.adapter import Adapter, write_adapter
from random_model.known_shapes import KNOWN_SHAPES

DECODED = 16  # tokens of a round


def main() -> None:
    """Measure one model; the figures are medians, and the smallest and largest with them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="llama3.2-1b")
    parser.add_argument("--format", default="q4_k_m")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--threads", type=int, default=0, help="0 chooses")
    parser.add_argument("--isa", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    path = FOLDER / f"{arguments.shape}-{arguments.format}.gguf"
    if not path.exists():
        make_model(path, arguments.shape, arguments.format)
    generator = random.Random(1)
    prompt = [generator.randrange(10, KNOWN_SHAPES[arguments.shape].vocabulary_size) for _ in range(arguments.tokens)]
    with tempfile.TemporaryDirectory() as folder:
        adapter = Path(folder) / "adapter.gguf"
        shape = KNOWN_SHAPES[arguments.shape]
        write_adapter(adapter, shape, Adapter(arguments.rank, arguments.rank, format_name="f16"), 1)
        sessions = [
            _core.Session(
                _core.Model(_core.ModelFile(path), adapters=adapters),
                context_length=arguments.tokens + DECODED,
                batch=512,
                key_format="f16",
                value_format="f16",
                isa=arguments.isa,
                threads=arguments.threads,
            )
            for adapters in ([], [(adapter, 0.5)])
        ]
        size_mb = adapter.stat().st_size / 1e6
        rounds = [[measure(session, prompt) for session in sessions] for _ in range(arguments.rounds + 1)][1:]
    facts = f"rank {arguments.rank}, f16, {size_mb:.1f} MB, isa {sessions[0].isa}, {sessions[0].threads} threads"
    print(f"{path.name}, an adapter for all matrices of {facts}")
    for number, name in enumerate((f"prefill of {arguments.tokens}", "decode of 1")):
        without, adapted = ([1e3 * pair[side][number] for pair in rounds] for side in (0, 1))
        ratio = statistics.median(adapted) / statistics.median(without)
        print(f"  {name:16} without {shown(without)}, with {shown(adapted)}: {ratio:.3f}x")


def measure(session: _core.Session, prompt: Sequence[int]) -> tuple[float, float]:
    """Seconds of a prompt, and of a token behind it."""
    session.truncate(0)
    started_s = time.perf_counter()
    session.evaluate(prompt)
    filled_s = time.perf_counter()
    for token in prompt[:DECODED]:
        session.evaluate([token])
    return filled_s - started_s, (time.perf_counter() - filled_s) / DECODED


def shown(values: list[float]) -> str:
    """Median and spread."""
    return f"{statistics.median(values):.1f} ms ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
