"""A report as a file: a page that opens offline, JSON, or Markdown."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.errors import InvalidArgument, SystemRefused
from edgewise.evaluate import table
from edgewise.evaluate.charts import quality_chart, require_charts, speed_chart
from edgewise.json_values import finite
from edgewise.quantize.work import require_place

if TYPE_CHECKING:
    from edgewise.evaluate.report import Report

SUFFIXES = (".html", ".json", ".md")

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ source }}, quantized</title>
<style>
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; }
body { max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 0; }
.recommendation { border-left: 4px solid #1f5fa8; padding-left: 1rem; font-size: 1.1rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1.5rem; margin: 2rem 0; }
.charts section { min-width: 0; } svg { width: 100%; height: auto; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
th, td { padding: 0.3rem 0.6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd; }
th { white-space: normal; vertical-align: bottom; } th:first-child, td:first-child { text-align: left; }
footer { color: #555; font-size: 0.9rem; margin-top: 1.5rem; }
</style>
</head>
<body>
<h1>{{ source }}, quantized</h1>
<p class="recommendation">{{ recommendation }}</p>
<div class="charts">
{%- for title, chart in charts %}
<section><h2>{{ title }}</h2>{{ chart | safe }}</section>
{%- endfor %}
</div>
<div class="table"><table>
<thead><tr>{% for name in columns %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody>
</table></div>
<footer><p>{{ circumstances }}</p><p>Made by <code>{{ command }}</code></p></footer>
</body>
</html>
"""


def require_report(path: Path, *, may_replace: bool) -> None:
    """Checks that a report can be written to such a file, before the work for it is done.

    Raises:
        InvalidArgument: if its name ends in something else than `.html`, `.json` or `.md`, or a file is there that must
            not be replaced.
        SystemRefused: if there is no folder for it.
        UnsupportedError: if it is a page, and charts cannot be drawn.
    """
    if path.suffix not in SUFFIXES:
        raise InvalidArgument(f"{path}: a report is a file that ends in {', '.join(SUFFIXES)}")
    if path.suffix == ".html":
        require_charts()
        require_place(path.with_suffix(".json"), may_replace=may_replace)
    require_place(path, may_replace=may_replace)


def write_report(report: Report, path: Path, command: str) -> None:
    """Writes a report in the form that the file's name asks for; beside a page goes the same as JSON.

    Args:
        report: what was found.
        path: the file to be, for which `require_report` has looked; one that is there is replaced.
        command: what the user typed.

    Raises:
        SystemRefused: if the file cannot be written.
    """
    if path.suffix == ".html":
        _replace(path, page(report, command))
        _replace(path.with_suffix(".json"), as_json(report, command))
    elif path.suffix == ".json":
        _replace(path, as_json(report, command))
    else:
        _replace(path, table.markdown(report))


def page(report: Report, command: str) -> str:
    """The report as one HTML file that needs no other."""
    from jinja2 import Environment

    charts = [
        ("Quality against size", quality_chart(report)),
        ("Speed of decoding against size", speed_chart(report, "decode")),
        ("Speed of prefill against size", speed_chart(report, "prefill")),
    ]
    template = Environment(autoescape=True).from_string(_PAGE)
    return template.render(
        source=report.source.name,
        recommendation=report.recommendation,
        charts=charts,
        columns=table.COLUMNS,
        rows=table.rows(report),
        circumstances=table.circumstances(report),
        command=command,
    )


def as_json(report: Report, command: str) -> str:
    """The report for programs: the fields of `Report`, in bytes, nats and tokens per second; null if not finite."""
    return json.dumps(finite({**asdict(report), "command": command}), indent=1, allow_nan=False) + "\n"


def _replace(path: Path, content: str) -> None:
    temporary = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise SystemRefused(f"{path}: {error.strerror or error}") from error
