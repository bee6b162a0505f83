"""How much memory a model takes, part by part: pure functions of facts.

The KV cache and the buffers follow core/src/model/kv_cache.rs and core/src/model/decoder.rs; tests hold both
together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.config import CacheFormat
    from edgewise.plan.models import Layer, PlannedModel

BLOCK = 32
"""Positions that the cache gives at a time."""

CONTEXT_STEP = 256
"""Contexts are recommended in steps of so many tokens."""

_VECTOR = 16  # rows of values are padded to whole vectors of so many
_SCALED = 32  # values of a head that share a scale in q8_0

_MAX_PRODUCT = 1 << 33
_MAX_BUFFERS = 26 << 20
_MIN_CHUNK = 32
_SPAN = 256
_TILE_ROWS = 64

_PROCESS_BYTES = 24 << 20
_TOKEN_BYTES = 80


@dataclass(frozen=True)
class Settings:
    """How the model would be opened.

    Args:
        context_length: tokens of each sequence.
        key_format: of the keys in the KV cache.
        value_format: of the values.
        sequences: contexts that the KV cache has room for.
        batch: prompt tokens evaluated at once, at most.
        threads: that compute.
    """

    context_length: int
    key_format: CacheFormat = "f16"
    value_format: CacheFormat = "f16"
    sequences: int = 1
    batch: int = 512
    threads: int = 4


@dataclass(frozen=True)
class Memory:
    """What a model takes, in bytes.

    Args:
        weights_bytes: the file, which is mapped: the system can drop and read again what it holds.
        cache_bytes: keys and values of all sequences.
        compute_bytes: buffers of a step.
        runtime_bytes: the process itself and the vocabulary.
    """

    weights_bytes: int
    cache_bytes: int
    compute_bytes: int
    runtime_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.anonymous_bytes

    @property
    def anonymous_bytes(self) -> int:
        """What cannot be read again from a file: it must fit, or nothing runs."""
        return self.cache_bytes + self.compute_bytes + self.runtime_bytes


def memory_of(model: PlannedModel, settings: Settings) -> Memory:
    """The memory of a model, part by part; weights are all of its file, as the core maps it and copies nothing."""
    return Memory(
        weights_bytes=model.weights_bytes,
        cache_bytes=cache_bytes(model.layers, settings),
        compute_bytes=compute_bytes(model, settings),
        runtime_bytes=runtime_bytes(model),
    )


def cache_bytes(layers: Sequence[Layer], settings: Settings) -> int:
    """Size of the KV cache.

    Of each layer its own heads and lengths count. Windows do not make it smaller: the core keeps every position, so
    that conversations can share beginnings and be cut back. Source: core/src/model/kv_cache.rs.
    """
    blocks = -(-settings.context_length // BLOCK) * settings.sequences
    per_block = sum(
        layer.kv_heads
        * (
            _block_bytes(layer.key_length, layer.key_length, settings.key_format)
            + _block_bytes(layer.value_length, -(-layer.value_length // _VECTOR) * _VECTOR, settings.value_format)
        )
        for layer in layers
    )
    return blocks * per_block


def cache_read_bytes(layers: Sequence[Layer], position: int, settings: Settings) -> int:
    """Bytes of the KV cache that the token behind `position` others reads: where a layer has a window, that alone."""
    return sum(
        layer.seen(position)
        * layer.kv_heads
        * (
            _block_bytes(layer.key_length, layer.key_length, settings.key_format)
            + _block_bytes(layer.value_length, layer.value_length, settings.value_format)
        )
        // BLOCK
        for layer in layers
    )


def compute_bytes(model: PlannedModel, settings: Settings) -> int:
    """Buffers of a step: floats of a chunk of tokens, their 8-bit copies, attention of each thread, a row of logits.

    Source: `Decoder::new` and `chunk_length` in core/src/model/decoder.rs, `AttentionScratch` in
    core/src/kernels/attention.rs.
    """
    heads = max((layer.heads for layer in model.layers), default=1)
    kv_heads = max((layer.kv_heads for layer in model.layers), default=1)
    length = max((layer.key_length for layer in model.layers), default=0)
    width, inner, query = model.embedding_length, model.feed_forward_length, heads * length
    widest = max(inner, query)
    floats = 2 * width + 2 * query + 2 * kv_heads * length + 2 * inner
    most = min(_MAX_PRODUCT // max(widest * width, 1), _MAX_BUFFERS // max(4 * floats, 1))
    chunk = min(settings.batch, max(most // _MIN_CHUNK * _MIN_CHUNK, _MIN_CHUNK), settings.context_length)
    rows = max(heads // max(kv_heads, 1), _TILE_ROWS)
    attention = settings.threads * 4 * (rows * (2 * length + _SPAN + 2) + BLOCK * 2 * length)
    activations = chunk * max(widest, width) * 5 // 4  # bytes, with a scale and a sum for each 32 of them
    return 4 * chunk * floats + activations + attention + 4 * model.vocabulary_size


def runtime_bytes(model: PlannedModel) -> int:
    """Python, the package, and the vocabulary: 24 MiB, and 80 bytes for each token.

    Source: measured; docs/planning.md names the command.
    """
    return _PROCESS_BYTES + _TOKEN_BYTES * model.vocabulary_size


def largest_context(model: PlannedModel, settings: Settings, available_bytes: int, most: int = 0) -> int:
    """The longest context of each sequence that fits, in whole steps of tokens; 0 if none does.

    Args:
        model: the model.
        settings: everything but the context.
        available_bytes: for the whole.
        most: what the model can use at most; what it was trained for if 0.
    """
    most = most or model.trained_length or 1 << 20

    def fits(context: int) -> bool:
        return memory_of(model, replace(settings, context_length=context)).total_bytes <= available_bytes

    if fits(most):
        return most
    low, high = 0, most // CONTEXT_STEP + 1  # in steps: low fits or is none, high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle * CONTEXT_STEP) else (low, middle)
    return low * CONTEXT_STEP


def _block_bytes(length: int, row: int, name: CacheFormat) -> int:
    """Bytes of one head in a block of positions, each `row` cells for `length` values."""
    if name == "q8_0":
        return BLOCK * (row + 2 * -(-length // _SCALED))
    return BLOCK * row * (4 if name == "f32" else 2)
