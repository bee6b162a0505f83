"""Write a model with random weights: metadata first, then one band of rows after another."""

from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGUFWriter
from gguf.quants import dequantize

from random_model.blocks import Bytes, RandomBytes, format_type, random_floats, random_rows
from random_model.recipe import FALLBACKS, Recipe
from random_model.shape import Shape, Tensor

_BAND_VALUES = 1 << 24


def write_model(path: Path, shape: Shape, recipe: Recipe, seed: int, *, as_f32: bool = False) -> None:
    """Write a GGUF file; memory stays at a few dozen MB whatever the size of the model.

    Args:
        path: the file to write.
        shape: hyperparameters, which give tensors and metadata.
        recipe: the format of each matrix; vectors are f32.
        seed: the same seed gives the same bytes.
        as_f32: store as f32 what the file without this argument holds in the formats of `recipe`.
    """
    writer = GGUFWriter(path, shape.architecture)
    writer.add_name("random weights")
    shape.add_to(writer)
    write_tensors(writer, shape.tensors(), recipe, seed, as_f32=as_f32)


def write_tensors(writer: GGUFWriter, tensors: list[Tensor], recipe: Recipe, seed: int, *, as_f32: bool) -> None:
    """Write a file whose metadata is complete; see `write_model`."""
    stored_as = [(tensor, _format(tensor, recipe)) for tensor in tensors]
    for tensor, name in stored_as:
        dimensions = (tensor.columns,) if tensor.kind == "vector" else (tensor.rows, tensor.columns)
        stored = "f32" if as_f32 else name
        size = tensor.rows * _row_bytes(tensor, stored)
        writer.add_tensor_info(tensor.name, dimensions, np.dtype(np.float32), size, format_type(stored))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    assert writer.fout is not None
    file = writer.fout[0]
    for tensor, name in stored_as:
        writer.write_padding(file, file.tell())
        stream = RandomBytes(seed, tensor.name)
        if tensor.kind == "vector":
            file.write(random_floats(stream, tensor.columns, tensor.deviation, tensor.mean).astype("<f4").tobytes())
            continue
        band = max(1, _BAND_VALUES // tensor.columns)
        for row in range(0, tensor.rows, band):
            rows = min(band, tensor.rows - row)
            weights = random_rows(stream, name, rows, tensor.columns, tensor.deviation)
            file.write((_expanded(weights, name) if as_f32 else weights).data)
    writer.write_padding(file, file.tell())
    writer.close()


def _format(tensor: Tensor, recipe: Recipe) -> str:
    if tensor.kind == "vector":
        return "f32"
    name = recipe(tensor.name)
    return FALLBACKS[name] if tensor.columns % GGML_QUANT_SIZES[format_type(name)][0] else name


def _expanded(weights: Bytes, name: str) -> Bytes:
    return dequantize(weights, format_type(name)).astype("<f4").view(np.uint8)


def _row_bytes(tensor: Tensor, name: str) -> int:
    values_per_block, bytes_per_block = GGML_QUANT_SIZES[format_type(name)]
    return tensor.columns // values_per_block * bytes_per_block
