"""The tensors of a GGUF file to be: where each comes from, and what happens to it on the way."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.convert.architectures import OUTPUT
from edgewise.errors import ModelFileError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgewise.convert.model_config import ModelConfig
    from edgewise.convert.parts import Change, Part
    from edgewise.convert.safetensors import StoredTensor


@dataclass(frozen=True)
class Weight:
    """One tensor.

    Attributes:
        name: in the GGUF file.
        shape: columns first.
        source: where its values are; None if they follow from the configuration.
        values: those that follow from it.
        change: what happens to them.
        head_length: rows of a head, which `pairs` keeps together.
        key: name in the model folder below the text model: `layers.0.self_attn.q_proj.weight`.
    """

    name: str
    shape: tuple[int, ...]
    source: StoredTensor | None
    values: tuple[float, ...] = ()
    change: Change = "none"
    head_length: int = 1
    key: str = ""

    @property
    def is_vector(self) -> bool:
        """Whether it is a norm, a bias or the like, which stay f32."""
        return len(self.shape) == 1

    @property
    def values_count(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def stored_format(self) -> str:
        """The format of its source."""
        return "f32" if self.source is None else self.source.format


def plan_weights(config: ModelConfig, tensors: Mapping[str, StoredTensor]) -> tuple[list[Weight], list[str]]:
    """All tensors in file order, and the names of those that are left out.

    Raises:
        ModelFileError: if a tensor is missing, or has another shape than the configuration says.
        UnsupportedError: if there are tensors that the architecture does not have.
    """
    architecture = config.architecture
    prefix = _prefix_of_text_model(tensors, architecture.front[0].source)
    used: set[str] = set()

    def take(part: Part, name: str, target: str) -> Weight | None:
        if name not in tensors and part.is_optional:
            return None
        if name not in tensors:
            raise ModelFileError(
                f'tensor "{name}" is missing', hint="config.json does not belong to these weights, or a file is missing"
            )
        used.add(name)
        tensor, shape = tensors[name], config.shape(part.shape)
        if tensor.shape != shape:
            found, needed = (" x ".join(map(str, lengths)) for lengths in (tensor.shape, shape))
            raise ModelFileError(f'tensor "{name}" is {found}; config.json says {needed}')
        key = name.removeprefix(prefix)
        return Weight(target, shape[::-1], tensor, (), part.change, config.sizes["head"], key)

    weights = [take(part, prefix + part.source, part.target) for part in architecture.front]
    weights += [Weight(name, (len(values),), None, tuple(values)) for name, values in config.rope.factors.items()]
    for block in range(config.block_count):
        for part in architecture.layer:
            name = f"{prefix}{architecture.layers}.{block}.{part.source}"
            weights.append(take(part, name, f"blk.{block}.{part.target}"))
    weights += [take(part, prefix + part.source, part.target) for part in architecture.back]
    heads = [name for name in tensors if name == OUTPUT.source or name.endswith(f".{OUTPUT.source}")]
    if config.is_tied:
        used.update(heads)
    else:
        weights.append(take(OUTPUT, heads[0] if len(heads) == 1 else OUTPUT.source, OUTPUT.target))
    rest = [name for name in tensors if name not in used]
    for name in rest:
        if not re.search(architecture.beside, name):
            raise UnsupportedError(f'tensor "{name}" is not one that {architecture.classes[0]} has')
    return [weight for weight in weights if weight is not None], [name for name in rest if "inv_freq" not in name]


def in_pairs(rows: bytes, row_bytes: int, head_length: int) -> bytes:
    """Rows of heads whose rotated pairs are neighbours, from rows where one half of a head follows the other."""
    found = bytearray(len(rows))
    view, half = memoryview(rows), head_length // 2
    for head in range(0, len(rows) // row_bytes, head_length):
        for pair in range(half):
            for side in (0, 1):
                source, target = (head + pair + side * half) * row_bytes, (head + 2 * pair + side) * row_bytes
                found[target : target + row_bytes] = view[source : source + row_bytes]
    return bytes(found)


def _prefix_of_text_model(tensors: Mapping[str, StoredTensor], embedding: str) -> str:
    """What stands before the names of the text model: `model.`, or more where the model also sees."""
    names = [name for name in tensors if name == embedding or name.endswith(f".{embedding}")]
    if len(names) != 1:
        finding = f"there are {len(names)} of them" if names else "it is missing"
        raise ModelFileError(f'the weights have one tensor "model.{embedding}": {finding}')
    return names[0].removesuffix(embedding)
