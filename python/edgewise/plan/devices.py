"""Machines by name: what each offers a model, with the source of every figure, from devices.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

_GIGA, _GIB = 10**9, 2**30

DATA = Path(__file__).with_name("devices.json")


@dataclass(frozen=True)
class Spread:
    """A figure that is not known exactly: in one case of ten it is below `p10`, in one above `p90`."""

    p10: float
    p50: float
    p90: float

    def __mul__(self, factor: float) -> Spread:
        return Spread(self.p10 * factor, self.p50 * factor, self.p90 * factor)


@dataclass(frozen=True)
class Processor:
    """What computes, and the memory that it computes from.

    Args:
        name: what it is.
        memory_bytes: that a model may take.
        decode_bandwidth: bytes of weights that products with one token read, per second.
        prefill_rate: 8-bit multiply-adds per second that products with many tokens reach.
        layer_s: what a layer costs a token however small it is, in seconds.
    """

    name: str
    memory_bytes: int
    decode_bandwidth: Spread
    prefill_rate: Spread
    layer_s: float


@dataclass(frozen=True)
class Device:
    """A machine.

    Args:
        name: to call it by.
        title: what it is.
        processors: the one that runs a model if it fits there comes first.
        memory_bytes: physical memory.
        limited_by: why a model can not have all of it.
        storage_bytes: room for models; 0 if unknown.
        disk_bandwidth: bytes per second that files are read at; None if unknown.
        cores: that compute.
        instruction_sets: that matter to the kernels.
        sources: where each figure is from.
    """

    name: str
    title: str
    processors: tuple[Processor, ...]
    memory_bytes: int
    limited_by: str
    storage_bytes: int
    disk_bandwidth: Spread | None
    cores: int
    instruction_sets: tuple[str, ...]
    sources: Mapping[str, str]


# Shares of the two ceilings that decode and prefill reach on a machine whose ceilings were measured: least, middle and
# most of the formats in docs/benchmarks.md.
DECODE_SHARE = Spread(0.60, 0.75, 0.90)
PREFILL_SHARE = Spread(0.50, 0.65, 0.75)

# How far a figure may be from what a machine reaches: speeds that others measured vary with firmware, cooling and
# builds (docs/planning.md has the runs); what is derived from data sheets is a guess.
_MEASURED = Spread(0.85, 1.0, 1.15)
_DERIVED = Spread(0.6, 1.0, 1.3)
_DISK = Spread(0.6, 1.0, 1.2)

LAYER_S = 15e-6
"""Norms, attention and waiting for threads in a layer: what the demo model's tokens take beyond its weights."""

_GPU_LAYER_S = 60e-6  # a dozen kernels of some microseconds each


def device_named(name: str) -> Device:
    """The device of that name.

    Raises:
        InvalidArgument: if there is none.
    """
    found = devices().get(name.lower())
    if found is None:
        raise InvalidArgument(f"no device is called {name!r}", hint=f"known: {', '.join(devices())}")
    return found


@cache
def devices() -> Mapping[str, Device]:
    """All devices that are known, by name."""
    entries: dict[str, dict[str, Any]] = json.loads(DATA.read_text(encoding="utf-8"))
    return {name: _device(name, entry) for name, entry in entries.items()}


def _device(name: str, entry: dict[str, Any]) -> Device:
    values = {key: figure["value"] for key, figure in entry["figures"].items()}
    memory = int(values["memory_gib"] * _GIB)
    cpu = Processor(
        name=entry["processor"],
        memory_bytes=int(memory * values["usable_share"]),
        decode_bandwidth=_spread(entry, "decode_gb_per_s"),
        prefill_rate=PREFILL_SHARE * (values["int8_giga_per_s"] * _GIGA),
        layer_s=LAYER_S,
    )
    processors: tuple[Processor, ...] = (cpu,)
    if "gpu" in entry:
        gpu = Processor(
            name=entry["gpu"],
            memory_bytes=int(values["gpu_memory_gib"] * _GIB * values["gpu_usable_share"]),
            decode_bandwidth=_spread(entry, "gpu_decode_gb_per_s"),
            prefill_rate=_spread(entry, "gpu_prefill_giga_per_s"),
            layer_s=_GPU_LAYER_S,
        )
        processors = (gpu, cpu)
    return Device(
        name=name,
        title=entry["title"],
        processors=processors,
        memory_bytes=memory,
        limited_by=entry["figures"]["usable_share"]["source"],
        storage_bytes=int(values["storage_gb"] * _GIGA),
        disk_bandwidth=_DISK * (values["disk_gb_per_s"] * _GIGA),
        cores=int(values["cores"]),
        instruction_sets=tuple(values["instruction_sets"]),
        sources={key: figure["source"] for key, figure in entry["figures"].items()},
    )


def _spread(entry: dict[str, Any], key: str) -> Spread:
    figure = entry["figures"][key]
    value = float(figure["value"]) * _GIGA
    return (_MEASURED if figure.get("measured") else _DERIVED) * value
