"""What quantizing one kind of tensor alone costs a model: the figures behind `quantize --target-size`.

    python benchmarks/sensitivity.py models/demo/demo-f16.gguf -f benchmarks/texts/stories.txt --context 256

Prints for each kind the divergence, the mean squared error of its tensors relative to their weights, and the divergence
for an error of 1 in one tensor; then how nearly the divergences add up to that of all kinds together.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from edgewise import _core
from edgewise.config import EngineConfig
from edgewise.evaluate.importance import measure_importance
from edgewise.evaluate.quality import measure, open_to_evaluate
from edgewise.evaluate.texts import read_text
from edgewise.quantize import imatrix
from edgewise.quantize.plan import make_plan
from edgewise.quantize.recipe import Choice
from edgewise.quantize.roles import why_kept
from edgewise.quantize.work import SourceModel, open_source, save


def main() -> None:
    """Print the table of one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model in f16 or f32")
    parser.add_argument("-f", "--file", required=True, help="the text")
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--format", default="q4_0", help="what each kind becomes")
    arguments = parser.parse_args()
    text, context, chunks = read_text(arguments.file), arguments.context, arguments.chunks
    config = EngineConfig()
    with tempfile.TemporaryDirectory() as folder, open_to_evaluate(arguments.model, config, context) as reference:
        matrix = measure_importance(reference, text, "text", chunks=chunks)
        imatrix.write(Path(folder) / "imatrix.gguf", matrix)
        source = open_source(arguments.model, Path(folder) / "imatrix.gguf")

        def cost(names: set[str]) -> tuple[float, float]:
            """Divergence with these tensors quantized, and the sum of their relative squared errors."""
            path = Path(folder) / "trial.gguf"
            losses = write(source, names, arguments.format, path)
            with open_to_evaluate(path, config, context) as engine:
                (quality,) = measure([engine], reference, text, chunks=chunks)
            assert quality.divergence is not None
            return quality.divergence.mean.value, losses

        total = 0.0
        kinds = kinds_of(source, arguments.format)
        print(f"{'kind':<22}{'divergence':>12}{'error':>12}{'each':>12}")
        for kind, names in kinds.items():
            divergence, error = cost(names)
            total += divergence
            print(f"{kind:<22}{divergence:>12.5f}{error / len(names):>12.5f}{divergence / error:>12.3f}", flush=True)
        together, _ = cost({name for names in kinds.values() for name in names})
        print(f"{'all together':<22}{together:>12.5f}, the sum of the above {total:.5f}")


def kinds_of(source: SourceModel, format_name: str) -> dict[str, set[str]]:
    """Names of the tensors that the format fits, by kind."""
    kinds: dict[str, set[str]] = {}
    for tensor in source.facts.tensors:
        if why_kept(tensor) is None and tensor.shape[0] % _core.block_size(format_name)[0] == 0:
            kinds.setdefault(re.sub(r"blk\.\d+\.|\.weight", "", tensor.name), set()).add(tensor.name)
    return kinds


def write(source: SourceModel, names: set[str], format_name: str, path: Path) -> float:
    """Write the model with some tensors quantized; the sum of their relative squared errors."""
    choices = {
        tensor.name: Choice(format_name if tensor.name in names else tensor.format, "")
        for tensor in source.facts.tensors
    }
    written = save(source, make_plan(source.facts, choices), path, replace=True)
    return sum(loss.relative**2 for loss in written.losses.values())


if __name__ == "__main__":
    main()
