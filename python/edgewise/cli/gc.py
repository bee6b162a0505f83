"""`edgewise gc`: removes files that no installed model needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.cli.installed_models import open_store
from edgewise.cli.output import size

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  edgewise gc
  edgewise gc --all      also what was uploaded within the last day and no model took yet

What other processes write, and what a running server uses, stays.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("--all", action="store_true", help="also uploads of the last day that no model took yet")


def run(arguments: argparse.Namespace) -> int:
    """Removes them and says what is free then."""
    store = open_store()
    freed = store.collect(grace_s=0) if arguments.all else store.collect()
    print(f"{size(freed)} freed")
    return 0
