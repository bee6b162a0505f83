"""What each format would cost each tensor, measured on some of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.errors import EdgewiseError
from edgewise.quantize.budget import Option
from edgewise.quantize.mixes import row_bytes

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    from edgewise.quantize.bands import Source
    from edgewise.quantize.plan import PlannedTensor

_SAMPLE_VALUES = 1 << 17
_MOST_MATRICES = 4  # of a tensor of experts


def measure(
    tensor: PlannedTensor,
    formats: Sequence[str],
    source: Source,
    *,
    importance: array[float] | None = None,
    threads: int,
    isa: str | None = None,
) -> tuple[Option, ...]:
    """What a tensor would lose in each of some formats, and what it would take.

    Args:
        tensor: its shape and format.
        formats: to try; those whose blocks do not fit are left out.
        source: where its rows come from.
        importance: of each column, matrix after matrix.
        threads: how many threads encode.
        isa: their instruction set; the fastest if None.

    Raises:
        InvalidArgument: if a weight is not finite, which names the tensor.
    """
    name, columns = tensor.source.name, tensor.columns
    parts = []
    for first, rows in _sampled(tensor):
        weights = None
        if importance is not None:
            start = first // tensor.rows_per_matrix * columns
            weights = importance[start : start + columns].tobytes()
        parts.append((b"".join(bytes(source.read(name, row, 1)) for row in rows), weights))
    source.release(name, 0, tensor.rows)
    options = []
    for candidate in formats:
        size = row_bytes(candidate, columns)
        if size is None:
            continue
        squared_error = squared = 0.0
        for data, weights in parts:
            try:
                _, (error, total) = _core.encode(
                    data, tensor.source.format, candidate, columns, importance=weights, threads=threads, isa=isa
                )
            except EdgewiseError as refused:
                raise type(refused)(
                    f'tensor "{name}", among sampled rows: {refused.message}', refused.hint
                ) from refused
            squared_error += error
            squared += total
        options.append(Option(candidate, tensor.rows * size, squared_error / squared if squared else 0.0))
    return tuple(options)


def _sampled(tensor: PlannedTensor) -> list[tuple[int, list[int]]]:
    """Rows that stand for the rest: the first row of a matrix, and some of its rows, spread evenly."""
    matrices = tensor.rows // tensor.rows_per_matrix
    chosen = _spread(matrices, _MOST_MATRICES)
    rows = max(1, _SAMPLE_VALUES // tensor.columns // len(chosen))
    return [
        (first, [first + row for row in _spread(tensor.rows_per_matrix, rows)])
        for first in (matrix * tensor.rows_per_matrix for matrix in chosen)
    ]


def _spread(count: int, most: int) -> list[int]:
    """At most so many of the numbers below `count`, at even distances."""
    most = min(count, most)
    return [(2 * index + 1) * count // (2 * most) for index in range(most)]
