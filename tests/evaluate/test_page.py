"""Reports as files."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgewise.errors import InvalidArgument, SystemRefused, UnsupportedError
from edgewise.evaluate import table
from edgewise.evaluate.figures import Estimate
from edgewise.evaluate.page import as_json, page, require_report, write_report
from evaluate.reports import report, result

REPORT = report(result("q8_0", 8_500_000, 0.001), result("q4<k>", 5_000_000, 0.03))


def test_a_page_needs_nothing_from_elsewhere() -> None:
    html = page(REPORT, "edgewise quantize")
    assert "<script" not in html
    # Names of XML namespaces look like addresses; nothing is loaded from them.
    html = re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)
    assert not re.findall(r'(?:src|href|url|import)\s*[=(]\s*["\']?\s*(?!#)\w+:', html)
    assert "@import" not in html


def test_a_page_has_charts_table_and_recommendation() -> None:
    html = page(REPORT, "edgewise quantize m.gguf q8_0")
    charts = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(charts) == 3
    for chart in charts:
        words = " ".join(ElementTree.fromstring(chart).itertext())  # noqa: S314  made here
        assert "size of the file, MB" in words
        assert "q8_0" in words
    assert "Take q4&lt;k&gt;" in html
    assert "q4<k>" not in re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL)
    assert "<td>5.00</td>" in html
    assert "edgewise quantize m.gguf q8_0" in html


def test_names_of_points_that_are_near_each_other_do_not_overlap() -> None:
    near = [result(f"name_{number}", 5_000_000 + 10_000 * number, 0.03) for number in range(12)]
    chart = re.findall(r"<svg.*?</svg>", page(report(*near), "x"), re.DOTALL)[0]
    places = re.findall(r"translate\(([\d.]+) ([\d.]+)\)[^>]*>\s*name_", chart) or re.findall(
        r'x="([\d.]+)" y="([\d.]+)"[^>]*>name_', chart
    )
    assert len(places) == 12
    for (x, y), (other_x, other_y) in combinations([(float(x), float(y)) for x, y in places], 2):
        assert abs(x - other_x) > 30 or abs(y - other_y) > 8


def test_the_same_report_gives_the_same_page() -> None:
    assert page(REPORT, "x") == page(REPORT, "x")


def test_charts_are_drawn_where_nothing_was_lost() -> None:
    assert page(report(result("same", 5_000_000, 0.0)), "x").count("</svg>") == 3


def test_a_page_comes_with_the_same_as_json(tmp_path: Path) -> None:
    write_report(REPORT, tmp_path / "report.html", "edgewise quantize")
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "report.json"}
    facts = json.loads((tmp_path / "report.json").read_text())
    assert facts["command"] == "edgewise quantize"
    assert facts["results"][1]["divergence"]["mean"]["value"] == 0.03
    assert facts["recommendation"] == REPORT.recommendation


@pytest.mark.parametrize("name", ["report.json", "report.md"])
def test_other_forms_come_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("old")
    write_report(REPORT, tmp_path / name, "edgewise quantize")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == (
        as_json(REPORT, "edgewise quantize") if "json" in name else table.markdown(REPORT)
    )


def test_a_file_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"ends in \.html, \.json, \.md"):
        require_report(Path("report.pdf"), may_replace=False)


def test_a_page_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnsupportedError) as caught:
        require_report(Path("report.html"), may_replace=False)
    assert caught.value.hint is not None
    assert "edgewise[report]" in caught.value.hint
    require_report(Path("report.json"), may_replace=False)


def test_a_folder_that_is_not_there_is_an_error_before_and_after_the_work(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "report.md"
    with pytest.raises(SystemRefused):
        require_report(path, may_replace=True)
    with pytest.raises(SystemRefused):
        write_report(REPORT, path, "edgewise quantize")


@pytest.mark.parametrize("there", ["report.html", "report.json"])
def test_neither_the_page_nor_the_json_beside_it_replaces_a_file_unasked(there: str, tmp_path: Path) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(InvalidArgument, match=there):
        require_report(tmp_path / "report.html", may_replace=False)
    require_report(tmp_path / "report.html", may_replace=True)


def test_json_has_null_for_what_is_not_finite() -> None:
    endless = replace(REPORT, source=replace(REPORT.source, perplexity=Estimate(math.inf, math.nan)))
    found = json.loads(as_json(endless, "edgewise quantize"), parse_constant=pytest.fail)
    assert found["source"]["perplexity"] == {"value": None, "error": None}


def test_a_table_shows_as_many_digits_as_the_error_leaves() -> None:
    source, first, second = table.rows(REPORT)
    assert source[:5] == ("model-f16.gguf", "16.00", "16.00", "8.00 ± 0.10", "-")
    assert first[4:8] == ("0.001000 ± 0.000050", "0.01", "0.1", "90.0%")
    assert second[-3:] == ("1000 (900-1100)", "20.0 (19.0-21.0)", "50")
    assert len(source) == len(first) == len(table.COLUMNS)


def test_a_table_for_documents_is_markdown() -> None:
    lines = table.markdown(REPORT).splitlines()
    assert lines[0].startswith("| file | size, MB |")
    assert lines[4].startswith("| q4<k> | 5.00 |")
    assert "2550 predictions" in lines[6]
    assert lines[-1] == REPORT.recommendation
