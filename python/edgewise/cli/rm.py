"""`edgewise rm`: removes installed models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.cli.installed_models import open_store
from edgewise.cli.output import shown

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  edgewise rm llama3.2:1b
  edgewise rm one two

Files that another model needs stay, and so do those that a running server uses, until it is done with them.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="name of an installed model")


def run(arguments: argparse.Namespace) -> int:
    """Removes them, one after another."""
    store = open_store()
    for name in arguments.names:
        store.delete(name)
        print(shown(f"removed {name}"))
    return 0
