"""What makes models on the command line: the store, and who converts and quantizes for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from edgewise.cli.installed_models import open_store
from edgewise.cli.output import shown
from edgewise.cli.progress import ProgressBar

if TYPE_CHECKING:
    from edgewise.store.creation import Recipe


def create(name: str, recipe: Recipe, *, is_quiet: bool) -> int:
    """Makes a model and prints its name."""
    from edgewise.convert.for_store import workers

    with ProgressBar("MB", is_quiet=is_quiet) as bar:

        def report(status: str, done: int, total: int) -> None:
            if total:
                bar.update(done // 10**6, total // 10**6, status)
            elif not is_quiet and status.startswith(("converting", "quantizing")):
                print(shown(status), file=sys.stderr)

        model = open_store().create(name, recipe, workers(report))
    print(shown(model.name))
    return 0
