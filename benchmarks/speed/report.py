"""From rows to text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from speed.measure import OWN, Measured
from speed.peers import INSTALL, Peer
from speed.rows import Row, Spread


@dataclass(frozen=True)
class Part:
    """How the rows of one part are presented.

    Attributes:
        title: the heading of its table.
        share: the heading of the column with the share of a ceiling; empty for none.
        scaling: the heading of the column with the ratio to one stream; empty for none.
    """

    title: str
    share: str = ""
    scaling: str = ""


PRESENTED: Mapping[str, Part] = {
    "prefill": Part("Prefill, tokens/s", "of int8 peak"),
    "decode": Part("Decode in an empty context, tokens/s", "of bandwidth"),
    "context": Part("Decode behind 4096 tokens of context, tokens/s", "of bandwidth"),
    "streams": Part("Several streams at once, tokens/s together", scaling="times one"),
    "small": Part("The small model, tokens/s", "of ceiling"),
    "start": Part("Start of the process to the first token, ms; peak memory, MB"),
    "one-thread": Part("One thread, tokens/s", "of ceiling"),
    "avx2": Part("AVX2 in Edgewise, native code in the peers, tokens/s", "of ceiling"),
}

_SCALES = {"first_token_s": (1e3, 0), "peak_memory_bytes": (1e-6, 1)}


def header(machine: Mapping[str, Any], own: Mapping[str, Any], peers: Sequence[Peer]) -> str:
    """What was compared, where."""
    quota = "" if machine["quota"] is None else f", quota {machine['quota']:g}"
    lines = {
        "machine": f"{machine['cpu']}, {machine['cpus']} CPUs{quota}, {machine['architecture']}",
        "edgewise": f"{own['version']}, commit {machine['commit']}, isa {own['isa']}, {own['threads']} threads",
        **{peer.label: f"llama-cpp-python {peer.version}, built with {' '.join(peer.flags)}" for peer in peers},
    }
    if not peers:
        lines["llama.cpp"] = f"is not installed, so there is nothing to compare with: {INSTALL}"
    lines["all"] = (
        "the same file in the page cache, the same random token ids, greedy, mmap, batch 512, KV cache f16; the rest "
        "is each engine's default"
    )
    lines["figures"] = "median (least - most) over rounds; in a round each engine has a process of its own, in turn"
    if machine["busy"] > 0.25:
        lines["warning"] = f"other work kept {machine['busy']:.1f} CPUs busy at the start: trust nothing here"
    width = max(map(len, lines))
    return "\n".join(f"{label:{width}}   {text}" for label, text in lines.items())


def ceilings(measured: Sequence[Measured]) -> str:
    """The ceilings that the rounds of all jobs with the same threads and instruction set saw."""
    groups: dict[tuple[int, str], list[dict[str, float]]] = {}
    for one in measured:
        groups.setdefault((one.job.threads, one.facts["isa"]), []).extend(one.ceilings)
    lines = []
    for (threads, isa), found in groups.items():
        bandwidth = spread_text([run["read_bandwidth"] / 1e9 for run in found], 1)
        peak = spread_text([run["int8_peak"] / 1e9 for run in found], 0)
        lines.append(
            f"{threads} thread{'s' * (threads > 1)}, {isa}: read bandwidth {bandwidth} GB/s, "
            f"int8 peak {peak} billion multiply-adds/s"
        )
    return "\n".join(lines)


def spread_text(values: Sequence[float], digits: int) -> str:
    """Median and range."""
    return _spread(Spread(median(values), min(values), max(values)), 1, digits)


def table(part: str, rows: Sequence[Row]) -> str:
    """The rows of one part."""
    engines = list(rows[0].spreads)
    peers = list(rows[0].ratios)
    presented = PRESENTED[part]
    head = ["", "", *engines]
    head += [heading for heading in (presented.share, presented.scaling) if heading]
    head += [f"times {peer}" for peer in peers] + ["target", ""]
    cells = [head]
    for row in rows:
        scale, digits = _scale(row)
        line = [row.title, row.model, *(_spread(row.spreads[name], scale, digits) for name in engines)]
        if presented.share:
            share = row.measures.get("share")
            line.append("" if share is None else f"{share:.0%}")
        if presented.scaling:
            line.append(f"{row.measures['scaling']:.2f}")
        line += [f"{row.ratios[peer]:.2f}" for peer in peers]
        verdicts = row.verdicts()
        line.append(", ".join(verdict.target for verdict in verdicts))
        line.append(", ".join(str(verdict) for verdict in verdicts))
        cells.append(line)
    return f"{presented.title}; {rows[0].rounds} rounds\n" + align(cells, left=2)


def align(cells: Sequence[Sequence[str]], left: int) -> str:
    """Columns as wide as their widest cell: the first `left` and the last two to the left, the others to the right."""
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = []
    for line in cells:
        parts = [
            cell.ljust(width) if i < left or i >= len(widths) - 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("   ".join(part for part, width in zip(parts, widths, strict=True) if width).rstrip())
    return "\n".join(lines)


def own_facts(measured: Sequence[Measured]) -> Mapping[str, Any]:
    """Facts of Edgewise as it runs without a forced thread or instruction set."""
    return measured[0].facts


def _scale(row: Row) -> tuple[float, int]:
    """What to multiply a figure by, and its digits behind the point."""
    if row.figure in _SCALES:
        return _SCALES[row.figure]
    return 1, 1 if row.spreads[OWN].median < 1000 else 0


def _spread(spread: Spread, scale: float, digits: int) -> str:
    middle, least, most = (f"{value * scale:.{digits}f}" for value in (spread.median, spread.least, spread.most))
    return f"{middle} ({least} - {most})"
