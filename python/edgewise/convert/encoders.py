"""The encoders that are converted, and what their configuration and their folder say.

Sources: the configuration classes and models of transformers and of nomic-ai; the tensor names and keys of llama.cpp's
loader.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewise.convert.fields import read_json_if_there
from edgewise.convert.parts import Architecture, Part
from edgewise.convert.rope import Rope
from edgewise.errors import UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

    from edgewise.convert.fields import Fields
    from edgewise.convert.metadata import Metadata

# What sentence-transformers calls a pooling -> llama.cpp's number of it.
_POOLINGS = {"pooling_mode_mean_tokens": 1, "pooling_mode_cls_token": 2, "pooling_mode_lasttoken": 3}


@dataclass(frozen=True)
class EncoderFields:
    """What config.json says of an encoder.

    Attributes:
        sizes: lengths by the names that tensor shapes use.
        block_count: layers.
        head_count: heads.
        rope: rotary frequencies; encoders with learned positions do without.
        metadata: keys of the GGUF file below the architecture's name.
    """

    sizes: dict[str, int]
    block_count: int
    head_count: int
    rope: Rope
    metadata: Metadata


def read_encoder(config: Fields, architecture: Architecture) -> EncoderFields:
    """Reads a configuration.

    Raises:
        ModelFileError: if a field is missing or wrong.
        UnsupportedError: if the model computes what GGUF files cannot say.
    """
    is_bert = architecture.name == "bert"
    for name, meant in (_BERT_MEANS if is_bert else _NOMIC_MEANS).items():
        if config.get(name) not in (None, meant):
            found = config.get(name)
            raise UnsupportedError(f'config.json: "{name}" is {found!r:.40}; {architecture.name} files mean {meant!r}')
    activation = config.text("hidden_act" if is_bert else "activation_function", architecture.activations[0])
    if activation not in architecture.activations:
        meant = architecture.activations[0]
        raise UnsupportedError(f'config.json: the activation is "{activation}"; {architecture.name} files mean {meant}')
    names = _BERT_NAMES if is_bert else _NOMIC_NAMES
    width, block_count, head_count, inner, context_length = (config.whole(name) for name in names)
    # The configuration of Nomic's models counts positions of stretched frequencies.
    context_length = config.whole("max_trained_positions", context_length)
    head_length = max(width // head_count, 1)
    rope = Rope(10_000.0 if is_bert else config.number("rotary_emb_base", 10_000.0), head_length)
    metadata: Metadata = {
        "context_length": context_length,
        "embedding_length": width,
        "block_count": block_count,
        "feed_forward_length": inner,
        "attention.head_count": head_count,
        "attention.layer_norm_epsilon": config.number("layer_norm_eps" if is_bert else "layer_norm_epsilon", 1e-12),
        "attention.causal": False,
    }
    if not is_bert:
        metadata["rope.freq_base"] = rope.base
    sizes = {
        "vocabulary": config.whole("vocab_size"),
        "positions": context_length,
        "types": config.whole("type_vocab_size", 2),
        "width": width,
        "3width": 3 * width,
        "inner": inner,
        "head": head_length,
    }
    return EncoderFields(sizes, block_count, head_count, rope, metadata)


def folder_metadata(folder: Path, architecture: Architecture, types: int) -> tuple[Metadata, list[str]]:
    """What files beside config.json say of an encoder: how states are pooled; and notes for people.

    Raises:
        UnsupportedError: if they are pooled in a way that GGUF files cannot say.
    """
    metadata: Metadata = {"tokenizer.ggml.token_type_count": types}
    path = folder / "1_Pooling" / "config.json"
    settings = read_json_if_there(path)
    chosen = [name for name, value in settings.items() if name.startswith("pooling_mode_") and value is True]
    if not chosen:
        return metadata, ["the folder does not say how states are pooled (1_Pooling/config.json), nor does the file"]
    if len(chosen) > 1 or chosen[0] not in _POOLINGS:
        raise UnsupportedError(
            f"{path}: {' and '.join(chosen)} cannot be said in GGUF; the mean, the first and the last can"
        )
    metadata[f"{architecture.name}.pooling_type"] = _POOLINGS[chosen[0]]
    return metadata, []


def _linear(source: str, target: str, rows: str, columns: str, *, is_bias_optional: bool = False) -> tuple[Part, ...]:
    return (
        Part(f"{source}.weight", f"{target}.weight", (rows, columns)),
        Part(f"{source}.bias", f"{target}.bias", (rows,), is_optional=is_bias_optional),
    )


def _norm(source: str, target: str) -> tuple[Part, ...]:
    return tuple(Part(f"{source}.{part}", f"{target}.{part}", ("width",)) for part in ("weight", "bias"))


_BERT_NAMES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)
_NOMIC_NAMES = ("n_embd", "n_layer", "n_head", "n_inner", "n_positions")
_BERT_MEANS: dict[str, Any] = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}
_NOMIC_MEANS: dict[str, Any] = {
    "prenorm": False,
    "parallel_block": False,
    "use_rms_norm": False,
    "causal": False,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": 0,
    "moe_every_n_layers": 0,
    "num_experts": 0,
}
_BERT_HEADS = {"query": "attn_q", "key": "attn_k", "value": "attn_v"}
_WORDS = Part("embeddings.word_embeddings.weight", "token_embd.weight", ("vocabulary", "width"))
_TYPES = Part("embeddings.token_type_embeddings.weight", "token_types.weight", ("types", "width"), is_optional=True)
_BESIDE = r"(^|\.)(position_ids|inv_freq|pooler\.dense\.(weight|bias)|cls\.(predictions|seq_relationship)\..*)$"

ENCODERS = (
    Architecture(
        ("BertModel", "BertForMaskedLM"),
        "bert",
        ("gelu", "gelu_new", "gelu_pytorch_tanh"),
        (
            *(
                part
                for source, target in _BERT_HEADS.items()
                for part in _linear(f"attention.self.{source}", target, "width", "width")
            ),
            *_linear("attention.output.dense", "attn_output", "width", "width"),
            *_norm("attention.output.LayerNorm", "attn_output_norm"),
            *_linear("intermediate.dense", "ffn_up", "inner", "width"),
            *_linear("output.dense", "ffn_down", "width", "inner"),
            *_norm("output.LayerNorm", "layer_output_norm"),
        ),
        {"layer_norm_eps": 1e-12},
        is_encoder=True,
        front=(
            _WORDS,
            Part("embeddings.position_embeddings.weight", "position_embd.weight", ("positions", "width")),
            _TYPES,
            *_norm("embeddings.LayerNorm", "token_embd_norm"),
        ),
        layers="encoder.layer",
        beside=_BESIDE,
    ),
    Architecture(
        ("NomicBertModel",),
        "nomic-bert",
        ("swiglu",),
        (
            *_linear("attn.Wqkv", "attn_qkv", "3width", "width", is_bias_optional=True),
            *_linear("attn.out_proj", "attn_output", "width", "width", is_bias_optional=True),
            *_norm("norm1", "attn_output_norm"),
            *_linear("mlp.fc11", "ffn_up", "inner", "width", is_bias_optional=True),
            *_linear("mlp.fc12", "ffn_gate", "inner", "width", is_bias_optional=True),
            *_linear("mlp.fc2", "ffn_down", "width", "inner", is_bias_optional=True),
            *_norm("norm2", "layer_output_norm"),
        ),
        {"layer_norm_epsilon": 1e-12},
        is_encoder=True,
        front=(_WORDS, _TYPES, *_norm("emb_ln", "token_embd_norm")),
        layers="encoder.layers",
        beside=_BESIDE,
    ),
)
