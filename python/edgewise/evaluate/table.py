"""The figures of a report as rows of text, for pages and documents alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgewise.evaluate.figures import Divergence, Estimate
    from edgewise.evaluate.report import Circumstances, Report, Weight
    from edgewise.evaluate.speed import Speed, Spread

COLUMNS = (
    "file",
    "size, MB",
    "bits per weight",
    "perplexity",
    "KL divergence, mean",
    "99 %",
    "largest",
    "same top token",
    "prefill, tokens/s",
    "decode, tokens/s",
    "peak memory, MB",
)


def rows(report: Report) -> list[tuple[str, ...]]:
    """One row of `COLUMNS` for the source and for each result."""
    source = report.source
    return [
        _row(source.name, source.weight, source.perplexity, None, source.speed),
        *(_row(one.name, one.weight, one.perplexity, one.divergence, one.speed) for one in report.results),
    ]


def circumstances(report: Report) -> str:
    """What was measured on what, in two sentences."""
    where: Circumstances = report.circumstances
    chunks = "1 chunk" if where.chunks == 1 else f"{where.chunks} chunks"
    return (
        f"Perplexity and KL divergence (in nats, from {report.source.name}): {where.text}, {chunks} of "
        f"{where.context} tokens, {where.positions} predictions. Speed: median (smallest to largest) of five runs in "
        f"turn, 256 tokens of prompt and 64 more; edgewise {where.version} on {where.cpu}, {where.isa}, "
        f"{where.threads} threads."
    )


def markdown(report: Report) -> str:
    """The table for a document, with what was measured on what, and the recommendation."""
    lines = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *rows(report)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{table}\n\n{circumstances(report)}\n\n{report.recommendation}\n"


def _row(
    name: str, weight: Weight, perplexity: Estimate, divergence: Divergence | None, speed: Speed
) -> tuple[str, ...]:
    from_source = ("-",) * 4
    if divergence is not None:
        from_source = (
            _estimate(divergence.mean),
            f"{divergence.percentile_99:.3g}",
            f"{divergence.maximum:.3g}",
            f"{divergence.same_top.value:.1%}",
        )
    memory = f"{speed.peak_memory_bytes / 1e6:.0f}" if speed.peak_memory_bytes else "-"
    return (
        name,
        f"{weight.size_bytes / 1e6:.2f}",
        f"{weight.bits_per_weight:.2f}",
        _estimate(perplexity),
        *from_source,
        _spread(speed.prefill),
        _spread(speed.decode),
        memory,
    )


def _estimate(estimate: Estimate) -> str:
    """As many digits as the error leaves, and one more."""
    if estimate.error == 0:
        return f"{estimate.value:.4g}"
    digits = 0
    while digits < 9 and round(estimate.error * 10**digits) < 10:
        digits += 1
    return f"{estimate.value:.{digits}f} ± {estimate.error:.{digits}f}"


def _spread(spread: Spread) -> str:
    return f"{_rate(spread.median)} ({_rate(spread.least)}-{_rate(spread.most)})"


def _rate(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
