"""`edgewise split`: a model as several files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.cli.argument_types import size_bytes, whole
from edgewise.cli.installed_models import beside_model, model_path
from edgewise.cli.output import shown, size
from edgewise.cli.progress import ProgressBar
from edgewise.errors import InvalidArgument
from edgewise.quantize.shards import bare_name, split

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  edgewise split model.gguf --max-size 2GB           writes model-00001-of-00003.gguf and so on beside it
  edgewise split model.gguf --max-tensors 100 -o parts/model

Every file that reads GGUF opens such a model by its first file. `edgewise merge` makes it one file again.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("model", metavar="MODEL", help="path of a GGUF file, or name of an installed model")
    limit = parser.add_mutually_exclusive_group(required=True)
    limit.add_argument("--max-size", type=size_bytes, metavar="SIZE", help="what a file may take, such as 2GB")
    limit.add_argument("--max-tensors", type=whole, metavar="N", help="how many tensors a file may hold")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="PREFIX", help="what their names begin with; by default MODEL's name"
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Writes the files and prints their names."""
    if arguments.max_tensors is not None and arguments.max_tensors < 1:
        raise InvalidArgument("--max-tensors must be at least 1")
    source = model_path(arguments.model)
    with ProgressBar("million weights", is_quiet=arguments.quiet) as bar:
        paths = split(
            source,
            arguments.output or bare_name(beside_model(arguments.model, source)),
            most_bytes=arguments.max_size,
            most_tensors=arguments.max_tensors,
            replace_files=arguments.force,
            progress=lambda done, total, name: bar.update(done // 10**6, total // 10**6, name),
        )
    for path in paths:
        print(shown(str(path)))
    if not arguments.quiet:
        print(f"{len(paths)} files, {size(sum(path.stat().st_size for path in paths))}", file=sys.stderr)
    return 0
