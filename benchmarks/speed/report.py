"""From the figures of all runs to a table."""

from dataclasses import dataclass
from statistics import median

Figures = dict[str, float]


@dataclass(frozen=True)
class Quantity:
    """One measured quantity.

    Attributes:
        key: its name in the figures of a run.
        title: what the table calls it.
        scale: figure times scale is what the table shows.
        digits: digits behind the point.
        is_rate: whether more is better.
    """

    key: str
    title: str
    scale: float
    digits: int
    is_rate: bool


QUANTITIES = (
    Quantity("decode_tokens_per_second", "decode, tokens/s", 1, 2, True),
    Quantity("prefill_tokens_per_second", "prefill, tokens/s", 1, 1, True),
    Quantity("first_token_s", "start to first token, ms", 1e3, 0, False),
    Quantity("peak_memory_bytes", "peak memory, MB", 1e-6, 1, False),
)


def summarize(runs: list[Figures]) -> dict[str, dict[str, float]]:
    """Median, least and most of each quantity over the runs of one engine."""
    columns = {quantity.key: [run[quantity.key] for run in runs] for quantity in QUANTITIES}
    return {
        key: {"median": median(values), "least": min(values), "most": max(values)} for key, values in columns.items()
    }


def ratios(own: dict[str, dict[str, float]], peer: dict[str, dict[str, float]]) -> dict[str, float]:
    """How many times better the medians are than the peer's: above 1 is better, for every quantity."""
    return {
        quantity.key: own[quantity.key]["median"] / peer[quantity.key]["median"]
        if quantity.is_rate
        else peer[quantity.key]["median"] / own[quantity.key]["median"]
        for quantity in QUANTITIES
    }


def table(summaries: dict[str, dict[str, dict[str, float]]]) -> str:
    """Medians with their spread, one column per engine, and how many times better the first engine is."""
    names = list(summaries)
    lines = [f"{'':26}" + "".join(f"{name:>28}" for name in names) + ("   times better" if len(names) > 1 else "")]
    for quantity in QUANTITIES:
        cells = "".join(f"{_cell(quantity, summaries[name][quantity.key]):>28}" for name in names)
        better = f"{ratios(summaries[names[0]], summaries[names[1]])[quantity.key]:>15.2f}" if len(names) > 1 else ""
        lines.append(f"{quantity.title:26}{cells}{better}")
    return "\n".join(lines)


def _cell(quantity: Quantity, summary: dict[str, float]) -> str:
    middle, least, most = (
        f"{summary[key] * quantity.scale:.{quantity.digits}f}" for key in ("median", "least", "most")
    )
    return f"{middle} ({least} - {most})"
