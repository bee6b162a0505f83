"""Encoders with random weights: BERT and Nomic's, which make embeddings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gguf import GGUFWriter, PoolingType, TokenType

from random_model.recipe import uniform
from random_model.shape import Tensor
from random_model.writer import write_tensors

LETTERS = "etaoinshrdlucmfwypvbgkjqxz0123456789"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Quantizers leave these as they are.
KEPT = ("position_embd.weight", "token_types.weight")


@dataclass(frozen=True)
class EncoderShape:
    """The hyperparameters of an encoder.

    Attributes:
        architecture: `bert` has learned positions, biases and no gate; `nomic-bert` the opposite of all three.
        pooling: how the file wants states pooled.
        has_fused_heads: queries, keys and values in one matrix.
        gain: what a matrix multiplies the length of a vector by, roughly.
    """

    architecture: Literal["bert", "nomic-bert"]
    block_count: int = 3
    embedding_length: int = 128
    feed_forward_length: int = 256
    head_count: int = 4
    context_length: int = 512
    pooling: PoolingType = PoolingType.MEAN
    has_fused_heads: bool = False
    gain: float = 1.5

    @property
    def vocabulary(self) -> list[str]:
        """Special tokens, punctuation, and every letter and pair of letters at a word's beginning and behind it."""
        pieces = [*LETTERS, *(a + b for a in LETTERS[:12] for b in LETTERS[:12])]
        return [*SPECIAL, *(f"\u2581{piece}" for piece in [*",.!?'", *pieces]), *pieces]

    def tensors(self) -> list[Tensor]:
        """All tensors, in file order."""
        width, is_bert = self.embedding_length, self.architecture == "bert"
        found = [
            Tensor("token_embd.weight", "matrix", len(self.vocabulary), width, 1.0),
            Tensor("token_types.weight", "matrix", 2, width, 0.5),
            *_norm("token_embd_norm", width),
        ]
        if is_bert:
            found.append(Tensor("position_embd.weight", "matrix", self.context_length, width, 0.5))
        for index in range(self.block_count):
            name = f"blk.{index}"
            heads = [("attn_qkv", 3 * width)] if self.has_fused_heads else [(f"attn_{part}", width) for part in "qkv"]
            for part, rows in heads:
                found += self._linear(f"{name}.{part}", rows, width, has_bias=is_bert)
            found += self._linear(f"{name}.attn_output", width, width, has_bias=is_bert)
            found += _norm(f"{name}.attn_output_norm", width)
            if not is_bert:
                found += self._linear(f"{name}.ffn_gate", self.feed_forward_length, width, has_bias=False)
            found += self._linear(f"{name}.ffn_up", self.feed_forward_length, width, has_bias=is_bert)
            found += self._linear(f"{name}.ffn_down", width, self.feed_forward_length, has_bias=is_bert)
            found += _norm(f"{name}.layer_output_norm", width)
        return found

    def _linear(self, name: str, rows: int, columns: int, *, has_bias: bool) -> list[Tensor]:
        found = [Tensor(f"{name}.weight", "matrix", rows, columns, self.gain / columns**0.5)]
        return [*found, Tensor(f"{name}.bias", "vector", 1, rows, 0.2)] if has_bias else found

    def add_to(self, writer: GGUFWriter) -> None:
        """Write the metadata."""
        writer.add_block_count(self.block_count)
        writer.add_context_length(self.context_length)
        writer.add_embedding_length(self.embedding_length)
        writer.add_feed_forward_length(self.feed_forward_length)
        writer.add_head_count(self.head_count)
        writer.add_layer_norm_eps(1e-12)
        writer.add_causal_attention(False)
        writer.add_pooling_type(self.pooling)
        if self.architecture == "nomic-bert":
            writer.add_rope_freq_base(1000.0)
        tokens = self.vocabulary
        special = [TokenType.UNKNOWN if index == 1 else TokenType.CONTROL for index in range(len(SPECIAL))]
        writer.add_token_type_count(2)
        writer.add_tokenizer_model("bert")
        writer.add_tokenizer_pre("bert-bge")
        writer.add_token_list(tokens)
        writer.add_token_types([int(kind) for kind in [*special, *[TokenType.NORMAL] * (len(tokens) - len(special))]])
        writer.add_pad_token_id(0)
        writer.add_unk_token_id(1)
        writer.add_bos_token_id(2)
        writer.add_sep_token_id(3)
        writer.add_mask_token_id(4)


def write_encoder(path: Path, shape: EncoderShape, format_name: str, seed: int) -> None:
    """Write a GGUF file.

    Args:
        path: the file to write.
        shape: hyperparameters, which give tensors and metadata.
        format_name: of the matrices, but for those of positions and kinds of text.
        seed: the same seed gives the same bytes.
    """
    writer = GGUFWriter(path, shape.architecture)
    writer.add_name("random weights")
    shape.add_to(writer)
    of_matrices = uniform(format_name)
    write_tensors(
        writer, shape.tensors(), lambda name: "f32" if name in KEPT else of_matrices(name), seed, as_f32=False
    )


def _norm(name: str, width: int) -> list[Tensor]:
    return [Tensor(f"{name}.weight", "vector", 1, width, 0.2, 1.0), Tensor(f"{name}.bias", "vector", 1, width, 0.2)]
