"""Small models of random weights, whole or spoilt."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

from gguf import GGUFReader

from random_model.recipe import uniform
from random_model.shape import Shape
from random_model.writer import write_model

SHAPE = Shape(
    architecture="llama",
    block_count=2,
    embedding_length=256,
    feed_forward_length=512,
    head_count=4,
    head_count_kv=2,
    key_length=64,
    vocabulary_size=320,
)
TIED = replace(SHAPE, is_tied=True)


def model(folder: Path, format_name: str = "f16", shape: Shape = SHAPE, seed: int = 1) -> Path:
    """A model whose matrices are all in one format."""
    path = folder / f"model-{format_name}.gguf"
    write_model(path, shape, uniform(format_name), seed)
    return path


def spoil(path: Path, tensor: str, index: int, value: float) -> None:
    """Puts a number into a tensor of f32 or f16."""
    found = next(found for found in GGUFReader(path).tensors if found.name == tensor)
    kind = {"F32": "<f", "F16": "<e"}[found.tensor_type.name]
    with path.open("r+b") as file:
        file.seek(found.data_offset + struct.calcsize(kind) * index)
        file.write(struct.pack(kind, value))
