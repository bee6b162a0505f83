"""`edgewise list`: which models are installed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edgewise.cli.installed_models import open_store
from edgewise.cli.output import print_json, shown, size

if TYPE_CHECKING:
    import argparse

    from edgewise.store.installed import InstalledModel

EPILOG = """\
examples:
  edgewise list
  edgewise list --json | jq '.models[].name'

Models that Ollama and the Hugging Face cache hold are listed too, and run where they are. The demo model is always
there; it is listed where no other one is.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints one line per model, the newest first."""
    models = open_store().list()
    if arguments.json:
        print_json({"models": [data(model) for model in models]})
        return 0
    now = datetime.now(timezone.utc)
    rows = [("NAME", "DIGEST", "SIZE", "FORMAT", "KEPT BY", "MODIFIED")]
    for model in models:
        kind = f"{model.details.family} {model.details.parameter_size} {model.details.quantization_level}".strip()
        age = ago((now - model.modified_at).total_seconds())
        rows.append((model.name, model.digest[7:19], size(model.size_bytes), kind, model.origin, age))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(shown("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()))
    return 0


def data(model: InstalledModel) -> dict[str, object]:
    """A model for JSON."""
    return {
        "name": model.name,
        "digest": model.digest,
        "size_bytes": model.size_bytes,
        "modified_at": model.modified_at.isoformat(),
        "origin": model.origin,
        "path": str(model.path),
        "details": asdict(model.details),
    }


def ago(seconds: float) -> str:
    """How long ago, for people."""
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        count = int(seconds // unit)
        if count >= 1:
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"
