"""The tensors of a GGUF file to be, as they are asked for: some rows at a time, checked and in their new order."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.convert.weights import in_pairs
from edgewise.errors import InvalidArgument, ModelFileError
from edgewise.quantize.roles import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.convert.merging import Merger
    from edgewise.convert.safetensors import Checkpoint, StoredTensor
    from edgewise.convert.weights import Weight


class FolderSource:
    """Rows of the weights of a model folder.

    Args:
        weights: the tensors.
        checkpoint: where they are.
        threads: how many threads work.
        merger: adds what adapters add; none without adapters.
    """

    def __init__(
        self, weights: Sequence[Weight], checkpoint: Checkpoint, threads: int, merger: Merger | None = None
    ) -> None:
        self._weights = {weight.name: weight for weight in weights}
        self._checkpoint = checkpoint
        self._threads = threads
        self._merger = merger

    def tensors(self) -> tuple[Tensor, ...]:
        """Names, formats and shapes of what `read` gives."""
        return tuple(Tensor(weight.name, self._format(weight), weight.shape) for weight in self._weights.values())

    def read(self, name: str, first_row: int, rows: int, /) -> bytes:
        """Some rows of a tensor; vectors have one.

        Raises:
            ModelFileError: if a weight is not finite, naming it.
            SystemRefused: if a file cannot be read.
        """
        weight = self._weights[name]
        if weight.source is None:
            return struct.pack(f"<{len(weight.values)}f", *weight.values)
        if weight.is_vector:
            return self._vector(weight, weight.source)
        unit = weight.head_length if weight.change == "pairs" else 1
        start, end = first_row // unit * unit, -(-(first_row + rows) // unit) * unit
        data = self._checked(weight, weight.source, start, end - start)
        row_bytes = len(data) // (end - start)
        if weight.change == "pairs":
            data = in_pairs(data, row_bytes, unit)
        return data[(first_row - start) * row_bytes :][: rows * row_bytes]

    def release(self, name: str, first_row: int, rows: int, /) -> None:
        """Nothing is kept."""

    def explained(self, error: InvalidArgument) -> InvalidArgument:
        """An error about a tensor of the file, with the name that it has in the folder; others as they are."""
        for weight in self._weights.values():
            told = f'tensor "{weight.name}": '
            if weight.source is not None and error.message.startswith(told):
                finding = error.message.removeprefix(told)
                return InvalidArgument(
                    f'tensor "{weight.source.name}", in the file "{weight.name}": {finding}', hint=error.hint
                )
        return error

    def _format(self, weight: Weight) -> str:
        is_merged = self._merger is not None and self._merger.changes(weight)
        return "f32" if weight.is_vector or is_merged else weight.stored_format

    def _vector(self, weight: Weight, source: StoredTensor) -> bytes:
        data = self._encoded(source, "f32", 0, 1)
        if weight.change == "pairs":
            return in_pairs(data, 4, weight.head_length)
        if weight.change == "add_one":  # such norms are stored as their difference from 1
            values = struct.unpack(f"<{weight.shape[0]}f", data)
            return struct.pack(f"<{len(values)}f", *(value + 1 for value in values))
        return data

    def _checked(self, weight: Weight, source: StoredTensor, first_row: int, rows: int) -> bytes:
        """Rows as the folder orders them, in the format that `tensors` says."""
        data = self._encoded(source, self._format(weight), first_row, rows)
        if self._merger is None or not self._merger.changes(weight):
            return data
        return self._merger.merged(weight, data, first_row)

    def _encoded(self, source: StoredTensor, form: str, first_row: int, rows: int) -> bytes:
        """Rows of the folder in a format; also in the one they have, which checks them."""
        data = self._checkpoint.read(source, first_row, rows)
        try:
            return _core.encode(data, source.format, form, source.columns, threads=self._threads, first_row=first_row)[
                0
            ]
        except InvalidArgument as error:
            raise ModelFileError(f'tensor "{source.name}": {error.message}', hint=error.hint) from error
