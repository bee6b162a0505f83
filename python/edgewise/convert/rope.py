"""Rotary frequencies: what a configuration says of them, as GGUF metadata and factor tensors.

Source: transformers' `modeling_rope_utils`, and the keys that llama.cpp's loader reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgewise.convert.fields import Fields
from edgewise.errors import UnsupportedError

if TYPE_CHECKING:
    from edgewise.convert.metadata import Value


@dataclass(frozen=True)
class Rope:
    """Rotary frequencies of a model.

    Attributes:
        base: of the geometric series of frequencies.
        dimensions: how many values of a head are rotated.
        metadata: keys below the architecture's name.
        factors: tensors of divisors, one value per rotated pair.
        note: what the file cannot say.
    """

    base: float
    dimensions: int
    metadata: dict[str, Value] = field(default_factory=dict)
    factors: dict[str, list[float]] = field(default_factory=dict)
    note: str | None = None


def read_rope(config: Fields, head_length: int, context_length: int, default_base: float) -> Rope:
    """The rotary frequencies of all layers, or of those without a window.

    Args:
        config: the model's configuration.
        head_length: values of a head.
        context_length: positions that the model was trained for.
        default_base: the base if the configuration has none.

    Raises:
        UnsupportedError: if the frequencies are scaled in a way that GGUF files cannot say.
    """
    own, scaling = _objects(config)
    base = own.number("rope_theta", config.number("rope_theta", default_base))
    share = own.number("partial_rotary_factor", config.number("partial_rotary_factor", 1.0))
    dimensions = int(head_length * share)
    kind = scaling.text("rope_type", scaling.text("type", "default"))
    rope = Rope(base, dimensions)
    if kind == "default":
        return rope
    if kind == "linear":
        return _with(rope, {"rope.scaling.type": "linear", "rope.scaling.factor": scaling.number("factor")})
    if kind == "llama3":
        return Rope(base, dimensions, factors={"rope_freqs.weight": llama3_factors(scaling, base, dimensions)})
    if kind == "yarn":
        return _yarn(rope, scaling, context_length)
    if kind in ("longrope", "su"):
        return _longrope(rope, config, scaling, context_length)
    if kind == "dynamic":
        return Rope(base, dimensions, note=f"rotary frequencies are not scaled beyond {context_length} positions")
    raise UnsupportedError(f'config.json: rope scaling "{kind}" is not one that GGUF files can say', hint=_KNOWN)


_KNOWN = "known: default, linear, llama3, yarn, longrope, dynamic"


def window_base(config: Fields, default: float) -> float:
    """Base of the frequencies of the layers with a window."""
    local = config.fields("rope_parameters").get("sliding_attention")
    given = local.get("rope_theta") if isinstance(local, dict) else None
    return Fields({"rope_local_base_freq": given}, "config.json").number(
        "rope_local_base_freq", config.number("rope_local_base_freq", default)
    )


def llama3_factors(scaling: Fields, base: float, dimensions: int) -> list[float]:
    """Divisors of the frequencies of Llama 3.1: none for short waves, `factor` for long ones, a ramp between."""
    factor = scaling.number("factor", 8.0)
    low, high = scaling.number("low_freq_factor", 1.0), scaling.number("high_freq_factor", 4.0)
    original = scaling.number("original_max_position_embeddings", 8192)
    factors = []
    for pair in range(dimensions // 2):
        wavelength = 2 * math.pi * base ** (2 * pair / dimensions)
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors


def _objects(config: Fields) -> tuple[Fields, Fields]:
    """Where base and scaling are: newer configurations have both in one object, per kind of layer if they differ."""
    newer = config.fields("rope_parameters")
    if newer.get("full_attention") is not None:
        newer = newer.fields("full_attention")
    older = config.fields("rope_scaling")
    return newer, older if older.get("rope_type") or older.get("type") else newer


def _with(rope: Rope, metadata: dict[str, Value]) -> Rope:
    return Rope(rope.base, rope.dimensions, metadata, rope.factors, rope.note)


def _yarn(rope: Rope, scaling: Fields, context_length: int) -> Rope:
    factor = scaling.number("factor")
    for name, usual in (("beta_fast", 32.0), ("beta_slow", 1.0)):
        if scaling.number(name, usual) != usual:
            raise UnsupportedError(f'config.json: yarn with "{name}" {scaling.get(name)} is not converted')
    if not scaling.flag("truncate", True):
        raise UnsupportedError('config.json: yarn with "truncate" false is not converted')
    original = scaling.whole("original_max_position_embeddings", context_length)
    metadata: dict[str, Value] = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": factor,
        "rope.scaling.original_context_length": original,
    }

    def magnitude_of(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    usual_magnitude = magnitude = magnitude_of(1.0)  # which engines multiply with by themselves
    if scaling.get("mscale") and scaling.get("mscale_all_dim"):
        magnitude = magnitude_of(scaling.number("mscale")) / magnitude_of(scaling.number("mscale_all_dim"))
    magnitude = scaling.number("attention_factor", magnitude)
    if magnitude != usual_magnitude:
        metadata["rope.scaling.attn_factor"] = magnitude / usual_magnitude
    return _with(rope, metadata)


def _longrope(rope: Rope, config: Fields, scaling: Fields, context_length: int) -> Rope:
    original = scaling.whole(
        "original_max_position_embeddings", config.whole("original_max_position_embeddings", context_length)
    )
    stretch = scaling.number("factor", context_length / original)
    usual_magnitude = math.sqrt(1 + math.log(stretch) / math.log(original)) if stretch > 1 else 1.0
    metadata: dict[str, Value] = {
        "rope.scaling.type": "longrope",
        "rope.scaling.original_context_length": original,
        "rope.scaling.attn_factor": scaling.number("attention_factor", usual_magnitude),
    }
    factors = {}
    for kind in ("long", "short"):
        values = scaling.get(f"{kind}_factor")
        is_sound = isinstance(values, list) and len(values) == rope.dimensions // 2
        if not is_sound or not all(type(value) in (int, float) and value > 0 for value in values):
            raise scaling.wrong(f"{kind}_factor", f"{rope.dimensions // 2} numbers above 0 are needed")
        factors[f"rope_factors_{kind}.weight"] = [float(value) for value in values]
    return Rope(rope.base, rope.dimensions, metadata, factors)
