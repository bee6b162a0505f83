"""Charts of a report, as SVG that stands inside a page: no script, no font and no picture from elsewhere."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

from edgewise.errors import UnsupportedError
from edgewise.evaluate.report import MOST_DIVERGENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from edgewise.evaluate.report import Report, Result, Source

_COLOR, _SOURCE_COLOR = "#1f5fa8", "#6b6b6b"
_LETTER, _LINE, _DOT = 5.0, 9.0, 2.5  # width and height of a letter, and half of a dot, in points
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.fonttype": "none",  # text stays text, in the fonts of the page
    "svg.hashsalt": "edgewise",  # the same report gives the same bytes
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
}


def require_charts() -> None:
    """Checks that charts can be drawn, before the work for them is done.

    Raises:
        UnsupportedError: if matplotlib is not installed.
    """
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise UnsupportedError(
            "charts need matplotlib, which is not installed",
            hint="pip install 'edgewise[report]', or name a file that ends in .json or .md",
        )


def quality_chart(report: Report) -> str:
    """Mean divergence against size."""
    points = [(one.name, one.weight.size_bytes / 1e6, one.divergence.mean.value) for one in report.results]

    def draw(axes: Axes) -> None:
        if all(value > 0 for _, _, value in points):
            axes.set_yscale("log")
        _scatter(axes, points, _COLOR)
        axes.axhline(MOST_DIVERGENCE, color=_SOURCE_COLOR, linewidth=0.8, linestyle="--")
        axes.text(
            0.99,
            MOST_DIVERGENCE,
            "recommended up to here",
            color=_SOURCE_COLOR,
            size=8,
            ha="right",
            va="bottom",
            transform=axes.get_yaxis_transform(),
        )
        axes.set_ylabel("mean KL divergence from the source, nats")

    return _svg(draw)


def speed_chart(report: Report, what: Literal["prefill", "decode"]) -> str:
    """Tokens per second against size, of prefill or of decode."""
    files: list[Source | Result] = [report.source, *report.results]
    points = [(one.name, one.weight.size_bytes / 1e6, getattr(one.speed, what).median) for one in files]

    def draw(axes: Axes) -> None:
        _scatter(axes, points[:1], _SOURCE_COLOR)
        _scatter(axes, points[1:], _COLOR)
        axes.set_ylim(0, 1.15 * max(y for _, _, y in points))
        axes.set_ylabel(f"{what}, tokens/s")

    return _svg(draw)


def _scatter(axes: Axes, points: Sequence[tuple[str, float, float]], color: str) -> None:
    axes.plot([x for _, x, _ in points], [y for _, _, y in points], "o", color=color, markersize=2 * _DOT)
    for name, x, y in points:
        axes.annotate(name, (x, y), xytext=(6, -3), textcoords="offset points", color=color, size=8)


def _spread_names(axes: Axes) -> None:
    """Moves names that would lie on points or other names, and ties those that went far to their points."""
    from matplotlib.text import Annotation

    axes.autoscale(False)
    names = [text for text in axes.texts if isinstance(text, Annotation)]
    per_point = axes.figure.dpi / 72
    places = {text: tuple(axes.transData.transform(text.xy) / per_point) for text in names}
    taken = [(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in places.values()]
    for text in sorted(names, key=lambda text: text.xy[0]):
        x, y = places[text]
        for step in range(4 * len(names)):
            shift = _LINE / 2 * ((step + 1) // 2) * (1 if step % 2 else -1)
            left, low = x + 6, y - 3 + shift
            box = (left, low, left + _LETTER * len(text.get_text()), low + _LINE)
            if not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        text.set_position((6, -3 + shift))
        if abs(shift) > _LINE:
            ends = [(x * per_point, y * per_point), ((x + 6) * per_point, (y + shift) * per_point)]
            axes.plot(*zip(*axes.transData.inverted().transform(ends), strict=True), color="#bbbbbb", lw=0.6, zorder=0)


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _svg(draw: Callable[[Axes], None]) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.0, 3.6), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        first, last = axes.dataLim.x0, axes.dataLim.x1
        axes.set_xlim(0.9 * first, last + 0.2 * (last - 0.9 * first))  # room for the last name
        figure.draw_without_rendering()  # places are known from here on
        _spread_names(axes)
        axes.set_xlabel("size of the file, MB")
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    return svg[svg.index("<svg") :]  # without the declaration of a file of its own
