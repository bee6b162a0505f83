"""The shape of a model: its hyperparameters, and the tensors and metadata that follow from them."""

from dataclasses import dataclass
from typing import Literal

from gguf import GGUFWriter, RopeScalingType

from random_model.vocabulary import VocabularyKind, make_vocabulary

TensorKind = Literal["matrix", "vector"]


@dataclass(frozen=True)
class Tensor:
    """One tensor of `rows` x `columns` (vectors have one row) and the distribution of its values."""

    name: str
    kind: TensorKind
    rows: int
    columns: int
    deviation: float
    mean: float = 0.0


@dataclass(frozen=True)
class RopeScaling:
    """The metadata under `rope.scaling`; what is 0 is not written."""

    kind: RopeScalingType
    factor: float = 0.0
    original_context: int = 0
    attention_factor: float = 0.0


@dataclass(frozen=True)
class Shape:
    """The hyperparameters of a model, under the names that GGUF gives them where it has one.

    Attributes:
        rope_factors: `freqs` is one table (Llama 3.1), `long_short` is two of them (phi3).
        special_count: control tokens within a byte-level BPE vocabulary.
        has_fused_projections: q, k, v in one matrix, and gate, up in another (phi3).
        embedding_deviation: standard deviation of the token embeddings.
        post_norm: mean weight of the norms behind attention and feed-forward (gemma).
        logit_deviation: standard deviation of the logits before a soft-cap, roughly.
    """

    architecture: str
    block_count: int
    embedding_length: int
    feed_forward_length: int
    head_count: int
    head_count_kv: int
    key_length: int
    vocabulary_size: int
    context_length: int = 4096
    rope_freq_base: float = 10000.0
    rope_scaling: RopeScaling | None = None
    rope_factors: Literal["none", "freqs", "long_short"] = "none"
    sliding_window: int = 0
    attention_softcap: float = 0.0
    final_softcap: float = 0.0
    vocabulary: VocabularyKind = "bpe"
    pre_tokenizer: str = "llama-bpe"
    special_count: int = 4
    is_tied: bool = False
    has_qkv_biases: bool = False
    has_other_biases: bool = False
    has_qk_norms: bool = False
    has_post_norms: bool = False
    has_fused_projections: bool = False
    embedding_deviation: float = 1.0
    post_norm: float = 0.5
    logit_deviation: float = 1.0

    def tensors(self) -> list[Tensor]:
        """All tensors, in file order."""
        width = self.embedding_length
        spread = self.logit_deviation / width**0.5
        found = [Tensor("token_embd.weight", "matrix", self.vocabulary_size, width, self.embedding_deviation)]
        if self.rope_factors == "freqs":
            found.append(Tensor("rope_freqs.weight", "vector", 1, self.key_length // 2, 1.0, 4.0))
        elif self.rope_factors == "long_short":
            found.append(Tensor("rope_factors_long.weight", "vector", 1, self.key_length // 2, 1.5, 6.0))
            found.append(Tensor("rope_factors_short.weight", "vector", 1, self.key_length // 2, 0.1, 1.2))
        for index in range(self.block_count):
            found += self._attention(f"blk.{index}") + self._feed_forward(f"blk.{index}")
        if self.is_tied:
            # Weights of both signs, or every token would predict itself.
            found.append(Tensor("output_norm.weight", "vector", 1, width, spread / self.embedding_deviation))
        else:
            found.append(_norm("output_norm", width))
            found.append(Tensor("output.weight", "matrix", self.vocabulary_size, width, spread))
        return found

    def add_to(self, writer: GGUFWriter) -> None:
        """Write hyperparameters and vocabulary into the metadata of a file."""
        writer.add_context_length(self.context_length)
        writer.add_embedding_length(self.embedding_length)
        writer.add_block_count(self.block_count)
        writer.add_feed_forward_length(self.feed_forward_length)
        writer.add_head_count(self.head_count)
        writer.add_head_count_kv(self.head_count_kv)
        writer.add_key_length(self.key_length)
        writer.add_value_length(self.key_length)
        writer.add_rope_dimension_count(self.key_length)
        writer.add_rope_freq_base(self.rope_freq_base)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_vocab_size(self.vocabulary_size)
        if self.rope_scaling:
            self._add_rope_scaling(writer, self.rope_scaling)
        if self.sliding_window:
            writer.add_sliding_window(self.sliding_window)
        if self.attention_softcap:
            writer.add_attn_logit_softcapping(self.attention_softcap)
        if self.final_softcap:
            writer.add_final_logit_softcapping(self.final_softcap)
        make_vocabulary(
            self.vocabulary, self.vocabulary_size, special_count=self.special_count, pre=self.pre_tokenizer
        ).add_to(writer)

    def _attention(self, block: str) -> list[Tensor]:
        width, q_width, kv_width = (
            self.embedding_length,
            self.head_count * self.key_length,
            self.head_count_kv * self.key_length,
        )
        found = [_norm(f"{block}.attn_norm", width)]
        if self.has_fused_projections:
            found.append(_matrix(f"{block}.attn_qkv", q_width + 2 * kv_width, width, 1.0))
        else:
            found.append(_matrix(f"{block}.attn_q", q_width, width, 1.0))
            found.append(_matrix(f"{block}.attn_k", kv_width, width, 1.0))
            found.append(_matrix(f"{block}.attn_v", kv_width, width, 1.0))
        if self.has_qkv_biases:
            found += [_bias(f"{block}.attn_{part}", q_width if part == "q" else kv_width) for part in "qkv"]
        if self.has_qk_norms:
            found.append(_norm(f"{block}.attn_q_norm", self.key_length, 1.1))
            found.append(_norm(f"{block}.attn_k_norm", self.key_length, 1.1))
        found.append(_matrix(f"{block}.attn_output", width, q_width, 1.0))
        if self.has_other_biases:
            found.append(_bias(f"{block}.attn_output", width))
        if self.has_post_norms:
            found.append(_norm(f"{block}.post_attention_norm", width, self.post_norm))
        return found

    def _feed_forward(self, block: str) -> list[Tensor]:
        width, inner = self.embedding_length, self.feed_forward_length
        found = [_norm(f"{block}.ffn_norm", width)]
        if self.has_fused_projections:
            found.append(_matrix(f"{block}.ffn_up", 2 * inner, width, 1.0))
        else:
            found.append(_matrix(f"{block}.ffn_gate", inner, width, 1.0))
            found.append(_matrix(f"{block}.ffn_up", inner, width, 1.0))
        found.append(_matrix(f"{block}.ffn_down", width, inner, 1.0))
        if self.has_other_biases:
            found += [_bias(f"{block}.ffn_gate", inner), _bias(f"{block}.ffn_up", inner)]
            found.append(_bias(f"{block}.ffn_down", width))
        if self.has_post_norms:
            found.append(_norm(f"{block}.post_ffw_norm", width, self.post_norm))
        return found

    def _add_rope_scaling(self, writer: GGUFWriter, scaling: RopeScaling) -> None:
        writer.add_rope_scaling_type(scaling.kind)
        if scaling.factor:
            writer.add_rope_scaling_factor(scaling.factor)
        if scaling.original_context:
            writer.add_rope_scaling_orig_ctx_len(scaling.original_context)
        if scaling.attention_factor:
            writer.add_rope_scaling_attn_factors(scaling.attention_factor)


def _matrix(name: str, rows: int, columns: int, gain: float) -> Tensor:
    """A projection whose output has `gain` times the root mean square of its input."""
    return Tensor(f"{name}.weight", "matrix", rows, columns, gain / columns**0.5)


def _norm(name: str, length: int, mean: float = 1.0) -> Tensor:
    return Tensor(f"{name}.weight", "vector", 1, length, 0.2 * mean, mean)


def _bias(name: str, length: int) -> Tensor:
    return Tensor(f"{name}.bias", "vector", 1, length, 0.3)
