"""`edgewise imatrix`: measures on a text which weights matter."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.cli import engine_arguments
from edgewise.cli.eval import add_text_arguments
from edgewise.cli.installed_models import HELP, model_path
from edgewise.cli.output import shown
from edgewise.cli.progress import ProgressBar
from edgewise.errors import InvalidArgument
from edgewise.evaluate.importance import measure_importance
from edgewise.evaluate.quality import open_to_evaluate
from edgewise.evaluate.texts import read_text
from edgewise.quantize import imatrix

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  edgewise imatrix model-f16.gguf -f text.txt -o imatrix.gguf
  edgewise imatrix model-f16.gguf -f text.txt -o imatrix.gguf --chunks 100

Quantization that knows which inputs of a matrix are large keeps their weights more exact. The text should be like what
the model will read; some hundred chunks are enough. The file is one that llama.cpp reads too.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("model", metavar="MODEL", help=HELP)
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="where the result goes")
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")
    add_text_arguments(parser)
    engine_arguments.add_computing(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measures and writes."""
    if arguments.output.exists() and not arguments.force:
        raise InvalidArgument(f"{arguments.output} is there already", hint="--force replaces it")
    text = read_text(arguments.file)
    path = model_path(arguments.model)
    with (
        open_to_evaluate(path, engine_arguments.config(arguments), arguments.context) as engine,
        ProgressBar("chunks", is_quiet=arguments.quiet) as progress,
    ):
        name = Path(arguments.file).name
        matrix = measure_importance(engine, text, name, chunks=arguments.chunks, progress=progress.update)
    imatrix.write(arguments.output, matrix, replace=arguments.force)
    if not arguments.quiet:
        tensors, tokens = len(matrix.entries), matrix.chunk_count * matrix.chunk_size
        print(shown(f"{arguments.output}: {tensors} tensors, {tokens} tokens of {name}"), file=sys.stderr)
    return 0
