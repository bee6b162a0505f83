"""The small random models that are converted: their configurations, weights and tokenizers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from random_model.blocks import RandomBytes, random_floats

VOCABULARY_SIZE = 512
PROMPT_LENGTH = 40
STEPS = 64
TOLERANCE = 1e-3
"""Largest difference of logits, as a share of their range."""
POSITIONS = (0, 1, 7, 15, 16, 17, 24, 39)
"""Positions of the prompt whose logits are kept. The windows of the small models are 16."""

_SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY_SIZE,
    "max_position_embeddings": 1024,
}
_GEMMA = _SIZES | {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16}


@dataclass(frozen=True)
class Case:
    """One model.

    Attributes:
        name: what figures are filed under.
        model_type: as transformers calls the architecture.
        settings: what its configuration class is given.
        tokenizer: folder of the tokenizer below `golden/tokenizers`.
        shards: files that the weights are in.
        dtype: of the weights.
    """

    name: str
    model_type: str
    settings: dict[str, Any] = field(default_factory=dict)
    tokenizer: str = "llama3"
    shards: int = 1
    dtype: str = "F32"


def _longrope(original: int) -> dict[str, Any]:
    factors = {"short_factor": [1 + pair / 16 for pair in range(8)], "long_factor": [2.0 + pair for pair in range(8)]}
    settings = {"rope_parameters": {"rope_type": "longrope", "rope_theta": 10000.0, **factors}}
    return _SIZES | settings | {"original_max_position_embeddings": original, "pad_token_id": 0, "sliding_window": None}


CASES = {
    case.name: case
    for case in (
        Case(
            "llama",
            "llama",
            _SIZES
            | {
                "rope_parameters": {
                    "rope_type": "llama3",
                    "rope_theta": 10000.0,
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 64,
                }
            },
            shards=2,
        ),
        Case(
            "llama-biases",
            "llama",
            _SIZES
            | {
                "attention_bias": True,
                "mlp_bias": True,
                "tie_word_embeddings": True,
                "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
            },
            tokenizer="spm",
        ),
        Case("llama-bf16", "llama", _SIZES | {"num_key_value_heads": 4}, tokenizer="spm", dtype="BF16"),
        Case("mistral", "mistral", _SIZES | {"head_dim": 32, "sliding_window": None}, tokenizer="spm"),
        Case(
            "qwen2",
            "qwen2",
            _SIZES
            | {
                "tie_word_embeddings": True,
                "rope_parameters": {
                    "rope_type": "yarn",
                    "rope_theta": 10000.0,
                    "factor": 4.0,
                    "original_max_position_embeddings": 256,
                },
            },
            tokenizer="qwen2",
        ),
        Case("qwen3", "qwen3", _SIZES | {"head_dim": 32}, tokenizer="qwen2", dtype="F16"),
        Case("gemma2", "gemma2", _GEMMA | {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 4.0}, "gemma"),
        Case(
            "gemma3",
            "gemma3_text",
            _GEMMA
            | {
                "num_hidden_layers": 7,
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
                },
            },
            "gemma",
        ),
        Case("phi3-short", "phi3", _longrope(512), tokenizer="phi3"),
        Case("phi3-long", "phi3", _longrope(16), tokenizer="phi3"),
    )
}

_PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-lora": (
        "llama",
        {
            "r": 4,
            "lora_alpha": 8,
            "target_modules": _PROJECTIONS,
            "rank_pattern": {"k_proj": 2},
            "alpha_pattern": {"layers.1.mlp.up_proj": 6},
        },
    ),
    "mistral-lora": ("mistral", {"r": 3, "lora_alpha": 6, "target_modules": ["embed_tokens", "v_proj", "lm_head"]}),
    "phi3-lora": ("phi3-short", {"r": 4, "lora_alpha": 2, "use_rslora": True, "target_modules": "all-linear"}),
}
"""LoRA adapters: the case that each belongs to, and what PEFT's configuration is given."""


def prompt(case: Case) -> list[int]:
    """Random tokens."""
    words = RandomBytes(0, case.name).draw(2 * PROMPT_LENGTH).view("<u2")
    return [int(word) for word in words % np.uint16(VOCABULARY_SIZE)]


def weights(case: Case, name: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
    """The values of a tensor, so that activations keep their size from layer to layer.

    Args:
        case: the model.
        name: of the tensor in the model folder.
        shape: rows first.
        seed: the same seed gives the same values.
    """
    is_gemma, width = case.model_type.startswith("gemma"), int(case.settings["hidden_size"])
    is_tied = is_gemma or bool(case.settings.get("tie_word_embeddings"))
    mean, deviation = 0.0, 1 / math.sqrt(shape[-1])
    if name.endswith("embed_tokens.weight"):
        deviation = 1 / math.sqrt(width) if is_gemma else 1.0
    elif name == "model.norm.weight" and is_tied:
        # Weights of both signs, or every token would predict itself. Gemma's are stored less 1.
        mean, deviation = (-1.0, 1.0) if is_gemma else (0.0, 1 / math.sqrt(width))
    elif name.endswith("norm.weight"):
        mean, deviation = (0.0 if is_gemma else 1.0), 0.2
    elif name.endswith("bias"):
        deviation = 0.3
    elif "lora_B" in name or "lora_embedding_B" in name:
        deviation = 0.2
    return random_floats(RandomBytes(seed, name), math.prod(shape), deviation, mean).reshape(shape)
