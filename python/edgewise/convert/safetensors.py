"""Weights of a model folder: safetensors files, read a band of rows at a time.

Layout of a file: the header's length as u64, the header as JSON (name -> dtype, shape, offsets), the tensors' bytes.
What the header says is proven against the file before a byte of a tensor is read.

Source: https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from edgewise.convert.fields import json_object, read_json
from edgewise.errors import ModelFileError, SystemRefused, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"

_MOST_HEADER_BYTES = 100_000_000  # the limit of the format's own library
_BYTES_OF = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
    "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "C64": 8,
}  # fmt: skip
_FORMAT_OF = {"F32": "f32", "F16": "f16", "BF16": "bf16"}
_INCOMPLETE = "the download is incomplete; get this file again"


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies, proven to be inside its file.

    Attributes:
        name: as in the header.
        path: the file.
        dtype: as the header spells it, `BF16`.
        shape: rows first.
        offset: of the first byte, from the start of the file.
    """

    name: str
    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def format(self) -> str:
        """The block format of the same numbers.

        Raises:
            UnsupportedError: if they are no floats of 16 or 32 bits.
        """
        if self.dtype not in _FORMAT_OF:
            raise UnsupportedError(
                f'tensor "{self.name}" is stored as {self.dtype}: weights in {", ".join(_FORMAT_OF)} are converted',
                hint="take the model's original weights, not a copy that was quantized already",
            )
        return _FORMAT_OF[self.dtype]

    @property
    def columns(self) -> int:
        """Values of a row; all values of a vector."""
        return self.shape[-1] if self.shape else 1

    @property
    def rows(self) -> int:
        """Rows of a matrix; 1 for a vector."""
        return math.prod(self.shape[:-1])


class Checkpoint:
    """All tensors of a folder, by name. A context manager: it keeps the files open.

    Args:
        folder: the model folder.
        whole: name of the file if there is only one.

    Raises:
        ModelFileError: if a file is missing, cut off or malformed.
        UnsupportedError: if the weights are not in safetensors files.
    """

    def __init__(self, folder: Path, whole: str = WHOLE) -> None:
        self._open_files: dict[Path, BinaryIO] = {}
        self.tensors = _of_files([folder / whole]) if (folder / whole).exists() else _of_shards(folder)

    def read(self, tensor: StoredTensor, first_row: int = 0, rows: int | None = None) -> bytes:
        """The bytes of some rows, or of all from `first_row` on."""
        row_bytes = tensor.columns * _BYTES_OF[tensor.dtype]
        size = row_bytes * (tensor.rows - first_row if rows is None else rows)
        try:
            file = self._open_files.get(tensor.path)
            if file is None:
                file = self._open_files[tensor.path] = tensor.path.open("rb")
            file.seek(tensor.offset + first_row * row_bytes)
            band = file.read(size)
        except OSError as error:
            raise SystemRefused(f"{tensor.path} cannot be read: {error.strerror or error}") from error
        if len(band) < size:
            raise _cut_off(tensor.name, tensor.path)
        return band

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._open_files.values():
            file.close()
        self._open_files.clear()


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one file.

    Raises:
        ModelFileError: if the header is malformed, or says what the file does not hold.
        SystemRefused: if the file cannot be read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if len(start) < 8 or length > min(size - 8, _MOST_HEADER_BYTES):
                finding = f"its header should have {length} bytes" if len(start) == 8 else "its header is missing"
                raise ModelFileError(f"{path}: no sound safetensors file, {finding}", hint=_INCOMPLETE)
            text = file.read(length)
    except OSError as error:
        raise SystemRefused(f"{path} cannot be read: {error.strerror or error}") from error
    header = json_object(text, f"{path}: the safetensors header")
    header.pop("__metadata__", None)
    data = 8 + length
    return {name: _proven(path, name, entry, data, size) for name, entry in header.items()}


def _proven(path: Path, name: str, entry: Any, data: int, size: int) -> StoredTensor:
    """A tensor whose bytes are where the header says, and as many as its shape needs."""
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            is_sound = dtype in _BYTES_OF and _are_lengths([*shape, begin, end])
        case _:
            is_sound = False
    if not is_sound:
        raise ModelFileError(f'{path}: the entry of tensor "{name}" has no known dtype, shape and data_offsets')
    needed = math.prod(shape) * _BYTES_OF[dtype]
    if end - begin != needed:
        raise ModelFileError(f'{path}: tensor "{name}" needs {needed} bytes, its offsets hold {end - begin}')
    if data + end > size:
        raise _cut_off(name, path)
    return StoredTensor(name, path, dtype, tuple(shape), data + begin)


def _are_lengths(values: list[Any]) -> bool:
    return all(type(value) is int and 0 <= value < 2**48 for value in values)


def _cut_off(name: str, path: Path) -> ModelFileError:
    return ModelFileError(f'{path}: the file ends before tensor "{name}" does', hint=_INCOMPLETE)


def _of_files(paths: Iterable[Path]) -> dict[str, StoredTensor]:
    tensors: dict[str, StoredTensor] = {}
    for path in paths:
        for name, tensor in read_header(path).items():
            if name in tensors:
                raise ModelFileError(f'tensor "{name}" is in {tensors[name].path} and again in {path}')
            tensors[name] = tensor
    return tensors


def _of_shards(folder: Path) -> dict[str, StoredTensor]:
    if (folder / INDEX).exists():
        names = _weight_map(folder)
        files = sorted(set(names.values()))
        where = f"{INDEX} names"
    else:
        names = {}
        files = _numbered_shards(folder)
        where = "the others count"
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise ModelFileError(
            f"{folder}: {missing[0]} is missing, which {where}"
            + (f"; so are {len(missing) - 1} more" if missing[1:] else ""),
            hint="the download is incomplete; get the missing files",
        )
    tensors = _of_files(folder / name for name in files)
    for name, file in names.items():
        if name not in tensors or tensors[name].path.name != file:
            raise ModelFileError(f'{folder}: tensor "{name}" is not in {file}, where {INDEX} says it is')
    return tensors


def _weight_map(folder: Path) -> dict[str, str]:
    path = folder / INDEX
    names = read_json(path).get("weight_map")
    # A file's name, never a path: nothing outside the folder is read.
    if not isinstance(names, dict) or not all(_is_file_name(file) for file in names.values()):
        raise ModelFileError(f'{path}: "weight_map" does not say which file of the folder holds which tensor')
    return names


def _is_file_name(name: Any) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and not re.search(r"[/\\:\0]", name)


def _numbered_shards(folder: Path) -> list[str]:
    """The names of all parts of a folder without an index, from the count that any of them tells."""
    for path in sorted(folder.glob("model-*-of-*.safetensors")):
        match = re.fullmatch(r"model-\d{1,6}-of-(\d{1,6})\.safetensors", path.name)
        if match:
            digits, count = len(match[1]), int(match[1])
            return [f"model-{part:0{digits}}-of-{match[1]}.safetensors" for part in range(1, count + 1)]
    if any(folder.glob("*.bin")) or any(folder.glob("*.pth")):
        raise UnsupportedError(
            f"{folder} has its weights as pickles, which can run code when they are read",
            hint="take the safetensors files of the same model",
        )
    raise ModelFileError(f"{folder} has no weights: {WHOLE} or {INDEX} is needed")
