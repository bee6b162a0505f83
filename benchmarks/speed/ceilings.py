"""The two limits of the machine, and what they mean for a model."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from edgewise import _core

_LEAST_BUFFER_BYTES = 1 << 26
_MOST_BUFFER_BYTES = 1 << 29


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


def measure_ceilings(isa: str, threads: int, bytes_per_token: int) -> dict[str, float]:
    """Read bandwidth in bytes per second, and int8 multiply-adds per second; each the best of some.

    Args:
        isa: the instruction set to measure with.
        threads: how many threads share the work.
        bytes_per_token: what is read in one go, as decoding a token does: a model that fits a cache has a higher limit.
    """
    size = min(max(bytes_per_token, _LEAST_BUFFER_BYTES), _MOST_BUFFER_BYTES)
    return {
        "read_bandwidth": max(_core.read_bandwidth(isa=isa, threads=threads, size_bytes=size) for _ in range(3)),
        "int8_peak": max(_core.int8_peak(isa=isa, threads=threads) for _ in range(10)),
    }
