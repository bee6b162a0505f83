"""What plans depend on of a model: its layers and tensors, from a file's metadata or from a table of shapes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.engine.encoder import is_encoder
from edgewise.errors import UnsupportedError
from edgewise.quantize.mixes import named_mix, row_bytes
from edgewise.quantize.plan import facts_of, make_plan
from edgewise.quantize.recipe import ModelFacts, choose
from edgewise.quantize.roles import Tensor

if TYPE_CHECKING:
    from pathlib import Path

# Of so many layers the last one sees everything, the others a window.
_WINDOW_PERIODS = {"gemma2": 2, "gemma3": 6}


@dataclass(frozen=True)
class Layer:
    """Attention of one layer.

    Args:
        heads: query heads.
        kv_heads: key and value heads.
        key_length: values of a key.
        value_length: values of a value.
        window: positions that a query sees; 0 for all before it.
    """

    heads: int
    kv_heads: int
    key_length: int
    value_length: int
    window: int = 0

    def seen(self, position: int) -> int:
        """Positions that a query behind so many others reads."""
        return min(position, self.window) if self.window else position


@dataclass(frozen=True)
class PlannedModel:
    """A model as plans see it.

    Args:
        name: what the user called it.
        format: the mix its weights are in, or `as in the file`.
        facts: architecture and tensors.
        layers: attention of each.
        embedding_length: width of the residual stream.
        feed_forward_length: width between the matrices of the feed-forward network.
        vocabulary_size: tokens that the model knows.
        trained_length: tokens that it was trained for; 0 if unknown.
        weights_bytes: the whole file; of a shape, all tensors.
        experts_used: experts that a token goes through; 0 without experts.
    """

    name: str
    format: str
    facts: ModelFacts
    layers: tuple[Layer, ...]
    embedding_length: int
    feed_forward_length: int
    vocabulary_size: int
    trained_length: int
    weights_bytes: int
    experts_used: int = 0

    @cached_property
    def read_bytes(self) -> int:
        """Bytes of weights that one token reads.

        All of them, but for embeddings that are not the output projection too (of which a token reads one row), and for
        experts that it does not go through.
        """
        return sum(self._active(tensor, _tensor_bytes(tensor)) for tensor in self._read)

    @cached_property
    def multiply_adds(self) -> int:
        """Multiply-adds of one prompt token: one for each weight of the matrices in the layers."""
        return sum(
            self._active(tensor, prod(tensor.shape))
            for tensor in self.facts.tensors
            if tensor.name.startswith("blk.") and len(tensor.shape) > 1
        )

    @property
    def parameters(self) -> int:
        """Weights in all."""
        return sum(prod(tensor.shape) for tensor in self.facts.tensors)

    def in_format(self, mix_name: str) -> PlannedModel:
        """The same model with its weights in another mix.

        Raises:
            InvalidArgument: if there is no such mix.
            UnsupportedError: if a tensor is in a format that can not be read.
        """
        mix = named_mix(mix_name)
        plan = make_plan(self.facts, choose(self.facts, mix), mix.file_type, may_requantize=True)
        tensors = tuple(Tensor(one.source.name, one.format, one.source.shape) for one in plan.tensors)
        return replace(self, format=mix.name, facts=replace(self.facts, tensors=tensors), weights_bytes=plan.size_bytes)

    @property
    def _read(self) -> list[Tensor]:
        skipped = () if self.facts.is_tied else ("token_embd.weight",)
        return [tensor for tensor in self.facts.tensors if tensor.name not in skipped]

    def _active(self, tensor: Tensor, amount: int) -> int:
        experts = self.facts.expert_count
        if "_exps." in tensor.name and 0 < self.experts_used < experts:
            return amount * self.experts_used // experts
        return amount


def model_in(path: Path, name: str) -> PlannedModel:
    """The model in a file, whose layout is proven for it; no weight is read.

    Args:
        path: of the file.
        name: what the user calls it.

    Raises:
        ModelFileError: if the file is malformed.
        SystemRefused: if it can not be read.
        UnsupportedError: if it makes embeddings: it has no KV cache and decodes nothing.
    """
    file = _core.ModelFile(str(path))
    facts = facts_of(file)
    if is_encoder(file):
        raise UnsupportedError(
            f"{name} is a {facts.architecture} model, which makes embeddings: plans are for models that write text"
        )
    metadata = file.metadata()

    def number(key: str, default: int = 0) -> int:
        value = metadata.get(f"{facts.architecture}.{key}")
        return value if isinstance(value, int) and value >= 0 else default

    vocabulary = next((count for key, _, count in file.arrays() if key == "tokenizer.ggml.tokens"), 0)
    widths = per_layer(file, "feed_forward_length", 0)
    return PlannedModel(
        name=name,
        format="as in the file",
        facts=facts,
        layers=layers_of(file),
        embedding_length=number("embedding_length"),
        feed_forward_length=max(widths, default=0),
        vocabulary_size=vocabulary,
        trained_length=number("context_length"),
        weights_bytes=file.size_bytes,
        experts_used=number("expert_used_count"),
    )


def layers_of(file: _core.ModelFile) -> tuple[Layer, ...]:
    """Attention of each layer of a model file, as its metadata says."""
    heads = per_layer(file, "attention.head_count", 1)
    width = max(per_layer(file, "embedding_length", 0), default=0)
    most_heads = max(heads, default=1) or 1
    kv_heads = per_layer(file, "attention.head_count_kv", most_heads)
    keys = per_layer(file, "attention.key_length", width // most_heads)
    values = per_layer(file, "attention.value_length", width // most_heads)
    metadata = file.metadata()
    architecture = str(metadata.get("general.architecture", ""))
    window = metadata.get(f"{architecture}.attention.sliding_window")
    windows = windows_of(architecture, window if isinstance(window, int) else 0, len(heads))
    return tuple(Layer(*one) for one in zip(heads, kv_heads, keys, values, windows, strict=True))


def windows_of(architecture: str, window: int, count: int) -> list[int]:
    """The window of each layer: 0 where it sees everything.

    Source: the Gemma 2 and Gemma 3 technical reports (every second layer, and every sixth, sees everything). Other
    architectures state windows that nothing applies.
    """
    period = _WINDOW_PERIODS.get(architecture)
    if period is None or window <= 0:
        return [0] * count
    return [0 if index % period == period - 1 else window for index in range(count)]


def per_layer(file: _core.ModelFile, key: str, default: int) -> list[int]:
    """The values of a key of the architecture, one for each layer.

    Args:
        file: the model.
        key: below the architecture's name.
        default: where the file says nothing.
    """
    metadata = file.metadata()
    architecture = metadata.get("general.architecture", "")
    count = metadata.get(f"{architecture}.block_count")
    # Each layer has tensors; what the file says beyond that is refused when it is loaded.
    layers = min(count, len(file.tensors())) if isinstance(count, int) and count > 0 else 0
    value = metadata.get(f"{architecture}.{key}")
    if isinstance(value, int):
        return [max(value, 0)] * layers
    values = [max(one, 0) for one in file.array(f"{architecture}.{key}") or [] if isinstance(one, int)]
    return (values + [default] * layers)[:layers]


def _tensor_bytes(tensor: Tensor) -> int:
    """Rows times the size of a row."""
    return prod(tensor.shape[1:]) * (row_bytes(tensor.format, tensor.shape[0]) or 0)
