"""The two limits of the machine, and what they mean for a model."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from edgewise import _core


@dataclass(frozen=True)
class Work:
    """What a token costs.

    Attributes:
        bytes_per_token: weights that decoding one token reads.
        multiply_adds_per_token: of one token of a long prompt, whose output matrix is needed for the last token alone.
    """

    bytes_per_token: int
    multiply_adds_per_token: int


def work_of(path: Path) -> Work:
    """The work that a model file asks for."""
    tensors = _core.ModelFile(path).tensors()
    is_tied = all(name != "output.weight" for name, *_ in tensors)
    read = [size for name, _, _, size in tensors if is_tied or name != "token_embd.weight"]
    blocks = [shape for name, _, shape, _ in tensors if name.startswith("blk.") and len(shape) == 2]
    return Work(sum(read), sum(prod(shape) for shape in blocks))


def measure_ceilings(isa: str, threads: int, path: Path) -> dict[str, float]:
    """Read bandwidth in bytes per second, and int8 multiply-adds per second; each the best of some.

    The bandwidth is that of the model's own bytes, where they lie in memory: other places may be half or twice as fast
    on a machine that shares its memory with others, and a model that fits a cache has a higher limit.

    Args:
        isa: the instruction set to measure with.
        threads: how many threads share the work.
        path: of the model.
    """
    file = _core.ModelFile(path)
    return {
        "read_bandwidth": max(file.read_bandwidth(isa=isa, threads=threads) for _ in range(3)),
        "int8_peak": max(_core.int8_peak(isa=isa, threads=threads) for _ in range(10)),
    }
