"""Models whose choices are compared with llama.cpp's: real names, two rows to a matrix."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edgewise.quantize.recipe import ModelFacts, Wishes
from edgewise.quantize.roles import Tensor
from random_model.shape import Shape

ROWS = 2


@dataclass(frozen=True)
class Case:
    """One model and what is asked for beyond a mix.

    Attributes:
        name: of the case.
        shape: hyperparameters.
        expert_count: experts, whose matrices take the place of the feed-forward part.
        wishes: formats asked for.
    """

    name: str
    shape: Shape
    expert_count: int = 0
    wishes: Wishes = field(default_factory=Wishes)

    def facts(self) -> ModelFacts:
        """What the recipe sees."""
        shape = self.shape
        return ModelFacts(
            architecture=shape.architecture,
            block_count=shape.block_count,
            head_count=shape.head_count,
            head_count_kv=shape.head_count_kv,
            expert_count=self.expert_count,
            tensors=tuple(self._tensors()),
        )

    def _tensors(self) -> list[Tensor]:
        found = []
        for tensor in self.shape.tensors():
            matrix = (tensor.columns, ROWS)
            if tensor.kind == "vector":
                found.append(Tensor(tensor.name, "f32", (tensor.columns,)))
            elif self.expert_count and ".ffn_" in tensor.name:
                stem = tensor.name.removesuffix(".weight")
                found.append(Tensor(f"{stem}_exps.weight", "f32", (*matrix, self.expert_count)))
            else:
                found.append(Tensor(tensor.name, "f32", matrix))
        if self.expert_count:
            columns = self.shape.embedding_length
            routers = (f"blk.{layer}.ffn_gate_inp.weight" for layer in range(self.shape.block_count))
            found += [Tensor(name, "f32", (columns, self.expert_count)) for name in routers]
        return found


_LLAMA = Shape(
    architecture="llama",
    block_count=8,
    embedding_length=256,
    feed_forward_length=512,
    head_count=8,
    head_count_kv=8,
    key_length=32,
    vocabulary_size=320,
)
_GQA = replace(_LLAMA, head_count_kv=2)
_GEMMA2 = replace(_LLAMA, architecture="gemma2", head_count_kv=4, is_tied=True, has_post_norms=True)
_SHAPES = {
    "llama-1-layer": replace(_LLAMA, block_count=1),
    "llama-5-layers": replace(_LLAMA, block_count=5),
    "llama-8-layers": _LLAMA,
    "llama-16-layers-tied": replace(_GQA, block_count=16, is_tied=True),
    "llama-22-layers-gqa-8": replace(_LLAMA, block_count=22, head_count_kv=1),
    "mistral-32-layers-gqa-4": replace(_GQA, block_count=32),
    "mistral-40-layers-gqa-8": replace(_LLAMA, block_count=40, head_count_kv=1),
    "llama-80-layers": replace(_LLAMA, block_count=80),
    "llama-80-layers-gqa-8": replace(_LLAMA, block_count=80, head_count_kv=1),
    "llama-288-columns": replace(_GQA, embedding_length=288, key_length=36, block_count=9),
    "llama-100-columns-tied": replace(
        _GQA, embedding_length=100, key_length=25, feed_forward_length=160, block_count=3, is_tied=True
    ),
    "qwen2-24-layers-tied": replace(
        _LLAMA, architecture="qwen2", block_count=24, head_count=14, head_count_kv=2, is_tied=True, has_qkv_biases=True
    ),
    "qwen2-28-layers": replace(_GQA, architecture="qwen2", block_count=28, has_qkv_biases=True),
    "qwen2-80-layers": replace(_GQA, architecture="qwen2", block_count=80, has_qkv_biases=True),
    "qwen2-896-columns": replace(
        _LLAMA,
        architecture="qwen2",
        embedding_length=896,
        feed_forward_length=4864,
        head_count=14,
        head_count_kv=2,
        key_length=64,
        is_tied=True,
        has_qkv_biases=True,
    ),
    "qwen3-36-layers": replace(_GQA, architecture="qwen3", block_count=36, has_qk_norms=True),
    "qwen3-28-layers-tied": replace(_LLAMA, architecture="qwen3", head_count_kv=4, block_count=28, is_tied=True),
    "gemma2-26-layers": replace(_GEMMA2, block_count=26),
    "gemma3-18-layers-gqa-4": replace(_GEMMA2, architecture="gemma3", head_count_kv=2, block_count=18),
    "gemma3-1152-columns": replace(
        _GEMMA2, architecture="gemma3", embedding_length=1152, feed_forward_length=6912, head_count=4, head_count_kv=1
    ),
    "phi3-32-layers": replace(_LLAMA, architecture="phi3", block_count=32, has_fused_projections=True),
    "phi3-40-layers-gqa-4": replace(_GQA, architecture="phi3", block_count=40, has_fused_projections=True),
    "falcon-32-layers": replace(_LLAMA, architecture="falcon", block_count=32, has_fused_projections=True),
}

_PATTERNS = (("attn_v", "q8_0"), (r"blk\.(0|1)\.ffn_down", "q6_k"), ("ffn_(up|gate)", "iq4_nl"))

CASES: list[Case] = [
    *(Case(name, shape) for name, shape in _SHAPES.items()),
    Case("llama-8-experts", replace(_GQA, block_count=32), expert_count=8),
    Case("llama-4-experts", replace(_GQA, block_count=16), expert_count=4),
    Case("wishes", replace(_GQA, block_count=8), wishes=Wishes(patterns=_PATTERNS, output="q5_k", embedding="q3_k")),
    Case("wishes-tied", replace(_GQA, block_count=8, is_tied=True), wishes=Wishes(patterns=_PATTERNS, output="q4_k")),
    Case(
        "wishes-in-odd-columns",
        replace(_GQA, embedding_length=288, key_length=36),
        wishes=Wishes(patterns=(("attn_q", "q4_k"), ("attn_v.weight", "q6_k"))),
    ),
]
