"""A result goes behind the mark of a document."""

from datetime import date
from pathlib import Path

import pytest

from speed.document import BEGIN, record

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def test_a_new_result_replaces_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "document.md"
    path.write_text(f"# Title\n\n{BEGIN}\nold\n")
    record(path, "python bench.py", "first", date(2026, 3, 4))
    record(path, "python bench.py --rounds 9", "decode 42", date(2026, 3, 5))
    text = path.read_text()
    assert text.startswith(f"# Title\n\n{BEGIN}\n")
    assert "Made on 5 March 2026" in text
    assert "```sh\npython bench.py --rounds 9\n```" in text
    assert "```\ndecode 42\n```" in text
    assert "first" not in text
    assert [file.name for file in tmp_path.iterdir()] == ["document.md"]


def test_a_document_without_the_mark_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "document.md"
    path.write_text("no mark")
    with pytest.raises(ValueError, match="no line"):
        record(path, "python bench.py", "text", date(2026, 3, 4))
    assert path.read_text() == "no mark"


def test_the_page_of_this_project_has_the_mark() -> None:
    assert DOCUMENT.read_text().count(BEGIN) == 1
