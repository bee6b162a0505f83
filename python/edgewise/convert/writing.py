"""Tensors into a GGUF file, band by band: the model is never in memory, and no half file stays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.errors import InvalidArgument, ModelFileError

if TYPE_CHECKING:
    from edgewise.convert.metadata import Metadata, Value
    from edgewise.convert.weights import Band


@dataclass(frozen=True)
class Output:
    """Where to write and how.

    Attributes:
        path: the file.
        replace: whether a file there is replaced.
        threads: how many threads encode.
    """

    path: Path
    replace: bool
    threads: int


@dataclass(frozen=True)
class Planned:
    """A tensor to be written.

    Attributes:
        name: in the file.
        source: what it is called where it comes from, for messages.
        format: what it is stored in.
        shape: columns first.
        bands: gives its values in order.
    """

    name: str
    source: str
    format: str
    shape: tuple[int, ...]
    bands: Callable[[], Iterator[Band]]


def write(
    output: Output,
    metadata: Metadata,
    tensors: Sequence[Planned],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes a file; `progress` is told how many weights are written, and how many there are.

    Raises:
        ModelFileError: if a weight is not finite or too large for the format, naming it; nothing is left then.
        InvalidArgument: if the file exists already.
        SystemRefused: if the disk is full, or refuses otherwise.
    """
    total = sum(math.prod(tensor.shape) for tensor in tensors)
    done = 0
    writer = _core.GgufWriter(
        output.path,
        [(key, _type_of(value), value) for key, value in metadata.items()],
        [(tensor.name, tensor.format, tensor.shape) for tensor in tensors],
        replace=output.replace,
    )
    try:
        for tensor in tensors:
            columns = tensor.shape[0]
            row_bytes = _row_bytes(tensor)
            for band in tensor.bands():
                encoded = _encoded(tensor, band, columns, output.threads)
                writer.write(encoded)
                done += len(encoded) // row_bytes * columns
                if progress is not None:
                    progress(done, total)
        writer.finish()
    except BaseException:
        writer.discard()
        raise


def _encoded(tensor: Planned, band: Band, columns: int, threads: int) -> bytes:
    try:
        return _core.encode(band.data, band.format, tensor.format, columns, threads=threads, first_row=band.first_row)[
            0
        ]
    except InvalidArgument as error:
        raise ModelFileError(f'tensor "{tensor.source}": {error.message}', hint=error.hint) from error


def _row_bytes(tensor: Planned) -> int:
    values, size = _core.block_size(tensor.format)
    return tensor.shape[0] // values * size


def _type_of(value: Value) -> str:
    """The type that a value has in the file."""
    if isinstance(value, list):
        return f"[{'i32' if value and type(value[0]) is int else _type_of(value[0])}]" if value else "[i32]"
    if isinstance(value, bool):
        return "bool"
    return {int: "u32", float: "f32", str: "string"}[type(value)]
