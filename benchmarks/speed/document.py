"""The part of a document that the benchmark writes; what stands around it stays."""

import os
from datetime import date
from pathlib import Path

BEGIN = "<!-- From here on, benchmarks/bench.py --record writes this page. -->"


def record(path: Path, command: str, text: str, day: date) -> None:
    """Replace everything behind the mark in a document; a reader never sees it half written.

    Args:
        path: the document.
        command: what gave the result.
        text: the result.
        day: when.

    Raises:
        ValueError: if the document has no mark.
    """
    before, mark, _ = path.read_text(encoding="utf-8").partition(BEGIN)
    if not mark:
        raise ValueError(f"{path} has no line {BEGIN!r}")
    temporary = path.with_suffix(".partial")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(before + BEGIN + "\n" + section(command, text, day))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def section(command: str, text: str, day: date) -> str:
    """The command and what it printed, as Markdown."""
    made = f"{day.day} {day:%B %Y}"
    return f"\nMade on {made} by this command:\n\n```sh\n{command}\n```\n\n```\n{text}\n```\n"
