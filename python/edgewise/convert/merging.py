"""Weights with a LoRA adapter merged in: `w + scale * b a`, a band of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.convert.weights import Band, Weight, bands
from edgewise.errors import ModelFileError, UnsupportedError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edgewise.convert.lora import Adapter
    from edgewise.convert.safetensors import Checkpoint, StoredTensor

    Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Merged:
    """An adapter and how strongly it counts."""

    adapter: Adapter
    strength: float = 1.0


def check_fit(weights: list[Weight], merged: list[Merged]) -> None:
    """Every change has a matrix of its shape.

    Raises:
        ModelFileError: naming the change that has none.
        UnsupportedError: if numpy is not installed.
    """
    shapes = {weight.key: weight.shape[::-1] for weight in weights}
    for entry in merged:
        for key, change in entry.adapter.changes.items():
            if shapes.get(key) != change.shape:
                needed = " x ".join(map(str, change.shape))
                raise ModelFileError(f'the adapter changes "{key}", {needed}; the model has no such matrix')
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise UnsupportedError(
            "merging an adapter needs numpy, which is not installed", hint="pip install 'edgewise[convert]'"
        ) from error


def merged_bands(weight: Weight, checkpoint: Checkpoint, merged: list[Merged], threads: int) -> Iterator[Band]:
    """As `bands`, with what the adapters add."""
    changes = [(entry, entry.adapter.changes[weight.key]) for entry in merged if weight.key in entry.adapter.changes]
    if not changes:
        yield from bands(weight, checkpoint)
        return
    import numpy as np

    halves = [(_floats(entry, change.a), _floats(entry, change.b)) for entry, change in changes]
    columns = weight.shape[0]
    for band in bands(weight, checkpoint):
        f32, _ = _core.encode(band.data, band.format, "f32", columns, threads=threads, first_row=band.first_row)
        rows = np.frombuffer(f32, "<f4").reshape(-1, columns).copy()
        chosen = _source_rows(weight, band.first_row, len(rows))
        for (entry, change), (a, b) in zip(changes, halves, strict=True):
            left, right = (a.T, b.T) if change.is_embedding else (b, a)
            rows += np.float32(change.scale * entry.strength) * (left[chosen] @ right)
        yield Band(band.first_row, "f32", rows.astype("<f4", copy=False).tobytes())


def _floats(entry: Merged, tensor: StoredTensor) -> Floats:
    import numpy as np

    data = entry.adapter.checkpoint.read(tensor)
    f32, _ = _core.encode(data, tensor.format, "f32", tensor.columns, threads=1)
    return np.frombuffer(f32, "<f4").reshape(tensor.shape)


def _source_rows(weight: Weight, first: int, count: int) -> list[int]:
    """Which rows of the model folder's matrix some rows of the GGUF file's are."""
    if weight.change != "pairs":
        return list(range(first, first + count))
    half = weight.head_length // 2
    found = []
    for row in range(first, first + count):
        head, place = divmod(row, weight.head_length)
        found.append(head * weight.head_length + place // 2 + (place % 2) * half)
    return found
