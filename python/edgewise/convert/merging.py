"""Weights with LoRA adapters merged in: `w + scale * b a`, some rows at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.errors import InvalidArgument, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from edgewise.convert.lora import Adapter, LowRank
    from edgewise.convert.safetensors import StoredTensor
    from edgewise.convert.weights import Weight

    Floats = npt.NDArray[np.float32]


_LARGEST = 3.4028234663852886e38  # of an f32


@dataclass(frozen=True)
class Merged:
    """An adapter and its scale, which multiplies what it adds."""

    adapter: Adapter
    scale: float = 1.0

    def factor(self, change: LowRank) -> float:
        """What the product of a pair is multiplied by.

        Raises:
            InvalidArgument: if it is no number that an f32 can hold, naming the scale.
        """
        factor = change.scale * self.scale
        if math.isfinite(factor) and abs(factor) <= _LARGEST:
            return factor
        finding = "a finite number is needed"
        if math.isfinite(self.scale):
            finding = f"which times {change.alpha:g} / {change.rank} is beyond the numbers of an f32"
        raise InvalidArgument(f"{self.adapter.folder}: its scale is {self.scale}, {finding}")


class Merger:
    """Adds what adapters add.

    Args:
        merged: the adapters.
        weights: all tensors of the model.

    Raises:
        ModelFileError: if an adapter changes what the model does not have.
        InvalidArgument: if a scale is no number that an f32 can hold.
        UnsupportedError: if numpy is not installed.
    """

    def __init__(self, merged: Sequence[Merged], weights: Sequence[Weight]) -> None:
        self._merged = merged
        self._halves: tuple[str, list[tuple[Floats, Floats, float]]] = ("", [])
        shapes = {weight.key: weight.shape[::-1] for weight in weights}
        for entry in merged:
            entry.adapter.require_matrices(shapes)
            for change in entry.adapter.changes.values():
                entry.factor(change)
        try:
            import numpy  # noqa: F401
        except ImportError as error:
            raise UnsupportedError(
                "merging an adapter needs numpy, which is not installed", hint="pip install 'edgewise[convert]'"
            ) from error

    def changes(self, weight: Weight) -> bool:
        """Whether any adapter changes a tensor."""
        return any(weight.key in entry.adapter.changes for entry in self._merged)

    def merged(self, weight: Weight, data: bytes, first_row: int) -> bytes:
        """Rows in f32, as the folder orders them, with what is added.

        Raises:
            InvalidArgument: if the sum is no finite number, naming the scales.
        """
        import numpy as np

        if self._halves[0] != weight.key:  # kept while a tensor's bands come one after the other
            self._halves = (weight.key, self._read(weight))
        rows = np.frombuffer(data, "<f4").reshape(-1, weight.shape[0]).copy()
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found below, and named
            for left, right, factor in self._halves[1]:
                rows += np.float32(factor) * (left[first_row : first_row + len(rows)] @ right)
        if not np.isfinite(rows).all():
            scales = " and ".join(
                f"{entry.adapter.folder} in scale {entry.scale:g}"
                for entry in self._merged
                if weight.key in entry.adapter.changes
            )
            raise InvalidArgument(f'"{weight.key}" with {scales} added is beyond the numbers of an f32')
        merged: bytes = rows.astype("<f4", copy=False).tobytes()
        return merged

    def _read(self, weight: Weight) -> list[tuple[Floats, Floats, float]]:
        """The factors of each change: (rows, rank), (rank, columns), and what their product is multiplied by."""
        found = []
        for entry in self._merged:
            change = entry.adapter.changes.get(weight.key)
            if change is not None:
                found.append((*_factors(entry, change), entry.factor(change)))
        return found


def _factors(entry: Merged, change: LowRank) -> tuple[Floats, Floats]:
    a, b = _floats(entry, change.a), _floats(entry, change.b)
    return (a.T, b.T) if change.is_embedding else (b, a)


def _floats(entry: Merged, tensor: StoredTensor) -> Floats:
    import numpy as np

    return np.frombuffer(entry.adapter.read(tensor), "<f4").reshape(tensor.shape)
