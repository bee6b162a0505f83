"""A LoRA adapter as a GGUF file of its own, which engines apply when a model runs.

Source: llama.cpp's loader of adapters, which defines the keys, the names and which matrix is transposed.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.convert.architectures import OUTPUT, Part
from edgewise.convert.conversion import Report
from edgewise.convert.fields import read_json
from edgewise.convert.lora import LowRank, open_adapter
from edgewise.convert.model_config import ModelConfig, read_config
from edgewise.convert.weights import Band, in_pairs
from edgewise.convert.writing import Output, Planned, write
from edgewise.errors import InvalidArgument, ModelFileError, UnsupportedError

if TYPE_CHECKING:
    from edgewise.convert.metadata import Metadata
    from edgewise.convert.safetensors import Checkpoint, StoredTensor

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
        # The file has one alpha, which engines divide by the rank of each pair: what differs goes into b.
        alpha = Counter(change.alpha for change in adapter.changes.values()).most_common(1)[0][0]
        planned = []
        for key, change in adapter.changes.items():
            part = parts.get(key)
            if part is None or config.shape(part.shape) != change.shape:
                needed = " x ".join(map(str, change.shape))
                raise ModelFileError(f'the adapter changes "{key}", {needed}; the model has no such matrix')
            planned += _pair(part, key, change, adapter.checkpoint, config.sizes["head"], alpha, kind)
        planned.sort(key=lambda tensor: tensor.name)
        metadata: Metadata = {
            "general.architecture": config.architecture.name,
            "general.type": "adapter",
            "adapter.type": "lora",
            "adapter.lora.alpha": alpha,
            "general.name": folder.resolve().name,
            "general.file_type": _FORMATS[kind],
        }
        write(Output(path, replace, 1), metadata, planned)
    counts = dict(Counter(tensor.format for tensor in planned))
    parameters = sum(tensor.shape[0] * tensor.shape[1] for tensor in planned)
    return Report(path, config.architecture.name, parameters, path.stat().st_size, counts, [])


def _parts(config: ModelConfig) -> dict[str, Part]:
    """Every matrix of the model by its key, under the name that it has in the file."""
    found = {part.source: part for part in config.architecture.whole}
    if not config.is_tied:
        found[OUTPUT.source] = OUTPUT
    for block in range(config.block_count):
        for part in config.architecture.layer:
            target = f"blk.{block}.{part.target}"
            found[f"layers.{block}.{part.source}"] = Part(part.source, target, part.shape, part.change)
    return {key: part for key, part in found.items() if len(part.shape) == 2}


def _pair(
    part: Part, key: str, change: LowRank, checkpoint: Checkpoint, head_length: int, alpha: float, kind: str
) -> list[Planned]:
    """Both matrices: a (inputs, rank) and b (rank, outputs), columns first; of the embedding a the other way round."""
    if part.change == "pairs" and change.is_embedding:
        raise UnsupportedError(f'the adapter changes "{key}" as an embedding')
    strength = change.alpha / alpha
    inputs, outputs = change.a.shape[1], change.b.shape[0]
    a_shape = (change.rank, inputs) if change.is_embedding else (inputs, change.rank)

    def a() -> Iterator[Band]:
        data = _f32(checkpoint, change.a)
        yield Band(0, "f32", _transposed(data, change.rank, inputs) if change.is_embedding else data)

    def b() -> Iterator[Band]:
        data = _f32(checkpoint, change.b)
        if part.change == "pairs":
            data = in_pairs(data, 4 * change.rank, head_length)
        yield Band(0, "f32", data if strength == 1 else _scaled(data, strength))

    return [
        Planned(f"{part.target}.lora_a", change.a.name, kind, a_shape, a),
        Planned(f"{part.target}.lora_b", change.b.name, kind, (change.rank, outputs), b),
    ]


def _f32(checkpoint: Checkpoint, tensor: StoredTensor) -> bytes:
    return _core.encode(checkpoint.read(tensor), tensor.format, "f32", tensor.columns, threads=1)[0]


def _scaled(data: bytes, factor: float) -> bytes:
    values = struct.unpack(f"<{len(data) // 4}f", data)
    return struct.pack(f"<{len(values)}f", *(value * factor for value in values))


def _transposed(data: bytes, rows: int, columns: int) -> bytes:
    values = struct.unpack(f"<{len(data) // 4}f", data)
    return b"".join(struct.pack(f"<{rows}f", *values[column::columns]) for column in range(columns))
