"""The models that are compared, and the tokens that they are given."""

from dataclasses import dataclass, replace

import numpy as np
from gguf import RopeScalingType

from random_model.adapter import Adapter
from random_model.blocks import FLOAT_FORMATS, FORMATS, RandomBytes
from random_model.recipe import Recipe, mix, uniform
from random_model.shape import RopeScaling, Shape

VOCABULARY_SIZE = 320
PROMPT_LENGTH = 48
STEPS = 64
FLOAT_TOLERANCE = 1e-3
"""Largest difference of logits of float models, as a share of the range of the logits."""
KL_TOLERANCE = 2e-3
"""Largest divergence at a position of quantized models, in nats."""

# Positions whose logits are stored. The sliding window of the small models is 16: positions around it are there.
PROMPT_POSITIONS = (0, 1, 8, 15, 16, 17, 24, 32, 40, 47)
DECODE_POSITIONS = (48, 49, 64, 65, 81, 111)
POSITIONS = PROMPT_POSITIONS + DECODE_POSITIONS

_LLAMA = Shape(
    architecture="llama",
    block_count=2,
    embedding_length=256,
    feed_forward_length=512,
    head_count=4,
    head_count_kv=2,
    key_length=64,
    vocabulary_size=VOCABULARY_SIZE,
    rope_freq_base=500000.0,
    rope_factors="freqs",
)
_QWEN2 = replace(
    _LLAMA,
    architecture="qwen2",
    rope_factors="none",
    rope_freq_base=1000000.0,
    pre_tokenizer="qwen2",
    has_qkv_biases=True,
)
_QWEN3 = replace(_QWEN2, architecture="qwen3", key_length=128, has_qkv_biases=False, has_qk_norms=True)
_GEMMA2 = replace(
    _LLAMA,
    architecture="gemma2",
    vocabulary="spm",
    rope_factors="none",
    rope_freq_base=10000.0,
    key_length=128,
    sliding_window=16,
    attention_softcap=1.5,
    final_softcap=4.0,
    is_tied=True,
    has_post_norms=True,
    embedding_deviation=0.0625,
)
_GEMMA3 = replace(
    _GEMMA2,
    architecture="gemma3",
    block_count=6,
    feed_forward_length=256,
    rope_freq_base=1000000.0,
    attention_softcap=0.0,
    final_softcap=0.0,
    has_qk_norms=True,
    post_norm=0.35,
)
_PHI3 = replace(
    _LLAMA,
    architecture="phi3",
    vocabulary="spm",
    rope_factors="long_short",
    rope_freq_base=10000.0,
    rope_scaling=RopeScaling(RopeScalingType.LONGROPE, original_context=512, attention_factor=1.19),
    has_fused_projections=True,
)

# Each architecture, in every format. Blocks of gemma3 repeat five local layers and a global one.
BASE_SHAPES = {"llama": _LLAMA, "qwen2": _QWEN2, "qwen3": _QWEN3, "gemma2": _GEMMA2, "gemma3": _GEMMA3, "phi3": _PHI3}

# What else an architecture can be, in f32.
VARIANT_SHAPES = {
    "llama-biases": replace(_LLAMA, has_qkv_biases=True, has_other_biases=True, is_tied=True),
    "llama-linear": replace(
        _LLAMA,
        vocabulary="spm",
        head_count_kv=4,
        rope_factors="none",
        rope_freq_base=10000.0,
        rope_scaling=RopeScaling(RopeScalingType.LINEAR, factor=4.0),
    ),
    "llama-yarn": replace(
        _LLAMA, rope_factors="none", rope_scaling=RopeScaling(RopeScalingType.YARN, factor=4.0, original_context=64)
    ),
    "qwen2-tied-yarn": replace(
        _QWEN2, is_tied=True, rope_scaling=RopeScaling(RopeScalingType.YARN, factor=4.0, original_context=32)
    ),
    "qwen3-tied": replace(_QWEN3, is_tied=True, head_count=8, head_count_kv=1, key_length=64),
    "gemma3-linear": replace(_GEMMA3, rope_scaling=RopeScaling(RopeScalingType.LINEAR, factor=8.0)),
    "phi3-long": _PHI3,
    "phi3-plain": replace(_PHI3, rope_factors="none", rope_scaling=None, head_count_kv=4),
}

# Adapters of each case, with their scales.
ADAPTERS: dict[str, tuple[tuple[Adapter, float], ...]] = {
    **{f"{name}-f32-adapter": ((Adapter(rank=8, alpha=16.0), 0.2),) for name in BASE_SHAPES},
    # Where the output is the embedding, llama.cpp cannot adapt one of the two.
    "llama-f32-adapter": ((Adapter(rank=8, alpha=16.0, matrices=r"weight$"), 0.2),),
    "llama-f32-adapters": (
        (Adapter(rank=4, alpha=0.0, matrices=r"attn_[qv]", format_name="f16"), 0.5),
        (Adapter(rank=16, alpha=8.0, matrices=r"attn_q|attn_output|ffn_down"), -0.7),
    ),
    "llama-q4_k-adapter": ((Adapter(rank=32, alpha=32.0, format_name="q8_0"), 0.3),),
    "phi3-q8_0-adapters": ((Adapter(rank=8, alpha=8.0), 0.3), (Adapter(rank=1, alpha=2.0, format_name="f16"), 0.2)),
}


@dataclass(frozen=True)
class Case:
    """One model and the context it is run with.

    Attributes:
        name: shape and format, `llama-q4_k`.
        shape: hyperparameters of the model.
        recipe: the format of each matrix.
        is_float: whether all its weights are floats, which llama.cpp multiplies without rounding activations to int8.
        context_length: tokens of context; phi3 takes its long factors above the original context.
        adapters: what is added to it, with scales.
    """

    name: str
    shape: Shape
    recipe: Recipe
    is_float: bool
    context_length: int = 256
    adapters: tuple[tuple[Adapter, float], ...] = ()


def all_cases() -> list[Case]:
    """Every architecture in every format, the variants in f32, and a llama of mixed formats."""
    cases = [
        Case(f"{name}-{format_name}", shape, uniform(format_name), format_name in FLOAT_FORMATS)
        for name, shape in BASE_SHAPES.items()
        for format_name in FORMATS
    ]
    for name, shape in VARIANT_SHAPES.items():
        cases.append(Case(f"{name}-f32", shape, uniform("f32"), True, 1024 if name == "phi3-long" else 256))
    mixed = replace(_LLAMA, is_tied=True)
    cases += [Case(f"llama-{name}", mixed, mix(name, mixed), False) for name in ("q3_k_m", "q4_k_m", "q5_k_m")]
    return cases


def adapter_cases() -> list[Case]:
    """Models with adapters."""
    cases = []
    for name, adapters in ADAPTERS.items():
        architecture, format_name, _ = name.split("-")
        shape, recipe = BASE_SHAPES[architecture], uniform(format_name)
        cases.append(Case(name, shape, recipe, format_name in FLOAT_FORMATS, adapters=adapters))
    return cases


def prompt(case: Case) -> list[int]:
    """The prompt of a case: random tokens, control tokens among them."""
    words = RandomBytes(0, case.name).draw(2 * PROMPT_LENGTH).view("<u2")
    return [int(word) for word in words % np.uint16(VOCABULARY_SIZE)]
