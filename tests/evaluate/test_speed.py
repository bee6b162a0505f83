"""Measured runs in processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.config import EngineConfig
from edgewise.errors import InternalError
from edgewise.evaluate.speed import Spread, measure_speeds
from speed.quality_models import DEMO, DEMO_SOURCE

TOKENS = list(range(3, 323))


def test_models_take_turns_and_each_round_counts() -> None:
    told: list[tuple[int, int]] = []
    speeds = measure_speeds(
        [DEMO, DEMO_SOURCE], TOKENS, EngineConfig(threads=1), rounds=3, progress=lambda *progress: told.append(progress)
    )
    assert told == [(run, 6) for run in range(1, 7)]
    for speed in speeds:
        for spread in (speed.prefill, speed.decode):
            assert 0 < spread.least <= spread.median <= spread.most


def test_memory_is_that_of_the_run_alone() -> None:
    ballast = bytearray(200 << 20)
    (speed,) = measure_speeds([DEMO], TOKENS, EngineConfig(threads=1), rounds=1)
    assert DEMO.stat().st_size < speed.peak_memory_bytes < len(ballast)
    assert speed.decode == Spread(*[speed.decode.median] * 3)


def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"nowhere\.gguf: the measured run failed: .*No such file"):
        measure_speeds([tmp_path / "nowhere.gguf"], TOKENS, EngineConfig(), rounds=1)
