"""Recommendations fit with room to spare, and say the best next to the fastest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgewise.plan.devices import device_named, devices
from edgewise.plan.memory import Settings
from edgewise.plan.recommendation import READING_SPEED, ROOM, recommend


@pytest.mark.parametrize("name", ["pi5-8gb", "gateway-2gb", "laptop-16gb", "rtx4060-laptop"])
def test_what_is_recommended_fits_with_room_to_spare(name: str) -> None:
    best, *others = recommend(Settings(4096), device_named(name), prompt_tokens=256)
    for one in (best, *others):
        assert one.verdict == "fits"
        assert one.memory.total_bytes <= ROOM * one.available_bytes
    for other in others:
        assert best.speed is not None
        assert other.speed is not None
        assert best.model.parameters > other.model.parameters or best.model.weights_bytes > other.model.weights_bytes
        assert best.speed.decode.p50 < other.speed.decode.p50
        assert best.speed.decode.p50 >= READING_SPEED


def test_a_larger_machine_gets_a_larger_model() -> None:
    sizes = [
        recommend(Settings(4096), device_named(name), prompt_tokens=256)[0].model.parameters
        for name in ("pi4-4gb", "pi5-8gb", "laptop-16gb")
    ]
    assert sizes == sorted(set(sizes))


def test_nothing_is_recommended_where_nothing_fits() -> None:
    device = devices()["pi5-4gb"]
    (processor,) = device.processors
    tiny = replace(device, processors=(replace(processor, memory_bytes=50 * 10**6),))
    assert recommend(Settings(4096), tiny, prompt_tokens=256) == ()
