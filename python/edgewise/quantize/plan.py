"""What will be written: every tensor with its format and size, before a byte is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.errors import InvalidArgument, UnsupportedError
from edgewise.quantize.mixes import FLOATS, FORMATS, named_mix, row_bytes
from edgewise.quantize.recipe import ModelFacts
from edgewise.quantize.roles import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgewise.quantize.recipe import Choice

ALIGNMENT = 32
"""Tensors begin at multiples of so many bytes."""


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor as it is and as it will be.

    Args:
        source: as it is.
        format: what it will be stored in.
        reason: why.
    """

    source: Tensor
    format: str
    reason: str

    @property
    def is_copied(self) -> bool:
        """Whether its bytes stay."""
        return self.source.format == self.format

    @property
    def columns(self) -> int:
        """Values of a row."""
        return self.source.shape[0]

    @property
    def rows(self) -> int:
        """Rows of all its matrices."""
        return prod(self.source.shape[1:])

    @property
    def rows_per_matrix(self) -> int:
        """Rows of a matrix; a tensor of experts holds several."""
        return self.source.shape[1] if len(self.source.shape) > 1 else 1

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        return prod(self.source.shape)

    @cached_property
    def source_bytes(self) -> int:
        """Size as it is."""
        return self.rows * _row_bytes(self.source, self.source.format)

    @cached_property
    def size_bytes(self) -> int:
        """Size as it will be."""
        return self.rows * _row_bytes(self.source, self.format)


@dataclass(frozen=True)
class Plan:
    """A file to be.

    Args:
        tensors: in file order.
        file_type: what `general.file_type` will say.
    """

    tensors: tuple[PlannedTensor, ...]
    file_type: int

    @property
    def source_bytes(self) -> int:
        """Size of all tensors as they are."""
        return sum(tensor.source_bytes for tensor in self.tensors)

    @property
    def size_bytes(self) -> int:
        """Size of all tensors as they will be, aligned."""
        return sum(-(-tensor.size_bytes // ALIGNMENT) * ALIGNMENT for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Bits of a number on average."""
        return 8 * sum(tensor.size_bytes for tensor in self.tensors) / sum(tensor.values for tensor in self.tensors)


def facts_of(file: _core.ModelFile) -> ModelFacts:
    """What choices depend on, from a model file."""
    metadata = file.metadata()
    architecture = str(metadata.get("general.architecture", ""))

    def number(key: str, default: int) -> int:
        value = metadata.get(f"{architecture}.{key}")
        if value is None:
            per_layer = file.array(f"{architecture}.{key}")
            value = per_layer[0] if per_layer else default
        return value if isinstance(value, int) else default

    head_count = number("attention.head_count", 0)
    return ModelFacts(
        architecture=architecture,
        block_count=number("block_count", 0),
        head_count=head_count,
        head_count_kv=number("attention.head_count_kv", head_count),
        expert_count=number("expert_count", 0),
        tensors=tuple(Tensor(name, kind, tuple(shape)) for name, kind, shape, _ in file.tensors()),
    )


def make_plan(
    facts: ModelFacts, choices: Mapping[str, Choice], file_type: int | None = None, *, may_requantize: bool = False
) -> Plan:
    """Joins a model and the choices for it.

    Args:
        facts: the model.
        choices: the format of each tensor.
        file_type: what the file will say of itself; by default what most of its weights are in.
        may_requantize: whether tensors that are quantized already may become something else.

    Raises:
        InvalidArgument: if a quantized tensor would be quantized again, and may not.
        UnsupportedError: if a tensor that would change is in a format that cannot be read.
    """
    tensors = tuple(
        PlannedTensor(tensor, choices[tensor.name].format, choices[tensor.name].reason) for tensor in facts.tensors
    )
    for tensor in tensors:
        name, kind = tensor.source.name, tensor.source.format
        if tensor.is_copied:
            continue
        _require_readable(tensor)
        if kind not in FLOATS and not may_requantize:
            raise InvalidArgument(
                f'tensor "{name}" is {kind} already; as {tensor.format} it would lose more than from the original',
                hint="start from a file in f16, bf16 or f32, or say that you want it: --allow-requantize",
            )
    return Plan(tensors, _usual_type(tensors) if file_type is None else file_type)


def _require_readable(tensor: PlannedTensor) -> None:
    try:
        _core.dequantize(tensor.source.format, b"")
    except UnsupportedError as error:
        raise UnsupportedError(
            f'tensor "{tensor.source.name}" is {tensor.source.format}, whose numbers the core cannot read',
            hint="start from a file in f16, bf16 or f32",
        ) from error


def _usual_type(tensors: tuple[PlannedTensor, ...]) -> int:
    """The type of the mix that has most weights in the format that most weights of these tensors are in."""
    values: dict[str, int] = {}
    for tensor in tensors:
        values[tensor.format] = values.get(tensor.format, 0) + tensor.values
    usual = max(values, key=lambda name: values[name])
    return named_mix(usual).file_type if usual in FORMATS else 0


def _row_bytes(tensor: Tensor, name: str) -> int:
    size = row_bytes(name, tensor.shape[0])
    if size is None:
        raise InvalidArgument(f'tensor "{tensor.name}": {tensor.shape[0]} columns are no whole blocks of {name}')
    return size
