"""Models that people run, as shapes: enough to plan for one that is not here yet, in any format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from edgewise.errors import InvalidArgument
from edgewise.plan.models import Layer, PlannedModel, windows_of
from edgewise.quantize.recipe import ModelFacts
from edgewise.quantize.roles import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_FORMAT = "q4_k_m"
"""What a shape is in if nothing else is said: what most people download."""


@dataclass(frozen=True)
class Shape:
    """The hyperparameters of a model, under the names that GGUF gives them where it has one.

    Args:
        architecture: as GGUF names it.
        block_count: layers.
        embedding_length: width of the residual stream.
        feed_forward_length: width between the matrices of the feed-forward network.
        head_count: query heads.
        head_count_kv: key and value heads.
        key_length: values of a key, and of a value.
        vocabulary_size: tokens.
        context_length: tokens that it was trained for.
        sliding_window: positions that layers with a window see; 0 without.
        rope_factors: vectors that stretch the rotary frequencies.
        is_tied: whether the embeddings are the output projection too.
        has_qkv_biases: whether queries, keys and values have biases.
        has_qk_norms: whether queries and keys are normalized.
        has_post_norms: whether norms follow attention and feed-forward.
        has_fused_projections: whether queries, keys and values are one matrix, and gate and up another.
    """

    architecture: str
    block_count: int
    embedding_length: int
    feed_forward_length: int
    head_count: int
    head_count_kv: int
    key_length: int
    vocabulary_size: int
    context_length: int
    sliding_window: int = 0
    rope_factors: Literal["none", "freqs", "long_short"] = "none"
    is_tied: bool = False
    has_qkv_biases: bool = False
    has_qk_norms: bool = False
    has_post_norms: bool = False
    has_fused_projections: bool = False

    def tensors(self) -> Iterator[Tensor]:
        """All tensors of the unquantized file."""
        width = self.embedding_length
        yield _matrix("token_embd", width, self.vocabulary_size)
        factors = {"none": (), "freqs": ("rope_freqs",), "long_short": ("rope_factors_long", "rope_factors_short")}
        for name in factors[self.rope_factors]:
            yield _vector(f"{name}.weight", self.key_length // 2)
        for index in range(self.block_count):
            yield from self._block(f"blk.{index}")
        yield _vector("output_norm.weight", width)
        if not self.is_tied:
            yield _matrix("output", width, self.vocabulary_size)

    def _block(self, block: str) -> Iterator[Tensor]:
        width, inner = self.embedding_length, self.feed_forward_length
        queries, keys = self.head_count * self.key_length, self.head_count_kv * self.key_length
        for name in ("attn_norm", "ffn_norm"):
            yield _vector(f"{block}.{name}.weight", width)
        if self.has_post_norms:
            for name in ("post_attention_norm", "post_ffw_norm"):
                yield _vector(f"{block}.{name}.weight", width)
        if self.has_qk_norms:
            for name in ("attn_q_norm", "attn_k_norm"):
                yield _vector(f"{block}.{name}.weight", self.key_length)
        if self.has_fused_projections:
            yield _matrix(f"{block}.attn_qkv", width, queries + 2 * keys)
            yield _matrix(f"{block}.ffn_up", width, 2 * inner)
        else:
            for name, rows in (("q", queries), ("k", keys), ("v", keys)):
                yield _matrix(f"{block}.attn_{name}", width, rows)
                if self.has_qkv_biases:
                    yield _vector(f"{block}.attn_{name}.bias", rows)
            for name in ("gate", "up"):
                yield _matrix(f"{block}.ffn_{name}", width, inner)
        yield _matrix(f"{block}.attn_output", queries, width)
        yield _matrix(f"{block}.ffn_down", inner, width)

    def facts(self) -> ModelFacts:
        """What formats are chosen by."""
        return ModelFacts(
            self.architecture, self.block_count, self.head_count, self.head_count_kv, 0, tuple(self.tensors())
        )


def _qwen(
    architecture: str, layers: int, width: int, inner: int, heads: int, kv_heads: int, length: int, *, is_tied: bool
) -> Shape:
    """Qwen 2.5 and 3 differ in biases and norms alone; larger ones of 2.5 have more rows in the embedding."""
    is_third = architecture == "qwen3"
    vocabulary = 152064 if not is_third and width >= 3584 else 151936
    return Shape(
        architecture, layers, width, inner, heads, kv_heads, length, vocabulary, 40960 if is_third else 32768,
        is_tied=is_tied, has_qkv_biases=not is_third, has_qk_norms=is_third,
    )  # fmt: skip


# Source of each: config.json of the model on the Hugging Face hub.
SHAPES: Mapping[str, Shape] = {
    "smollm2-135m": Shape("llama", 30, 576, 1536, 9, 3, 64, 49152, 8192, is_tied=True),
    "smollm2-360m": Shape("llama", 32, 960, 2560, 15, 5, 64, 49152, 8192, is_tied=True),
    "smollm2-1.7b": Shape("llama", 24, 2048, 8192, 32, 32, 64, 49152, 8192, is_tied=True),
    "tinyllama-1.1b": Shape("llama", 22, 2048, 5632, 32, 4, 64, 32000, 2048),
    "llama3.2-1b": Shape("llama", 16, 2048, 8192, 32, 8, 64, 128256, 131072, rope_factors="freqs", is_tied=True),
    "llama3.2-3b": Shape("llama", 28, 3072, 8192, 24, 8, 128, 128256, 131072, rope_factors="freqs", is_tied=True),
    "llama2-7b": Shape("llama", 32, 4096, 11008, 32, 32, 128, 32000, 4096),
    "llama2-13b": Shape("llama", 40, 5120, 13824, 40, 40, 128, 32000, 4096),
    "llama2-70b": Shape("llama", 80, 8192, 28672, 64, 8, 128, 32000, 4096),
    "llama3.1-8b": Shape("llama", 32, 4096, 14336, 32, 8, 128, 128256, 131072, rope_factors="freqs"),
    "llama3.1-70b": Shape("llama", 80, 8192, 28672, 64, 8, 128, 128256, 131072, rope_factors="freqs"),
    "mistral-7b": Shape("llama", 32, 4096, 14336, 32, 8, 128, 32768, 32768),
    "qwen2.5-0.5b": _qwen("qwen2", 24, 896, 4864, 14, 2, 64, is_tied=True),
    "qwen2.5-1.5b": _qwen("qwen2", 28, 1536, 8960, 12, 2, 128, is_tied=True),
    "qwen2.5-3b": _qwen("qwen2", 36, 2048, 11008, 16, 2, 128, is_tied=True),
    "qwen2.5-7b": _qwen("qwen2", 28, 3584, 18944, 28, 4, 128, is_tied=False),
    "qwen3-0.6b": _qwen("qwen3", 28, 1024, 3072, 16, 8, 128, is_tied=True),
    "qwen3-1.7b": _qwen("qwen3", 28, 2048, 6144, 16, 8, 128, is_tied=True),
    "qwen3-4b": _qwen("qwen3", 36, 2560, 9728, 32, 8, 128, is_tied=True),
    "qwen3-8b": _qwen("qwen3", 36, 4096, 12288, 32, 8, 128, is_tied=False),
    "gemma2-2b": Shape("gemma2", 26, 2304, 9216, 8, 4, 256, 256000, 8192, 4096, is_tied=True, has_post_norms=True),
    "gemma3-1b": Shape(
        "gemma3", 26, 1152, 6912, 4, 1, 256, 262144, 32768, 512, is_tied=True, has_qk_norms=True, has_post_norms=True
    ),
    "phi3.5-mini": Shape(
        "phi3", 32, 3072, 8192, 32, 32, 96, 32064, 131072, rope_factors="long_short", has_fused_projections=True
    ),
}


@cache
def shape_named(text: str) -> PlannedModel:
    """The model of a shape: `llama3.2-3b`, or with a format `llama3.2-3b:q8_0`.

    Raises:
        InvalidArgument: if there is no such shape or format.
    """
    name, _, mix = text.lower().partition(":")
    shape = SHAPES.get(name)
    if shape is None:
        raise InvalidArgument(f"no shape is called {name!r}", hint=f"known: {', '.join(SHAPES)}")
    windows = windows_of(shape.architecture, shape.sliding_window, shape.block_count)
    layers = tuple(
        Layer(shape.head_count, shape.head_count_kv, shape.key_length, shape.key_length, window) for window in windows
    )
    unquantized = PlannedModel(
        name=name,
        format="f16",
        facts=shape.facts(),
        layers=layers,
        embedding_length=shape.embedding_length,
        feed_forward_length=shape.feed_forward_length,
        vocabulary_size=shape.vocabulary_size,
        trained_length=shape.context_length,
        weights_bytes=0,
    )
    return unquantized.in_format(mix or DEFAULT_FORMAT)


def _matrix(name: str, columns: int, rows: int) -> Tensor:
    return Tensor(f"{name}.weight", "f16", (columns, rows))


def _vector(name: str, length: int) -> Tensor:
    return Tensor(name, "f32", (length,))
