"""The architectures that are converted: whose class they are, what their fields mean, how their tensors are called.

A new one is a line in `ARCHITECTURES`; those that make embeddings are in `encoders`. Sources: the configuration classes
and models of transformers; the tensor names and keys of llama.cpp's loader.
"""

from __future__ import annotations

from typing import Any

from edgewise.convert.encoders import ENCODERS
from edgewise.convert.parts import Architecture, Change, Part
from edgewise.errors import UnsupportedError

OUTPUT = Part("lm_head.weight", "output.weight", ("vocabulary", "width"))


def architecture_of(classes: Any) -> Architecture:
    """The architecture whose class config.json names.

    Raises:
        UnsupportedError: if none is, listing those that are known.
    """
    names = [name for name in classes if isinstance(name, str)] if isinstance(classes, list) else []
    for architecture in ARCHITECTURES:
        if set(names) & set(architecture.classes):
            return architecture
    known = ", ".join(name for architecture in ARCHITECTURES for name in architecture.classes)
    said = f"architecture {', '.join(names)} is not one that is converted" if names else "names no architecture"
    raise UnsupportedError(f"config.json: {said}", hint=f"known: {known}")


def _attention(change: Change = "none", bias: str = "", *, must_have_bias: bool = False) -> tuple[Part, ...]:
    rows = {"q": "query", "k": "key", "v": "key"}
    parts = []
    for letter, length in rows.items():
        reorder: Change = change if letter != "v" else "none"
        source, target = f"self_attn.{letter}_proj", f"attn_{letter}"
        parts.append(Part(f"{source}.weight", f"{target}.weight", (length, "width"), reorder))
        if letter in bias:
            parts.append(Part(f"{source}.bias", f"{target}.bias", (length,), reorder, not must_have_bias))
    parts.append(Part("self_attn.o_proj.weight", "attn_output.weight", ("width", "query")))
    if "o" in bias:
        parts.append(Part("self_attn.o_proj.bias", "attn_output.bias", ("width",), is_optional=True))
    return tuple(parts)


def _feed_forward(*, has_bias: bool = False) -> tuple[Part, ...]:
    shapes = {"gate": ("inner", "width"), "up": ("inner", "width"), "down": ("width", "inner")}
    parts = [Part(f"mlp.{name}_proj.weight", f"ffn_{name}.weight", shape) for name, shape in shapes.items()]
    if has_bias:
        parts += [
            Part(f"mlp.{name}_proj.bias", f"ffn_{name}.bias", shape[:1], is_optional=True)
            for name, shape in shapes.items()
        ]
    return tuple(parts)


def _norms(change: Change = "none", *, is_sandwich: bool = False) -> tuple[Part, ...]:
    pairs = [("input_layernorm", "attn_norm")]
    if is_sandwich:
        pairs += [
            ("post_attention_layernorm", "post_attention_norm"),
            ("pre_feedforward_layernorm", "ffn_norm"),
            ("post_feedforward_layernorm", "post_ffw_norm"),
        ]
    else:
        pairs.append(("post_attention_layernorm", "ffn_norm"))
    return tuple(Part(f"{source}.weight", f"{target}.weight", ("width",), change) for source, target in pairs)


def _head_norms(change: Change = "none") -> tuple[Part, ...]:
    return tuple(
        Part(f"self_attn.{letter}_norm.weight", f"attn_{letter}_norm.weight", ("head",), change) for letter in "qk"
    )


_SILU = ("silu", "swish")
_GELU = ("gelu_pytorch_tanh", "gelu_new", "gelu_fast")
_FUSED = (
    Part("self_attn.qkv_proj.weight", "attn_qkv.weight", ("query+2key", "width")),
    Part("self_attn.o_proj.weight", "attn_output.weight", ("width", "query")),
    Part("mlp.gate_up_proj.weight", "ffn_up.weight", ("2inner", "width")),
    Part("mlp.down_proj.weight", "ffn_down.weight", ("width", "inner")),
)
_GEMMA: dict[str, Any] = {"rms_norm_eps": 1e-6, "tie_word_embeddings": True, "hidden_activation": _GELU[0]}
# The smallest configurations that were published with Gemma 3 leave these out.
_GEMMA3 = _GEMMA | {
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
    "sliding_window": 4096,
    "query_pre_attn_scalar": 256,
    "rope_theta": 1e6,
}

ARCHITECTURES = (
    Architecture(
        ("LlamaForCausalLM", "LLaMAForCausalLM"),
        "llama",
        _SILU,
        _norms() + _attention("pairs", "qkvo") + _feed_forward(has_bias=True),
        {"rms_norm_eps": 1e-6, "max_position_embeddings": 2048},
    ),
    Architecture(
        ("MistralForCausalLM",),
        "llama",
        _SILU,
        _norms() + _attention("pairs") + _feed_forward(),
        {"rms_norm_eps": 1e-6, "max_position_embeddings": 131072},
    ),
    Architecture(
        ("Qwen2ForCausalLM",),
        "qwen2",
        _SILU,
        _norms() + _attention(bias="qkv", must_have_bias=True) + _feed_forward(),
        {"rms_norm_eps": 1e-6, "max_position_embeddings": 32768},
    ),
    Architecture(
        ("Qwen3ForCausalLM",),
        "qwen3",
        _SILU,
        _norms() + _head_norms() + _attention() + _feed_forward(),
        {"rms_norm_eps": 1e-6, "max_position_embeddings": 32768, "head_dim": 128},
    ),
    Architecture(
        ("Gemma2ForCausalLM",),
        "gemma2",
        _GELU,
        _norms("add_one", is_sandwich=True) + _attention() + _feed_forward(),
        _GEMMA
        | {
            "head_dim": 256,
            "max_position_embeddings": 8192,
            "sliding_window": 4096,
            "query_pre_attn_scalar": 256,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        "add_one",
        has_windows=True,
    ),
    Architecture(
        ("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
        "gemma3",
        _GELU,
        _norms("add_one", is_sandwich=True) + _head_norms("add_one") + _attention() + _feed_forward(),
        _GEMMA3,
        "add_one",
        has_windows=True,
    ),
    Architecture(
        ("Phi3ForCausalLM",),
        "phi3",
        _SILU,
        _norms() + _FUSED,
        {"rms_norm_eps": 1e-5, "max_position_embeddings": 4096},
    ),
    *ENCODERS,
)
