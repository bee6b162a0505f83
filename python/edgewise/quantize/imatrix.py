"""Importance matrices: how much each column of each weight matrix matters, measured on a text.

The importance of a column is the mean of the squares that it was multiplied by. llama.cpp's files hold sums, and counts
of tokens; both of its forms are read, the GGUF one is written.

Source: llama.cpp's tools/imatrix and common/imatrix-loader.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field
from math import isfinite, prod
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.errors import InvalidArgument, ModelFileError, SystemRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

SUMS, COUNTS = ".in_sum2", ".counts"
"""What follows a tensor's name in the names of a file's tensors."""

_GGUF = b"GGUF"
_MOST_NAME_BYTES = 1 << 16


@dataclass(frozen=True)
class Sums:
    """What was measured of one weight tensor.

    Args:
        squares: for each matrix of the tensor one after another, the sum of squares of each column's inputs, as floats.
        counts: the tokens that each matrix saw; one number unless the tensor holds experts.
    """

    squares: array[float]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.squares.typecode != "f" or not self.counts or len(self.squares) % len(self.counts):
            raise InvalidArgument(f"{len(self.squares)} sums are not as many for each of {len(self.counts)} matrices")

    @property
    def columns(self) -> int:
        """Columns of each matrix."""
        return len(self.squares) // len(self.counts)

    def means(self) -> array[float]:
        """Importance of each column: mean squares, and ones where a matrix saw no token."""
        means = array("f")
        for index, count in enumerate(self.counts):
            squares = self.squares[index * self.columns : (index + 1) * self.columns]
            means.extend(square / count if count > 0 else 1.0 for square in squares)
        return means


@dataclass(frozen=True)
class ImportanceMatrix:
    """What one or more runs measured.

    Args:
        entries: name of a weight tensor -> its sums.
        datasets: the texts, as their files were called.
        chunk_count: pieces of text that were evaluated.
        chunk_size: tokens of each; 0 if not known.
    """

    entries: Mapping[str, Sums] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    chunk_count: int = 0
    chunk_size: int = 0

    def importance(self, name: str, columns: int, matrices: int) -> array[float] | None:
        """The importance of each column of a tensor, matrix after matrix; None if nothing was measured of it.

        Raises:
            InvalidArgument: if what was measured has another size. Embeddings are looked up, not multiplied: what is
                measured of them is of the output projection, so another size counts as nothing.
        """
        found = self.entries.get(name)
        if found is None:
            return None
        if len(found.squares) == columns * matrices:
            return found.means()
        if name == "token_embd.weight":
            return None
        raise InvalidArgument(
            f'importance matrix: entry "{name}" has {len(found.squares)} values, the tensor has {columns} columns'
            + (f" in each of {matrices} matrices" if matrices > 1 else ""),
            hint="the importance matrix is of another model",
        )


def read(path: Path) -> ImportanceMatrix:
    """Reads a file of either form.

    Raises:
        ModelFileError: if it is neither, damaged, or holds numbers that no measurement gives.
        SystemRefused: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(4)
    except OSError as error:
        raise SystemRefused(f"{path} cannot be read: {error.strerror}") from error
    matrix = _read_gguf(path) if beginning == _GGUF else _read_legacy(path)
    if not matrix.entries:
        raise ModelFileError(f"{path}: no importance matrix: it measures no tensor")
    for name, sums in matrix.entries.items():
        if isfinite(sum(sums.squares)) and min(sums.squares) >= 0:
            continue
        column, square = next(
            (i, square) for i, square in enumerate(sums.squares) if not (isfinite(square) and square >= 0)
        )
        raise ModelFileError(
            f'{path}: entry "{name}": value {column} is {square}; sums of squares are finite and not negative'
        )
    return matrix


def write(path: Path, matrix: ImportanceMatrix, *, replace: bool = False) -> None:
    """Writes the GGUF form, which llama.cpp reads too.

    Args:
        path: the file to be.
        matrix: what to write.
        replace: whether a file of that name may be replaced.

    Raises:
        InvalidArgument: if there is a file of that name.
        SystemRefused: if it cannot be written.
    """
    entries = sorted(matrix.entries.items())
    metadata = [
        ("general.type", "string", "imatrix"),
        ("imatrix.datasets", "[string]", list(matrix.datasets)),
        ("imatrix.chunk_count", "u32", matrix.chunk_count),
        ("imatrix.chunk_size", "u32", matrix.chunk_size),
    ]
    tensors = []
    for name, sums in entries:
        matrices = [len(sums.counts)] if len(sums.counts) > 1 else []
        tensors += [(name + SUMS, "f32", [sums.columns, *matrices]), (name + COUNTS, "f32", [1, *matrices])]
    writer = _core.GgufWriter(path, metadata, tensors, replace=replace)
    for _, sums in entries:
        writer.write(sums.squares.tobytes())
        writer.write(array("f", sums.counts).tobytes())
    writer.finish()


def _read_gguf(path: Path) -> ImportanceMatrix:
    file = _core.ModelFile(path)
    tensors = {name: (kind, shape) for name, kind, shape, _ in file.tensors()}
    if not any(name.endswith(SUMS) for name in tensors):
        raise ModelFileError(
            f"{path}: no importance matrix: it has no tensor whose name ends in {SUMS}",
            hint="`edgewise show` says what the file is",
        )
    entries = {}
    for name in dict.fromkeys(name.removesuffix(SUMS).removesuffix(COUNTS) for name in tensors):
        squares, counts = _floats(file, path, name + SUMS, tensors), _floats(file, path, name + COUNTS, tensors)
        if len(squares) % len(counts):
            raise ModelFileError(f'{path}: entry "{name}": {len(squares)} sums for {len(counts)} matrices')
        if not all(isfinite(count) for count in counts):
            raise ModelFileError(f'{path}: entry "{name}": a count of tokens is no number')
        entries[name] = Sums(squares, tuple(round(count) for count in counts))
    metadata = file.metadata()
    return ImportanceMatrix(
        entries,
        tuple(str(text) for text in file.array("imatrix.datasets") or ()),
        _number(metadata, "imatrix.chunk_count"),
        _number(metadata, "imatrix.chunk_size"),
    )


def _floats(file: _core.ModelFile, path: Path, name: str, tensors: Mapping[str, tuple[str, list[int]]]) -> array[float]:
    if name not in tensors:
        raise ModelFileError(f'{path}: no importance matrix: tensor "{name}" is missing')
    kind, shape = tensors[name]
    if kind != "f32":
        raise ModelFileError(f'{path}: tensor "{name}" is {kind}; importance matrices hold f32')
    values = array("f")
    values.frombytes(bytes(file.read(name, 0, prod(shape[1:]))))
    return values


def _number(metadata: Mapping[str, object], key: str) -> int:
    value = metadata.get(key)
    return value if isinstance(value, int) else 0


def _read_legacy(path: Path) -> ImportanceMatrix:
    """The older form: entries of means times a number of calls; then chunks and the text's name, if they are there."""
    cursor = _Cursor(path.read_bytes(), path)
    entries = {}
    for _ in range(cursor.count("entries")):
        name = cursor.text("name of an entry")
        calls = cursor.number("calls")
        values = cursor.floats(cursor.count("values"))
        if name in entries:
            raise ModelFileError(f'{path}: no importance matrix: entry "{name}" is there twice')
        entries[name] = Sums(values, (max(calls, 1),))
    if cursor.is_at_end:
        return ImportanceMatrix(entries)
    chunk_count = cursor.number("chunks")
    datasets = () if cursor.is_at_end else tuple(filter(None, [cursor.text("dataset")]))
    return ImportanceMatrix(entries, datasets, max(chunk_count, 0))


class _Cursor:
    """Reads a legacy file from its beginning to its end."""

    def __init__(self, data: bytes, path: Path) -> None:
        self._data, self._path, self._at = data, path, 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def number(self, what: str) -> int:
        number: int = struct.unpack("<i", self._take(4, what))[0]
        return number

    def count(self, what: str) -> int:
        count = self.number(f"number of {what}")
        if count < 1:
            raise self._malformed(f"{count} {what}")
        return count

    def text(self, what: str) -> str:
        size = self.number(f"length of the {what}")
        if not 0 <= size <= _MOST_NAME_BYTES:
            raise self._malformed(f"the {what} has {size} bytes")
        return self._take(size, what).decode(errors="replace")

    def floats(self, count: int) -> array[float]:
        values = array("f")
        values.frombytes(self._take(4 * count, "values"))
        return values

    def _take(self, size: int, what: str) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise self._malformed(f"{what}: {size} bytes needed, {len(taken)} left")
        self._at += size
        return taken

    def _malformed(self, finding: str) -> ModelFileError:
        return ModelFileError(f"{self._path}: no importance matrix: {finding}, at byte {self._at}")
