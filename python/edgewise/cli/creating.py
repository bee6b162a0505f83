"""What makes models on the command line: the store, and who converts and quantizes for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from edgewise.cli.installed_models import open_store
from edgewise.cli.output import shown
from edgewise.cli.progress import ProgressBar

if TYPE_CHECKING:
    from pathlib import Path

    from edgewise.store.creation import Recipe, Workers


def create(name: str, recipe: Recipe, *, is_quiet: bool) -> int:
    """Makes a model and prints its name."""
    with ProgressBar("MB", is_quiet=is_quiet) as bar:
        model = open_store().create(name, recipe, workers(bar, is_quiet=is_quiet))
    print(shown(model.name))
    return 0


def workers(bar: ProgressBar, *, is_quiet: bool) -> Workers:
    """Who does what the store cannot do, and shows it on stderr."""
    from edgewise.store.creation import Workers

    def report(status: str, done: int, total: int) -> None:
        if total:
            bar.update(done // 10**6, total // 10**6, status)
        elif not is_quiet and status.startswith(("converting", "quantizing")):
            print(shown(status), file=sys.stderr)

    return Workers(quantize=quantize, convert=convert, report=report)


def quantize(source: Path, target: Path, name: str) -> None:
    """Writes a model in another format."""
    from edgewise.quantize.mixes import named_mix
    from edgewise.quantize.work import open_source, plan_mix, save

    model = open_source(source)
    save(model, plan_mix(model, named_mix(name)), target)


def convert(folder: Path, target: Path) -> None:
    """Makes a GGUF file of a model folder."""
    from edgewise.convert.conversion import Options, convert_model

    convert_model(folder, target, Options())
