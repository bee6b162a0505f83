"""The tensors of a GGUF file to be: where each comes from, and what happens to it on the way."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.convert.architectures import OUTPUT, Change, Part
from edgewise.errors import ModelFileError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgewise.convert.model_config import ModelConfig
    from edgewise.convert.safetensors import Checkpoint, StoredTensor

_BAND_BYTES = 16 << 20
_EMBEDDING = "embed_tokens.weight"
# What checkpoints hold beside the weights of the text model: frequencies that follow from the configuration, and eyes.
_BESIDE = re.compile(r"(^|\.)(rotary_emb\.inv_freq|masked_bias|vision_tower\..*|multi_modal_projector\..*)$")


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


@dataclass(frozen=True)
class Band:
    """Some rows of a tensor, ready to be encoded."""

    first_row: int
    format: str
    data: bytes


def plan_weights(config: ModelConfig, tensors: Mapping[str, StoredTensor]) -> tuple[list[Weight], list[str]]:
    """All tensors in file order, and the names of those that are left out.

    Raises:
        ModelFileError: if a tensor is missing, or has another shape than the configuration says.
        UnsupportedError: if there are tensors that the architecture does not have.
    """
    prefix = _prefix_of_text_model(tensors)
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

    embedding, norm = config.architecture.whole
    weights = [take(embedding, prefix + embedding.source, embedding.target)]
    weights += [Weight(name, (len(values),), None, tuple(values)) for name, values in config.rope.factors.items()]
    for block in range(config.block_count):
        for part in config.architecture.layer:
            weights.append(take(part, f"{prefix}layers.{block}.{part.source}", f"blk.{block}.{part.target}"))
    weights.append(take(norm, prefix + norm.source, norm.target))
    heads = [name for name in tensors if name == OUTPUT.source or name.endswith(f".{OUTPUT.source}")]
    if config.is_tied:
        used.update(heads)
    else:
        weights.append(take(OUTPUT, heads[0] if len(heads) == 1 else OUTPUT.source, OUTPUT.target))
    rest = [name for name in tensors if name not in used]
    for name in rest:
        if not _BESIDE.search(name):
            raise UnsupportedError(f'tensor "{name}" is not one that {config.architecture.classes[0]} has')
    return [weight for weight in weights if weight is not None], [name for name in rest if "inv_freq" not in name]


def bands(weight: Weight, checkpoint: Checkpoint) -> Iterator[Band]:
    """The values of a tensor, some rows at a time, in the order of the GGUF file."""
    if weight.source is None:
        yield Band(0, "f32", struct.pack(f"<{len(weight.values)}f", *weight.values))
        return
    source, form = weight.source, weight.source.format
    if weight.is_vector:
        data = checkpoint.read(source)
        if weight.change == "pairs":
            data = in_pairs(data, len(data) // weight.shape[0], weight.head_length)
        if weight.change == "add_one":
            form, data = "f32", _plus_one(data, form, weight.shape[0])
        yield Band(0, form, data)
        return
    rows = weight.shape[1]
    row_bytes = len(checkpoint.read(source, 0, 1))
    unit = weight.head_length if weight.change == "pairs" else 1
    step = max(_BAND_BYTES // row_bytes // unit, 1) * unit
    for first in range(0, rows, step):
        data = checkpoint.read(source, first, min(step, rows - first))
        yield Band(first, form, in_pairs(data, row_bytes, unit) if weight.change == "pairs" else data)


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


def _plus_one(data: bytes, form: str, length: int) -> bytes:
    """As f32, with 1 added: such norms are stored as their difference from 1."""
    values = struct.unpack(f"<{length}f", _core.encode(data, form, "f32", length, threads=1)[0])
    return struct.pack(f"<{length}f", *(value + 1 for value in values))


def _prefix_of_text_model(tensors: Mapping[str, StoredTensor]) -> str:
    """What stands before the names of the text model: `model.`, or more where the model also sees."""
    names = [name for name in tensors if name == _EMBEDDING or name.endswith(f".{_EMBEDDING}")]
    if len(names) != 1:
        finding = f"there are {len(names)} of them" if names else "it is missing"
        raise ModelFileError(f'the weights have one tensor "model.{_EMBEDDING}": {finding}')
    return names[0].removesuffix(_EMBEDDING)
