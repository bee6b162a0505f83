"""Files beside the model that they were made of."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from edgewise.config import EngineConfig
from edgewise.errors import InvalidArgument
from edgewise.evaluate import report as report_module
from edgewise.evaluate.quality import measure, open_to_evaluate
from edgewise.evaluate.report import Candidate, make_report, recommendation
from edgewise.quantize.mixes import named_mix
from edgewise.quantize.work import open_source, plan_mix, save
from evaluate.reports import SOURCE, result
from speed.quality_models import DEMO, DEMO_SOURCE, TEXT

BY_QUALITY = ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k")


def test_each_mix_with_fewer_bits_is_further_from_the_source(tmp_path: Path) -> None:
    source = open_source(DEMO_SOURCE)
    divergences = []
    with open_to_evaluate(DEMO_SOURCE, EngineConfig(), 256) as reference:
        for name in BY_QUALITY:
            path = tmp_path / f"{name}.gguf"
            save(source, plan_mix(source, named_mix(name)), path, threads=1)
            with open_to_evaluate(path, EngineConfig(), 256) as engine:
                (found,) = measure([engine], reference, TEXT.read_bytes())
            assert found.divergence is not None
            divergences.append(found.divergence.mean.value)
    assert all(near < far for near, far in pairwise(divergences)), divergences


def test_a_report_holds_what_single_measurements_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewise.evaluate.speed.ROUNDS", 1)
    told: list[tuple[str, int, int]] = []
    found = make_report(
        DEMO_SOURCE,
        [Candidate("small", DEMO), Candidate("same", DEMO_SOURCE)],
        TEXT.read_bytes(),
        "stories",
        EngineConfig(threads=1),
        context=64,
        chunks=8,
        progress=lambda *progress: told.append(progress),
    )
    with open_to_evaluate(DEMO, EngineConfig(threads=1), 64) as engine:
        (alone,) = measure([engine], None, TEXT.read_bytes(), chunks=8)
    small, same = found.results
    assert (small.name, small.perplexity) == ("small", alone.perplexity)
    assert small.weight.size_bytes == DEMO.stat().st_size
    assert 8.4 < small.weight.bits_per_weight < 8.6
    assert same.perplexity == found.source.perplexity
    assert abs(same.divergence.maximum) < 1e-6
    assert small.speed.decode.median > 0
    assert (found.circumstances.positions, found.circumstances.threads) == (8 * 31, 1)
    assert told[-1][:1] == ("runs",)
    assert ("chunks", 16, 16) in told


def test_models_that_do_not_fit_into_memory_together_are_measured_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [Candidate(name, DEMO) for name in "abc"]
    size, of_source = DEMO.stat().st_size, DEMO_SOURCE.stat().st_size

    def groups(budget_bytes: int) -> list[str]:
        return [
            "".join(one.name for one in group) for group in report_module._groups(DEMO_SOURCE, candidates, budget_bytes)
        ]

    assert groups(of_source + 3 * size) == ["abc"]
    assert groups(of_source + 3 * size - 1) == ["ab", "c"]
    assert groups(0) == ["a", "b", "c"]


def test_the_smallest_file_that_is_near_enough_is_recommended() -> None:
    results = [result("large", 9_000_000, 0.001), result("right", 6_000_000, 0.04), result("small", 3_000_000, 0.09)]
    sentence = recommendation(SOURCE, results)
    assert sentence.startswith("Take right: ")
    assert "38% of the source's size, a divergence of 0.04 nats and 2 times its decode speed." in sentence


def test_nothing_is_recommended_where_all_lose_much() -> None:
    sentence = recommendation(SOURCE, [result("bad", 6_000_000, 0.2), result("worse", 3_000_000, 0.9)])
    assert sentence.startswith("None of these files stays within 0.05 nats of the source; the nearest is bad,")


def test_a_text_that_is_too_short_for_speeds_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="speed is measured with 320 tokens"):
        make_report(
            DEMO_SOURCE, [Candidate("q8_0", DEMO)], TEXT.read_bytes()[:900], "stories", EngineConfig(), context=64
        )
