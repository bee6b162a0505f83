"""The verdict: whether a model fits a machine, how fast it will be, and what would make it fit or faster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from edgewise.errors import UnsupportedError
from edgewise.plan.memory import Memory, largest_context, memory_of
from edgewise.plan.speed import Speed, speed_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgewise.plan.devices import Device, Processor
    from edgewise.plan.memory import Settings
    from edgewise.plan.models import PlannedModel

Verdict = Literal["fits", "fits with changes", "does not fit"]

LEAST_CONTEXT = 512
"""A context that is shorter is no way to make a model fit."""

# Mixes that are proposed, best quality first.
_RECOMMENDED = ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k")


@dataclass(frozen=True)
class Advice:
    """Something to change.

    Args:
        text: what, and what comes of it.
        makes_it_fit: whether the model fits then.
    """

    text: str
    makes_it_fit: bool


@dataclass(frozen=True)
class Assessment:
    """What a plan says.

    Args:
        verdict: whether it fits.
        reason: the numbers behind it.
        model: the model.
        settings: how it would be opened.
        device: the machine.
        processor: what would compute.
        memory: what the model takes.
        available_bytes: what there is.
        missing_bytes: weights that would stay on the disk and be read from there for every token.
        disk_bytes: what the file takes on the disk.
        fits_disk: whether there is room for it; None if unknown.
        largest_context: the longest context that fits with these settings, 0 if none does.
        speed: None if the model can not run, or only from a disk whose rate is unknown.
        advice: what would make it fit, or faster.
    """

    verdict: Verdict
    reason: str
    model: PlannedModel
    settings: Settings
    device: Device
    processor: Processor
    memory: Memory
    available_bytes: int
    missing_bytes: int
    disk_bytes: int
    fits_disk: bool | None
    largest_context: int
    speed: Speed | None
    advice: tuple[Advice, ...]


def assess(
    model: PlannedModel, settings: Settings, device: Device, *, prompt_tokens: int, is_installed: bool = False
) -> Assessment:
    """Judges a model on a device.

    Args:
        model: the model.
        settings: how it would be opened.
        device: the machine.
        prompt_tokens: length of the prompt that speeds are for.
        is_installed: whether the file is on the machine's disk already.
    """
    memory = memory_of(model, settings)
    processor = next(
        (one for one in device.processors if memory.total_bytes <= one.memory_bytes), device.processors[-1]
    )
    available = processor.memory_bytes
    fits_disk = None if not device.storage_bytes else is_installed or model.weights_bytes <= device.storage_bytes
    fits = memory.total_bytes <= available and fits_disk is not False
    missing = min(max(0, memory.total_bytes - available), memory.weights_bytes)
    can_run = memory.anonymous_bytes <= available and fits_disk is not False
    changes = () if fits else tuple(_changes(model, settings, device))
    verdict: Verdict = "fits" if fits else "fits with changes" if changes else "does not fit"
    speed = None
    if can_run:
        speed = speed_of(
            model,
            settings,
            processor,
            prompt_tokens=prompt_tokens,
            disk_bandwidth=device.disk_bandwidth,
            missing_bytes=missing,
        )
    return Assessment(
        verdict=verdict,
        reason=_reason(memory, device, processor, missing, can_run=can_run, fits_disk=fits_disk),
        model=model,
        settings=settings,
        device=device,
        processor=processor,
        memory=memory,
        available_bytes=available,
        missing_bytes=missing,
        disk_bytes=model.weights_bytes,
        fits_disk=fits_disk,
        largest_context=largest_context(model, settings, available),
        speed=speed,
        advice=changes or tuple(_other_formats(model, settings, device, fits=fits)),
    )


def _reason(
    memory: Memory, device: Device, processor: Processor, missing: int, *, can_run: bool, fits_disk: bool | None
) -> str:
    first = device.processors[0]
    numbers = f"{_gb(memory.total_bytes)} of {_gb(processor.memory_bytes)} that a model can have"
    if processor is not first:
        numbers += f" on {processor.name}, as {first.name} has {_gb(first.memory_bytes)}"
    if fits_disk is False:
        return f"the file takes {_gb(memory.weights_bytes)}, the disk has {_gb(device.storage_bytes)}"
    if not can_run:
        return f"{numbers}; {_gb(memory.anonymous_bytes)} of it cannot be left on the disk"
    if missing:
        return f"{numbers}: disk-bound, every token would read {_gb(missing)} of weights or more from the disk"
    return numbers


def _changes(model: PlannedModel, settings: Settings, device: Device) -> Iterator[Advice]:
    """Ways to open this very file so that it fits: each alone, and all together if none does alone."""
    available = max(one.memory_bytes for one in device.processors)
    if device.storage_bytes and model.weights_bytes > device.storage_bytes:
        return
    narrow = replace(settings, key_format="q8_0", value_format="q8_0")
    single = replace(settings, sequences=1)
    both = replace(narrow, sequences=1)
    found = False
    for changed, text in ((narrow, "--kv q8_0"), (single, "--parallel 1"), (both, "--kv q8_0 --parallel 1")):
        if changed == settings or (text.count("--") > 1 and (found or both in (narrow, single))):
            continue
        total = memory_of(model, changed).total_bytes
        if total <= available:
            found = True
            yield Advice(f"{text}: takes {_gb(total)}", makes_it_fit=True)
    for changed, text in ((settings, ""), (both, " --kv q8_0" + (" --parallel 1" if settings.sequences > 1 else ""))):
        context = min(largest_context(model, changed, available, settings.context_length), settings.context_length)
        if LEAST_CONTEXT <= context < settings.context_length:
            yield Advice(f"--ctx {context}{text}: the longest context that fits then", makes_it_fit=True)
            return


def _other_formats(model: PlannedModel, settings: Settings, device: Device, *, fits: bool) -> Iterator[Advice]:
    """The best format that fits where this one does not; where it does, the next smaller one and what it gains."""
    room = max(one.memory_bytes for one in device.processors)
    for name in _RECOMMENDED:
        try:
            other = model.in_format(name)
        except UnsupportedError:
            return
        if other.weights_bytes >= 0.97 * model.weights_bytes:
            continue
        total = memory_of(other, settings).total_bytes
        if device.storage_bytes and other.weights_bytes > device.storage_bytes:
            continue
        if not fits and total <= room:
            yield Advice(f"format {name}: takes {_gb(total)}", makes_it_fit=True)
            return
        if fits:
            gain = model.read_bytes / other.read_bytes
            text = f"format {name}: up to {gain:.1f} times as fast at lower quality, takes {_gb(total)}"
            yield Advice(text, makes_it_fit=False)
            return
    if not fits:
        yield Advice(f"a smaller model: no format of this one fits {_gb(room)}", makes_it_fit=False)


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"
