"""Charts of a report, as SVG that stands inside a page: no script, no font and no picture from elsewhere."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

from edgewise.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from edgewise.evaluate.report import Report, Result, Source

_COLOR, _SOURCE_COLOR = "#1f5fa8", "#6b6b6b"
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
    axes.plot([x for _, x, _ in points], [y for _, _, y in points], "o", color=color)
    for index, (name, x, y) in enumerate(sorted(points, key=lambda point: point[1])):
        place = (5, 5) if index % 2 else (5, -12)  # neighbours are often alike: one above, one below
        axes.annotate(name, (x, y), xytext=place, textcoords="offset points", color=color)


def _svg(draw: Callable[[Axes], None]) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.0, 3.6), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set_xlim(0, 1.25 * axes.dataLim.x1)  # room for the last name
        axes.set_xlabel("size of the file, MB")
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    return svg[svg.index("<svg") :]  # without the declaration of a file of its own
