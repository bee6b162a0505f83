"""Write a random LoRA adapter for a model, in the form that llama.cpp reads."""

import re
from dataclasses import dataclass
from pathlib import Path

from gguf import GGUFWriter
from gguf.constants import GGUFType, Keys

from random_model.recipe import uniform
from random_model.shape import Shape, Tensor
from random_model.writer import write_tensors


@dataclass(frozen=True)
class Adapter:
    """What an adapter changes, and how much.

    At a scale (times alpha / rank, where alpha is not 0) of 1 it adds to each product as much as the matrix gives.

    Attributes:
        rank: rows of every A, columns of every B.
        alpha: see above.
        matrices: pattern of the names of the matrices that it changes.
        format_name: how A and B are stored.
    """

    rank: int
    alpha: float
    matrices: str = r"blk\."
    format_name: str = "f32"

    def tensors(self, shape: Shape) -> list[Tensor]:
        """A and B of all matrices that it changes."""
        changed = [one for one in shape.tensors() if one.kind == "matrix" and re.search(self.matrices, one.name)]
        return [half for matrix in changed for half in self._pair(matrix)]

    def _pair(self, matrix: Tensor) -> list[Tensor]:
        if matrix.name == "token_embd.weight":  # looked up, not multiplied: one row of A for each token
            rows, inputs, outputs, gain = matrix.rows, self.rank, matrix.columns, matrix.deviation
            spread = 1.0
        else:
            rows, inputs, outputs, gain = self.rank, matrix.columns, matrix.rows, matrix.deviation * matrix.columns**0.5
            spread = matrix.columns**-0.5
        return [
            Tensor(f"{matrix.name}.lora_a", "matrix", rows, inputs, spread),
            Tensor(f"{matrix.name}.lora_b", "matrix", outputs, self.rank, gain / self.rank**0.5),
        ]


def write_adapter(path: Path, shape: Shape, adapter: Adapter, seed: int, *, as_f32: bool = False) -> None:
    """Write a GGUF file.

    Args:
        path: the file to write.
        shape: hyperparameters of the model that it is for.
        adapter: what it changes.
        seed: the same seed gives the same bytes.
        as_f32: store as f32 what the file without this argument holds in the adapter's format.
    """
    writer = GGUFWriter(path, shape.architecture)
    writer.add_type(GGUFType.ADAPTER)
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, adapter.alpha)
    write_tensors(writer, adapter.tensors(shape), uniform(adapter.format_name), seed, as_f32=as_f32)
