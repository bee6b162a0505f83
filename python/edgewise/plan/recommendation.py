"""What to run on a machine, of the models that have a shape: the best that fits with room to spare, and the fastest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.plan.assessment import Assessment, assess
from edgewise.plan.memory import memory_of
from edgewise.plan.shapes import SHAPES, shape_named
from edgewise.plan.speed import decode_s_of

if TYPE_CHECKING:
    from edgewise.plan.devices import Device
    from edgewise.plan.memory import Settings
    from edgewise.plan.models import PlannedModel

FORMATS = ("q8_0", "q6_k", "q5_k_m", "q4_k_m")
"""From the best on. Below four bits a smaller model is the better choice: docs/quantization.md has the losses."""

ROOM = 0.8
"""Share of the memory that a recommendation takes at most: programs beside it grow."""

READING_SPEED = 4.0
"""Tokens per second at which people read; what is slower is no pleasure, and recommended where nothing else fits."""


SUPERSEDED = frozenset(name for name in SHAPES if name.startswith(("llama2-", "qwen2.5-", "gemma2-")))
"""Models whose makers have published better ones of the same size: Llama 3, Qwen 3, Gemma 3."""


def recommend(settings: Settings, device: Device, *, prompt_tokens: int) -> tuple[Assessment, ...]:
    """The best model and format for a machine, and the fastest if that is another; none if nothing fits.

    Weights stand for quality: the best has the most of those that answer at reading speed, in the format of most bits
    that does. Where none is so fast, the fastest alone is left. Models that were trained for less context are left out.

    Args:
        settings: how models would be opened.
        device: the machine.
        prompt_tokens: length of the prompt that speeds are for.
    """
    rates: list[tuple[float, PlannedModel]] = []
    for name, shape in SHAPES.items():
        if name not in SUPERSEDED and shape.context_length >= settings.context_length:
            models = (shape_named(f"{name}:{mix}") for mix in FORMATS)
            rates += [(rate, one) for one in models if (rate := _rate(one, settings, device, prompt_tokens))]
    if not rates:
        return ()
    fastest = max(rates, key=lambda pair: pair[0])[1]
    readable = [model for rate, model in rates if rate >= READING_SPEED]
    best = max(readable, key=lambda model: (model.parameters, model.weights_bytes), default=fastest)
    chosen = (best,) if best is fastest else (best, fastest)
    return tuple(assess(model, settings, device, prompt_tokens=prompt_tokens) for model in chosen)


def _rate(model: PlannedModel, settings: Settings, device: Device, prompt_tokens: int) -> float:
    """Tokens per second where the model fits with room to spare; 0 where it does not."""
    total = memory_of(model, settings).total_bytes
    if device.storage_bytes and model.weights_bytes > device.storage_bytes:
        return 0.0
    for processor in device.processors:
        if total <= ROOM * processor.memory_bytes:
            return 1 / decode_s_of(model, settings, processor, prompt_tokens, "p50")
    return 0.0
