"""`edgewise cp`: gives an installed model one more name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.cli.installed_models import open_store
from edgewise.cli.output import shown

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  edgewise cp llama3.2:1b assistant        the same files under one more name: it takes no space
  edgewise cp demo mine                    of a model that is kept elsewhere, the files are copied
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("source", metavar="SOURCE", help="name of a model")
    parser.add_argument("destination", metavar="DESTINATION", help="its other name")


def run(arguments: argparse.Namespace) -> int:
    """Does it."""
    open_store().copy(arguments.source, arguments.destination)
    print(shown(f"copied {arguments.source} to {arguments.destination}"))
    return 0
