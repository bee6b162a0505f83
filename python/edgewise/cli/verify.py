"""`edgewise verify`: reads every byte of the installed models."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from edgewise.cli.installed_models import open_store
from edgewise.cli.output import print_json, shown
from edgewise.cli.progress import ProgressBar

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  edgewise verify
  edgewise verify --remove      what is damaged goes, so that importing or creating the model again writes it anew

exit codes: 0 all is sound, 1 something is damaged
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("--remove", action="store_true", help="remove damaged blobs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Reads and compares; prints what is not as it should be."""
    from edgewise.store.checkup import verify

    with ProgressBar("MB", is_quiet=arguments.quiet) as bar:
        problems = verify(
            open_store(),
            removes_damaged=arguments.remove,
            progress=lambda done, total: bar.update(done // 10**6, total // 10**6),
        )
    if arguments.json:
        print_json({"problems": [asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            needed = f" (needed by {', '.join(problem.models)})" if problem.models else ""
            print(shown(f"{problem.thing}: {problem.finding}{needed}"))
        if not problems:
            print("all is sound")
    if problems and not arguments.quiet and not arguments.remove:
        print("hint: `edgewise verify --remove`, then import or create the model again", file=sys.stderr)
    return 1 if problems else 0
