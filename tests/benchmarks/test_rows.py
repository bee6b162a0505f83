"""Rows of the report: medians, ratios, shares of ceilings, and what becomes of targets."""

from dataclasses import replace
from pathlib import Path

import pytest

from speed.ceilings import Work
from speed.measure import Measured
from speed.plan import Job
from speed.report import align, table
from speed.rows import Row, rows_of
from speed.targets import TARGETS, Target
from speed.verdict import Verdict, conclusion

CEILINGS = {"read_bandwidth": 110e9, "int8_peak": 1000e9}


def measured(**peers: list[float]) -> Measured:
    """A model of 1 GB of weights, 1 billion multiply-adds and 1000 bytes of cache for each position."""
    work = ("decode:4096", "prefill:256")
    job = Job(("context",), "large", "q4_k_m", Path("large.gguf"), work, 5000, 1, "avx2", 2, 3)

    def runs(scales: list[float]) -> list[dict[str, float]]:
        return [{"decode:4096": 100 * x, "prefill:256": 500 * x, "first_token_s": 0.1 / x} for x in scales]

    return Measured(
        job=job,
        file_bytes=10**9,
        work=Work(10**9, 10**9),
        facts={"cache_bytes": 5_000_000, "isa": "avx2"},
        ceilings=[CEILINGS] * 3,
        runs={"edgewise": runs([1, 1.2, 0.8]), **{name: runs(scales) for name, scales in peers.items()}},
    )


def row_of(figure: str, of: Measured) -> Row:
    return next(row for row in rows_of(of, ["context"]) if row.figure == figure)


def test_a_row_has_median_and_range_of_the_rounds() -> None:
    own = row_of("decode:4096", measured()).spreads["edgewise"]
    assert (own.median, own.least, own.most) == (100, 80, 120)


def test_ratios_say_how_many_times_better_for_each_peer_and_targets_ask_the_first() -> None:
    row = row_of("decode:4096", measured(first=[0.5] * 3, second=[2.0] * 3))
    assert row.ratios == {"first": 2, "second": 0.5}
    assert row.measures["ratio"] == 2


def test_the_share_of_bandwidth_counts_weights_and_the_cache_behind_a_token() -> None:
    share = row_of("decode:4096", measured()).measures["share"]
    assert share == pytest.approx(100 * (10**9 + (4096 + 32) * 1000) / 110e9)


def test_the_share_of_the_int8_peak_counts_multiply_adds() -> None:
    assert row_of("prefill:256", measured()).measures["share"] == pytest.approx(0.5)


def test_streams_are_compared_with_one_stream_of_the_same_process() -> None:
    one = measured()
    job = replace(one.job, work=("streams:1", "streams:8"))
    runs = {"edgewise": [{"streams:1": 10.0, "streams:8": rate} for rate in (50.0, 45.0, 60.0)]}
    row = row_of("streams:8", replace(one, job=job, runs=runs))
    assert row.measures["scaling"] == 5
    assert row.title == "streams 8"


def test_a_target_is_met_missed_or_unknown() -> None:
    share, unknown = row_of("decode:4096", measured()).verdicts()
    assert (share.target, share.is_met) == ("share >= 85%", True)
    assert (unknown.target, unknown.found, unknown.is_met) == ("ratio >= 1.5", None, None)
    met = row_of("decode:4096", measured(peer=[0.5] * 3)).verdicts()[1]
    assert (met.found, met.is_met) == (2, True)


def test_memory_is_bounded_from_above_and_everything_else_from_below() -> None:
    assert Target("beyond", 60).is_met(59)
    assert not Target("beyond", 60).is_met(61)
    assert Target("share", 0.6).is_met(0.61)
    assert not Target("share", 0.6).is_met(0.59)


def test_formats_with_scales_for_16_values_have_the_lower_target() -> None:
    targets = TARGETS["prefill", "prefill:1024"]
    assert {name: target.bound for name, (target,) in targets.items()} == {
        "q4_k_m": 0.6,
        "q5_k_m": 0.6,
        "q6_k": 0.5,
        "q3_k_m": 0.5,
        "q4_0": 0.6,
        "q8_0": 0.6,
    }


def test_a_table_shows_each_engine_with_its_spread_and_the_verdict() -> None:
    text = table("context", rows_of(measured(peer=[0.5] * 3), ["context"]))
    line = next(line for line in text.splitlines() if line.startswith("decode 4096"))
    for cell in (
        "q4_k_m",
        "100.0 (80.0 - 120.0)",
        "50.0 (50.0 - 50.0)",
        "91%",
        "2.00",
        "share >= 85%, ratio >= 1.5",
        "met, met",
    ):
        assert cell in line, cell


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    lines = align([["a", "1", "left", ""], ["long", "100", "x", "y"]], left=1)
    assert lines == "a        1   left\nlong   100   x      y"


def test_the_conclusion_names_what_is_missed() -> None:
    text = conclusion([Verdict("decode", "share >= 95%", 0.97, True), Verdict("prefill", "share >= 60%", 0.5, False)])
    assert text == "1 of 2 targets met\n  MISSED: prefill: share >= 60%, is 0.5"
