"""`edgewise merge`: a split model as one file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.cli.installed_models import beside_model, model_path
from edgewise.cli.output import shown, size
from edgewise.cli.progress import ProgressBar
from edgewise.quantize.shards import bare_name, merge

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  edgewise merge model-00001-of-00003.gguf              writes model.gguf beside it
  edgewise merge model-00001-of-00003.gguf -o whole.gguf
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("model", metavar="SHARD", help="any of the model's files, or the name of an installed one")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where it goes; by default beside SHARD")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Writes the file and prints its name."""
    shard = model_path(arguments.model)
    bare = bare_name(beside_model(arguments.model, shard))
    path = arguments.output or bare.with_name(f"{bare.name}.gguf")
    with ProgressBar("million weights", is_quiet=arguments.quiet) as bar:
        written = merge(
            shard,
            path,
            replace_file=arguments.force,
            progress=lambda done, total, name: bar.update(done // 10**6, total // 10**6, name),
        )
    print(shown(str(path)))
    if not arguments.quiet:
        print(size(written), file=sys.stderr)
    return 0
