"""A LoRA adapter as a GGUF file of its own, which engines apply when a model runs.

Source: llama.cpp's loader of adapters, which defines the keys, the names and which matrix is transposed.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.convert.architectures import OUTPUT
from edgewise.convert.conversion import Report
from edgewise.convert.fields import read_json
from edgewise.convert.lora import Adapter, LowRank, open_adapter
from edgewise.convert.metadata import typed
from edgewise.convert.model_config import ModelConfig, read_config
from edgewise.convert.parts import Part
from edgewise.convert.weights import in_pairs
from edgewise.errors import InvalidArgument
from edgewise.quantize.bands import Target, write
from edgewise.quantize.plan import Plan, PlannedTensor
from edgewise.quantize.roles import Tensor

if TYPE_CHECKING:
    from pathlib import Path

    from edgewise.convert.metadata import Metadata

_FORMATS = {"f32": 0, "f16": 1, "bf16": 32}  # format -> general.file_type


def convert_adapter(folder: Path, base: Path, path: Path, kind: str = "f32", *, replace: bool = False) -> Report:
    """Writes an adapter as a GGUF file.

    Args:
        folder: adapter_config.json and adapter_model.safetensors, as PEFT saves them.
        base: the folder of the model that it belongs to; of its files only config.json is needed.
        path: the file to write.
        kind: the format of the matrices, f32, f16 or bf16.
        replace: whether a file at `path` is replaced.

    Raises:
        ModelFileError: if a part is missing, malformed, or does not fit the base model.
        UnsupportedError: if it is an adapter of a kind that is not converted.
        InvalidArgument: if the file exists already, or the format is none of those.
    """
    if kind not in _FORMATS:
        raise InvalidArgument(f"adapters are stored as {', '.join(_FORMATS)}, not as {kind!r}")
    config = read_config(read_json(base / "config.json"))
    adapter = open_adapter(folder)
    with adapter.checkpoint:
        parts = _parts(config)
        adapter.require_matrices({key: config.shape(part.shape) for key, part in parts.items()})
        halves: list[_Half] = []
        # The file has one alpha, which engines divide by the rank of each pair: what differs goes into b.
        alpha = Counter(change.alpha for change in adapter.changes.values()).most_common(1)[0][0]
        for key, change in adapter.changes.items():
            part = parts[key]
            head_length = config.sizes["head"] if part.change == "pairs" else 0
            halves.append(_Half(f"{part.target}.lora_a", change))
            halves.append(_Half(f"{part.target}.lora_b", change, change.alpha / alpha, head_length))
        metadata: Metadata = {
            "general.architecture": config.architecture.name,
            "general.type": "adapter",
            "adapter.type": "lora",
            "adapter.lora.alpha": alpha,
            "general.name": folder.resolve().name,
            "general.file_type": _FORMATS[kind],
        }
        tensors = tuple(PlannedTensor(Tensor(half.name, "f32", half.shape), kind, "asked for") for half in halves)
        plan = Plan(tensors, _FORMATS[kind])
        source = _AdapterSource(adapter, halves)
        written = write(plan, source, Target(path, typed(metadata), replace=replace), threads=1)
    parameters = sum(tensor.values for tensor in tensors)
    return Report(path, config.architecture.name, parameters, written.size_bytes, {kind: len(tensors)}, [])


@dataclass(frozen=True)
class _Half:
    """One matrix of a pair.

    Attributes:
        name: in the file.
        change: the pair; `lora_a` is its a, anything else its b.
        factor: what b is multiplied by.
        head_length: rows of a head of b, whose rotated pairs become neighbours; 0 if they stay.
    """

    name: str
    change: LowRank
    factor: float = 1.0
    head_length: int = 0

    @property
    def is_a(self) -> bool:
        return self.name.endswith("lora_a")

    @property
    def shape(self) -> tuple[int, int]:
        """Columns first: (inputs, rank) and (rank, outputs). That of an embedding has a row for each token in a."""
        change = self.change
        if self.is_a:
            inputs = change.a.shape[1]
            return (change.rank, inputs) if change.is_embedding else (inputs, change.rank)
        return change.rank, change.b.shape[0]


class _AdapterSource:
    """The matrices of an adapter as the file has them."""

    def __init__(self, adapter: Adapter, halves: list[_Half]) -> None:
        self._adapter = adapter
        self._halves = {half.name: half for half in halves}

    def read(self, name: str, first_row: int, rows: int, /) -> bytes:
        """Some rows; the whole matrix is read for them, which is small."""
        half = self._halves[name]
        row_bytes = 4 * half.shape[0]
        return self._whole(half)[first_row * row_bytes :][: rows * row_bytes]

    def release(self, name: str, first_row: int, rows: int, /) -> None:
        """Nothing is kept."""

    def _whole(self, half: _Half) -> bytes:
        change = half.change
        data = self._adapter.read(change.a if half.is_a else change.b)
        if half.is_a:
            return _transposed(data, *change.a.shape) if change.is_embedding else data
        if half.head_length:
            data = in_pairs(data, 4 * change.rank, half.head_length)
        return data if half.factor == 1 else _scaled(data, half.factor)


def _parts(config: ModelConfig) -> dict[str, Part]:
    """Every matrix of the model by its key, under the name that it has in the file."""
    found = {part.source: part for part in (*config.architecture.front, *config.architecture.back)}
    if not config.is_tied:
        found[OUTPUT.source] = OUTPUT
    for block in range(config.block_count):
        for part in config.architecture.layer:
            target = f"blk.{block}.{part.target}"
            found[f"layers.{block}.{part.source}"] = Part(part.source, target, part.shape, part.change)
    return {key: part for key, part in found.items() if len(part.shape) == 2}


def _scaled(data: bytes, factor: float) -> bytes:
    values = struct.unpack(f"<{len(data) // 4}f", data)
    return struct.pack(f"<{len(values)}f", *(value * factor for value in values))


def _transposed(data: bytes, rows: int, columns: int) -> bytes:
    values = struct.unpack(f"<{len(data) // 4}f", data)
    return b"".join(struct.pack(f"<{rows}f", *values[column::columns]) for column in range(columns))
