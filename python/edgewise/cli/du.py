"""`edgewise du`: what installed models take on the disk."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from edgewise.cli.installed_models import open_store
from edgewise.cli.output import print_json, shown, size

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  edgewise du
  edgewise du --json | jq .total

Files that several models need count once in the total, and in none of the second column's figures.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, sizes in bytes")


def run(arguments: argparse.Namespace) -> int:
    """Adds up and prints."""
    from edgewise.store.checkup import usage

    store = open_store()
    used = usage(store)
    if arguments.json:
        print_json({"folder": str(store.root), **asdict(used)})
        return 0
    width = max([len(name) for name in used.models] + [10])
    print(f"{'NAME':<{width}}  {'SIZE':>10}  {'ALONE':>10}")
    for name, taken in sorted(used.models.items(), key=lambda item: -item[1]):
        print(shown(f"{name:<{width}}  {size(taken):>10}  {size(used.alone[name]):>10}"))
    unneeded = "unknown: `edgewise verify` says why" if used.unneeded is None else size(used.unneeded)
    for label, value in (("total", size(used.total)), ("unneeded", unneeded), ("unfinished", size(used.unfinished))):
        print(f"{label:<{width}}  {value:>10}")
    print(shown(f"in {store.root}"))
    return 0
