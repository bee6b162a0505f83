"""Speeds follow from bytes and multiply-adds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgewise.plan.devices import Processor, Spread
from edgewise.plan.memory import Settings, cache_read_bytes
from edgewise.plan.shapes import shape_named
from edgewise.plan.speed import decode_s_of, prefill_s_of, speed_of

SURE = Processor("sure", 10**12, Spread(1e10, 1e10, 1e10), Spread(1e12, 1e12, 1e12), 0.0)
DISK = Spread(1e8, 1e8, 1e8)
SETTINGS = Settings(4096)
MODEL = shape_named("llama3.2-1b")


def test_a_token_takes_as_long_as_its_bytes_and_its_layers() -> None:
    assert decode_s_of(MODEL, SETTINGS, SURE, 0, "p50") == pytest.approx(MODEL.read_bytes / 1e10)
    slow = replace(SURE, layer_s=1e-3)
    assert decode_s_of(MODEL, SETTINGS, slow, 0, "p50") == pytest.approx(MODEL.read_bytes / 1e10 + 16e-3)


def test_a_deep_context_is_read_too() -> None:
    more = decode_s_of(MODEL, SETTINGS, SURE, 4000, "p50") - decode_s_of(MODEL, SETTINGS, SURE, 0, "p50")
    # 16 layers of 8 heads, a key and a value of 64 halves.
    assert more == pytest.approx(4000 * 16 * 8 * 2 * 64 * 2 / 1e10)
    assert cache_read_bytes(MODEL.layers, 4000, Settings(4096, "q8_0", "q8_0")) * 32 == 34 * 4000 * 16 * 8 * 2 * 64


def test_embeddings_that_are_no_output_are_not_read() -> None:
    untied, tied = shape_named("llama3.1-8b"), MODEL
    assert untied.read_bytes < untied.weights_bytes - 128256 * 4096 // 2
    assert tied.read_bytes == pytest.approx(tied.weights_bytes, rel=1e-4)


def test_a_prompt_takes_one_multiply_add_for_each_weight_and_token_and_attention_on_top() -> None:
    short = prefill_s_of(MODEL, SETTINGS, SURE, 512, "p50")
    products_s = MODEL.multiply_adds * 512 / 1e12
    attention_s = 16 * 32 * 128 * (512 * 513 // 2) / (1e12 / 4)
    assert short == pytest.approx(products_s + attention_s)
    assert MODEL.multiply_adds == pytest.approx(0.973e9, rel=1e-3)


def test_a_prompt_of_one_token_takes_no_less_than_reading_the_weights() -> None:
    assert prefill_s_of(MODEL, SETTINGS, SURE, 1, "p50") == decode_s_of(MODEL, SETTINGS, SURE, 0, "p50")


def test_percentiles_are_those_of_what_is_shown() -> None:
    spread = replace(SURE, decode_bandwidth=Spread(0.8e10, 1e10, 1.2e10), prefill_rate=Spread(0.8e12, 1e12, 1.2e12))
    speed = speed_of(MODEL, SETTINGS, spread, prompt_tokens=256, disk_bandwidth=DISK)
    assert speed is not None
    assert speed.first_token_cold_s is not None
    for one in (speed.decode, speed.prefill, speed.first_token_warm_s, speed.first_token_cold_s):
        assert one.p10 < one.p50 or one is speed.first_token_cold_s
        assert one.p50 < one.p90


def test_a_cold_start_reads_the_file_once() -> None:
    speed = speed_of(MODEL, SETTINGS, SURE, prompt_tokens=256, disk_bandwidth=DISK)
    assert speed is not None
    assert speed.first_token_cold_s is not None
    load_s = speed.first_token_cold_s.p50 - speed.first_token_warm_s.p50
    assert load_s == pytest.approx(MODEL.weights_bytes / 1e8)
    assert speed.first_token_limit == "disk"


def test_weights_that_do_not_fit_come_from_the_disk_for_every_token() -> None:
    missing = MODEL.weights_bytes // 4
    speed = speed_of(MODEL, SETTINGS, SURE, prompt_tokens=256, disk_bandwidth=DISK, missing_bytes=missing)
    assert speed is not None
    assert speed.decode_limit == "disk"
    assert speed.decode.p90 < 1e8 / missing
    assert 0.9 * 1e8 / MODEL.weights_bytes < speed.decode.p10 < 1e8 / MODEL.weights_bytes


def test_nothing_is_said_of_a_disk_that_is_not_known() -> None:
    assert speed_of(MODEL, SETTINGS, SURE, prompt_tokens=9, disk_bandwidth=None, missing_bytes=1) is None
    speed = speed_of(MODEL, SETTINGS, SURE, prompt_tokens=9, disk_bandwidth=None)
    assert speed is not None
    assert speed.first_token_cold_s is None
    assert speed.decode_limit == "memory bandwidth"


def test_a_tiny_model_is_bounded_by_what_its_layers_cost_anyway() -> None:
    speed = speed_of(
        shape_named("smollm2-135m"), SETTINGS, replace(SURE, layer_s=1e-3), prompt_tokens=9, disk_bandwidth=None
    )
    assert speed is not None
    assert speed.decode_limit == "overhead"
