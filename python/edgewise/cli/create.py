"""`edgewise create`: makes a model as a Modelfile says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.cli.creating import create
from edgewise.cli.output import read_stdin
from edgewise.errors import InvalidArgument, SystemRefused, UnsupportedError

if TYPE_CHECKING:
    import argparse

    from edgewise.store.creation import Recipe
    from edgewise.store.modelfile import Modelfile

EPILOG = """\
examples:
  edgewise create pirate -f Modelfile
  printf 'FROM demo\\nSYSTEM "Be brief."' | edgewise create brief -f -
  edgewise create small -f Modelfile --quantize q4_k_m

A Modelfile has FROM (an installed model, a GGUF file or a model folder), PARAMETER, TEMPLATE, SYSTEM, ADAPTER, LICENSE
and MESSAGE; docs/store.md says more. Paths are relative to the Modelfile.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="what it will be called")
    parser.add_argument("-f", "--file", default="Modelfile", metavar="FILE", help="the Modelfile (Modelfile); -: stdin")
    parser.add_argument("-q", "--quantize", default="", metavar="FORMAT", help="such as q4_k_m; by default as it is")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Makes it and prints its name."""
    from edgewise.store.modelfile import Modelfile

    if arguments.file == "-":
        text, folder = read_stdin(), Path()
    else:
        text, folder = _read(Path(arguments.file)), Path(arguments.file).parent
    recipe = recipe_of(Modelfile.parse(text), folder, arguments.quantize)
    return create(arguments.name, recipe, is_quiet=arguments.quiet)


def recipe_of(modelfile: Modelfile, folder: Path, quantize: str = "") -> Recipe:
    """What a Modelfile says, as the store takes it.

    Args:
        modelfile: the one.
        folder: what its paths are relative to.
        quantize: the format that the weights get; empty for the one that they have.

    Raises:
        UnsupportedError: if it is made from more models than one and their projectors.
    """
    from edgewise.store.creation import Recipe

    first, *projectors = modelfile.sources
    if any(not (folder / other).is_file() for other in projectors):
        raise UnsupportedError(
            f"FROM {projectors[0]}: after the model itself, FROM names files of what it sees images with",
            hint="name one model, and adapters with ADAPTER",
        )
    return Recipe(
        source=_source(first, folder),
        projectors=tuple(folder / other for other in projectors),
        adapters=tuple(folder / Path(path).expanduser() for path in modelfile.adapters),
        template=modelfile.template,
        system=modelfile.system,
        parameters=modelfile.parameters,
        licenses=modelfile.licenses,
        messages=tuple({"role": role, "content": content} for role, content in modelfile.messages),
        quantize=quantize,
    )


def _source(text: str, folder: Path) -> str | Path:
    """A path if there is something, or if it looks like one; else a name."""
    path = folder / Path(text).expanduser()
    looks_like_path = text.startswith((".", "/", "~")) or text.lower().endswith(".gguf")
    return path if looks_like_path or path.exists() else text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{path} is no text of UTF-8") from error
    except OSError as error:
        raise SystemRefused(f"{path}: {error.strerror}", hint="-f names the Modelfile") from error
