"""Verdicts: what fits, what would, and what never will."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgewise.plan.assessment import Assessment, assess
from edgewise.plan.devices import Processor, device_named
from edgewise.plan.memory import Settings, memory_of
from edgewise.plan.shapes import shape_named


def plan(shape: str, device: str, settings: Settings | None = None) -> Assessment:
    return assess(shape_named(shape), settings or Settings(4096), device_named(device), prompt_tokens=256)


@pytest.mark.parametrize(
    ("shape", "device", "verdict"),
    [
        ("llama3.2-3b", "pi5-8gb", "fits"),
        ("llama3.2-1b", "gateway-2gb", "fits"),
        ("llama2-7b:q4_k_m", "macbook-m3", "fits"),
        ("llama2-7b:q4_k_m", "iphone15pro", "fits with changes"),  # 4.1 GB and a cache of 2.1 in 5.4
        ("llama2-7b:q8_0", "pi5-8gb", "does not fit"),
        ("llama2-7b:f16", "rtx4060-laptop", "does not fit"),
        ("llama2-70b", "iphone15pro", "does not fit"),
        ("llama3.1-70b:q2_k", "laptop-16gb", "does not fit"),
        ("llama3.1-8b:q8_0", "gateway-2gb", "does not fit"),
    ],
)
def test_verdicts(shape: str, device: str, verdict: str) -> None:
    assert plan(shape, device).verdict == verdict


def test_what_fits_takes_no_more_than_there_is() -> None:
    found = plan("llama3.2-3b", "pi5-8gb")
    assert found.memory.total_bytes <= found.available_bytes
    assert found.missing_bytes == 0
    assert found.largest_context > 4096
    assert found.speed is not None


def test_seven_billion_halves_do_not_fit_a_card_of_8_gb() -> None:
    found = plan("llama2-7b:f16", "rtx4060-laptop")
    assert found.memory.weights_bytes == pytest.approx(13.48e9, rel=1e-3)
    assert "RTX 4060 laptop GPU has 7.73 GB" in found.reason
    assert "disk-bound" in found.reason


def test_what_fits_a_gpu_runs_there_and_what_does_not_runs_beside_it() -> None:
    assert plan("llama2-7b", "rtx4060-laptop").processor.name == "RTX 4060 laptop GPU"
    beside = plan("llama2-7b:q8_0", "rtx4060-laptop")
    assert beside.verdict == "fits"
    assert beside.processor.name != "RTX 4060 laptop GPU"


def test_disk_bound_is_said_with_the_bytes_that_every_token_reads() -> None:
    found = plan("llama2-7b:q8_0", "pi5-8gb", Settings(512))
    assert found.missing_bytes == found.memory.total_bytes - found.available_bytes
    assert "disk-bound" in found.reason
    assert found.speed is not None
    assert found.speed.decode_limit == "disk"
    assert found.speed.decode.p50 < 1


def test_a_cache_that_does_not_fit_is_no_matter_of_the_disk() -> None:
    found = plan("llama3.2-1b", "gateway-2gb", Settings(131072))
    assert found.verdict == "fits with changes"
    assert found.speed is None
    assert "cannot be left on the disk" in found.reason


@pytest.mark.parametrize("shape", ["llama3.2-1b", "llama3.2-3b", "qwen2.5-7b", "llama3.1-8b", "llama2-7b"])
@pytest.mark.parametrize("settings", [Settings(4096), Settings(32768), Settings(8192, sequences=4)])
@pytest.mark.parametrize("device", ["gateway-2gb", "pi5-4gb", "pi5-8gb", "rtx4060-laptop"])
def test_following_the_advice_makes_it_fit(shape: str, settings: Settings, device: str) -> None:
    found = plan(shape, device, settings)
    for advice in found.advice:
        if not advice.makes_it_fit:
            continue
        model, changed = shape_named(shape), settings
        words = advice.text.partition(":")[0].split()
        for option, value in zip(words, [*words[1:], ""], strict=True):
            if option == "--kv":
                assert value == "q8_0"
                changed = replace(changed, key_format="q8_0", value_format="q8_0")
            elif option == "--ctx":
                changed = replace(changed, context_length=int(value))
            elif option == "--parallel":
                changed = replace(changed, sequences=int(value))
            elif option == "format":
                model = model.in_format(value)
        again = assess(model, changed, device_named(device), prompt_tokens=256)
        assert again.verdict == "fits", advice
    if found.verdict == "fits with changes":
        assert any(advice.makes_it_fit for advice in found.advice)


def test_a_file_that_the_disk_has_no_room_for_does_not_fit() -> None:
    small = replace(device_named("pi5-8gb"), storage_bytes=10**9)
    found = assess(shape_named("llama3.2-3b"), Settings(512), small, prompt_tokens=9)
    assert found.verdict == "does not fit"
    assert "the disk has 1.00 GB" in found.reason
    installed = assess(shape_named("llama3.2-3b"), Settings(512), small, prompt_tokens=9, is_installed=True)
    assert installed.verdict == "fits"


def test_the_limit_is_exact() -> None:
    model, settings = shape_named("llama3.2-1b"), Settings(1024)
    need = memory_of(model, settings).total_bytes

    def verdict(available: int) -> str:
        pi = device_named("pi5-8gb")
        room: Processor = replace(pi.processors[0], memory_bytes=available)
        return assess(model, settings, replace(pi, processors=(room,)), prompt_tokens=9).verdict

    assert verdict(need) == "fits"
    assert verdict(need - 1) != "fits"
