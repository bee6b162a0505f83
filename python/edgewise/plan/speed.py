"""How fast a model will be: pure functions of what it is and of what computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgewise.plan.devices import Spread
from edgewise.plan.memory import cache_read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewise.plan.devices import Processor
    from edgewise.plan.memory import Settings
    from edgewise.plan.models import PlannedModel

Limit = Literal["memory bandwidth", "compute", "disk", "overhead"]
Quantile = Literal["p10", "p50", "p90"]
"""Of what the machine reaches: p10 is the slow case."""

_FLOAT_SHARE = 1 / 4
"""Multiply-adds of attention are of floats, four bytes each: a vector makes a quarter as many as of 8-bit numbers."""


@dataclass(frozen=True)
class Speed:
    """What to expect.

    Args:
        decode: tokens per second of an answer.
        prefill: tokens per second of a prompt.
        first_token_warm_s: from the prompt to the first token, the file in memory.
        first_token_cold_s: the same with the file read from the disk first; None if the disk's rate is unknown.
        decode_limit: what bounds decode.
        first_token_limit: what bounds the first token, cold.
    """

    decode: Spread
    prefill: Spread
    first_token_warm_s: Spread
    first_token_cold_s: Spread | None
    decode_limit: Limit
    first_token_limit: Limit


def speed_of(
    model: PlannedModel,
    settings: Settings,
    processor: Processor,
    *,
    prompt_tokens: int,
    disk_bandwidth: Spread | None,
    missing_bytes: int = 0,
) -> Speed | None:
    """How fast a model is on a processor; None if that depends on a disk whose rate is unknown.

    Args:
        model: the model.
        settings: how it is opened.
        processor: what computes.
        prompt_tokens: length of the prompt; decode is at the depth behind it.
        disk_bandwidth: bytes per second that the file is read at.
        missing_bytes: weights that do not fit into memory. At best every step reads those from the disk; at worst it
            reads all weights, as what was used longest ago, which goes first, is what is needed next.
    """
    if missing_bytes and disk_bandwidth is None:
        return None
    layers_s = processor.layer_s * len(model.layers)

    def disk_s(size_bytes: int, quantile: Quantile) -> float:
        return load_s_of(size_bytes, disk_bandwidth, quantile) if disk_bandwidth is not None else 0.0

    most = model.weights_bytes if missing_bytes else 0
    read_again: dict[Quantile, int] = {"p10": most, "p50": (missing_bytes + most) // 2, "p90": missing_bytes}

    def decode_s(quantile: Quantile) -> float:
        return decode_s_of(model, settings, processor, prompt_tokens, quantile) + disk_s(read_again[quantile], quantile)

    def warm_s(quantile: Quantile) -> float:
        return prefill_s_of(model, settings, processor, prompt_tokens, quantile) + disk_s(
            read_again[quantile], quantile
        )

    def cold_s(quantile: Quantile) -> float:
        return warm_s(quantile) + disk_s(model.weights_bytes - read_again[quantile], quantile)

    limit: Limit = "memory bandwidth"
    if disk_s(read_again["p50"], "p50") > decode_s("p50") / 2:
        limit = "disk"
    elif layers_s > decode_s("p50") / 2:
        limit = "overhead"
    return Speed(
        decode=_rates(1, decode_s),
        prefill=_rates(prompt_tokens, warm_s),
        first_token_warm_s=_times(warm_s),
        first_token_cold_s=None if disk_bandwidth is None else _times(cold_s),
        decode_limit=limit,
        first_token_limit="disk" if disk_s(model.weights_bytes, "p50") > cold_s("p50") / 2 else "compute",
    )


def decode_s_of(
    model: PlannedModel, settings: Settings, processor: Processor, position: int, quantile: Quantile
) -> float:
    """Seconds of one token behind `position` others: bytes read over bandwidth, and what each layer costs anyway.

    One token meets each weight once, and a processor multiplies faster than its memory delivers, so memory is the
    limit. Source: Williams, Waterman and Patterson, Roofline (2009), at one multiply-add for each weight;
    docs/benchmarks.md measures it.
    """
    read = model.read_bytes + cache_read_bytes(model.layers, position, settings)
    bandwidth: float = getattr(processor.decode_bandwidth, quantile)
    return read / bandwidth + processor.layer_s * len(model.layers)


def prefill_s_of(
    model: PlannedModel, settings: Settings, processor: Processor, tokens: int, quantile: Quantile
) -> float:
    """Seconds of a prompt: multiply-adds over their rate, in no less time than its weights take to be read.

    Every token costs a multiply-add for each weight of the layers; the output projection is needed for the last one
    alone. Attention costs one for each value of each query head's keys and values at each position before it. Source:
    Kaplan et al., Scaling Laws for Neural Language Models (2020), table 1, in multiply-adds, which are two operations.
    """
    rate: float = getattr(processor.prefill_rate, quantile)
    products_s = model.multiply_adds * tokens / rate
    attention = sum(
        layer.heads * (layer.key_length + layer.value_length) * _positions(tokens, layer.window)
        for layer in model.layers
    )
    computed_s = products_s + attention / (rate * _FLOAT_SHARE)
    return max(computed_s, decode_s_of(model, settings, processor, 0, quantile))


def load_s_of(size_bytes: int, disk_bandwidth: Spread, quantile: Quantile) -> float:
    """Seconds to read what is not in memory: pages of the mapped file come from the disk when they are first needed."""
    rate: float = getattr(disk_bandwidth, quantile)
    return size_bytes / rate


def _positions(tokens: int, window: int) -> int:
    """Positions that all tokens of a prompt see together, themselves included."""
    if not window or tokens <= window:
        return tokens * (tokens + 1) // 2
    return window * (window + 1) // 2 + (tokens - window) * window


def _rates(amount: float, seconds: Callable[[Quantile], float]) -> Spread:
    return Spread(amount / seconds("p10"), amount / seconds("p50"), amount / seconds("p90"))


def _times(seconds: Callable[[Quantile], float]) -> Spread:
    """Slow machines take long: the tenth percentile of what they reach is the ninetieth of the time."""
    return Spread(seconds("p90"), seconds("p50"), seconds("p10"))
