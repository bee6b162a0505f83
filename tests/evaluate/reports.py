"""A report that was measured nowhere."""

from __future__ import annotations

from edgewise.evaluate.figures import Divergence, Estimate
from edgewise.evaluate.report import Circumstances, Report, Result, Source, Weight, recommendation
from edgewise.evaluate.speed import Speed, Spread


def speed(decode: float) -> Speed:
    return Speed(Spread(1000.0, 900.0, 1100.0), Spread(decode, decode - 1, decode + 1), 50_000_000)


def result(name: str, size_bytes: int, divergence: float, decode: float = 20.0) -> Result:
    found = Divergence(
        reference_perplexity=Estimate(8.0, 0.1),
        log_ratio=Estimate(0.01, 0.002),
        mean=Estimate(divergence, divergence / 20),
        median=divergence / 2,
        percentile_99=divergence * 10,
        maximum=divergence * 100,
        same_top=Estimate(0.9, 0.01),
    )
    return Result(name, Weight(size_bytes, 4.5), Estimate(8.1, 0.1), found, speed(decode))


SOURCE = Source("model-f16.gguf", Weight(16_000_000, 16.0), Estimate(8.0, 0.1), speed(10.0))


def report(*results: Result) -> Report:
    where = Circumstances("a text", 512, 10, 2550, "A CPU", "avx2", 4, "0.1.0")
    return Report(SOURCE, results, recommendation(SOURCE, results), where)
