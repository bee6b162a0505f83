"""From the figures of all runs to the rows of the report."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from speed.measure import OWN, Measured
from speed.targets import TARGETS, Measure, Target
from speed.verdict import Verdict
from speed.workloads import DECODED

_TITLES = {"first_token_s": "first token", "peak_memory_bytes": "memory"}


@dataclass(frozen=True)
class Spread:
    """A figure over the rounds."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Row:
    """One figure of one model.

    Attributes:
        part: the part of the suite.
        figure: the name of the figure: that of a workload, `first_token_s` or `peak_memory_bytes`.
        model: what tables call the model.
        rounds: processes per engine.
        spreads: engine -> median, least and most.
        measures: what targets are about, as far as it is known.
        ratios: peer -> how many times better the median of Edgewise is: above 1 is better, for every figure.
        targets: what the measures should be.
    """

    part: str
    figure: str
    model: str
    rounds: int
    spreads: dict[str, Spread]
    measures: dict[Measure, float]
    ratios: dict[str, float]
    targets: tuple[Target, ...]

    @property
    def title(self) -> str:
        """What tables call the figure."""
        word, _, argument = self.figure.partition(":")
        return _TITLES.get(self.figure) or f"{word} {argument}".removesuffix(" 0")

    def verdicts(self) -> list[Verdict]:
        """One for each target."""
        found = [(target, self.measures.get(target.measure)) for target in self.targets]
        return [
            Verdict(
                f"{self.part}, {self.title}, {self.model}",
                str(target),
                value,
                None if value is None else target.is_met(value),
            )
            for target, value in found
        ]


def rows_of(measured: Measured, parts: Sequence[str]) -> list[Row]:
    """The rows of a job for those of `parts` that it serves."""
    return [
        _row(measured, part, figure)
        for part in measured.job.parts
        if part in parts
        for figure in _figures_of(part, measured)
    ]


def _figures_of(part: str, measured: Measured) -> Iterable[str]:
    if part == "start":
        return ("first_token_s", "peak_memory_bytes")
    if part in ("prefill", "decode"):
        return (name for name in measured.job.work if name.startswith(part))
    return measured.job.work


def _row(measured: Measured, part: str, figure: str) -> Row:
    spreads = {name: spread([run[figure] for run in runs]) for name, runs in measured.runs.items()}
    ratios = {name: ratio(figure, spreads[OWN], theirs) for name, theirs in spreads.items() if name != OWN}
    measures: dict[Measure, float] = {}
    if ratios:
        measures["ratio"] = next(iter(ratios.values()))
    if (share := share_of_ceiling(measured, figure, spreads[OWN].median)) is not None:
        measures["share"] = share
    if figure.startswith("streams:"):
        measures["scaling"] = median(run[figure] / run["streams:1"] for run in measured.runs[OWN])
    if figure == "peak_memory_bytes":
        cache_bytes = float(measured.facts["cache_bytes"])
        measures["beyond"] = (spreads[OWN].median - measured.file_bytes - cache_bytes) / 1e6
    targets = TARGETS.get((part, figure), {}).get(measured.job.format, ())
    return Row(part, figure, measured.job.format, measured.job.rounds, spreads, measures, ratios, targets)


def spread(values: Sequence[float]) -> Spread:
    """Median, least and most."""
    return Spread(median(values), min(values), max(values))


def ratio(figure: str, own: Spread, peer: Spread) -> float:
    """How many times better the first median is."""
    is_rate = ":" in figure
    return own.median / peer.median if is_rate else peer.median / own.median


def share_of_ceiling(measured: Measured, figure: str, rate: float) -> float | None:
    """A rate as a share of what the median ceiling allows."""
    word, _, argument = figure.partition(":")
    if word == "prefill":
        cost, ceiling = float(measured.work.multiply_adds_per_token), "int8_peak"
    elif word == "decode":
        position_bytes = measured.facts["cache_bytes"] / measured.job.context
        positions = int(argument) + DECODED / 2  # half of what is decoded is, on average, in the cache as well
        cost, ceiling = measured.work.bytes_per_token + positions * position_bytes, "read_bandwidth"
    else:
        return None
    return rate * cost / median(round_of[ceiling] for round_of in measured.ceilings)
