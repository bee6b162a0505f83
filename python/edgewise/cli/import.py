"""`edgewise import`: installs a model file under a name."""  # noqa: N999  verbs have their files' names

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.cli.creating import create

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  edgewise import model-q4_k_m.gguf                   installs it as model:q4_k_m
  edgewise import model.gguf assistant:v2
  edgewise import model.gguf --link                   no copy; the file becomes read-only
  edgewise import path/to/Qwen3-0.6B qwen3 -q q4_k_m  a model folder, converted and quantized

The file is proven sound first, and copied unless it is read-only already: then, on the same disk, it is linked.
"""

# Where file names say the format: at the end, after a dot, a hyphen or an underscore.
_FORMAT = re.compile(r"(.+?)[-_.]((?:I?Q\d|TQ\d|BF16|F16|F32|FP16|FP32|MXFP4)\w*)", re.IGNORECASE)
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a GGUF file, any part of a split one, or a model folder"
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="what it will be called; by default as the file is")
    parser.add_argument("--link", action="store_true", help="make the file itself the store's; it becomes read-only")
    parser.add_argument("-q", "--quantize", default="", metavar="FORMAT", help="such as q4_k_m; by default as it is")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Installs it and prints its name."""
    from edgewise.store.creation import Recipe

    recipe = Recipe(source=arguments.file, is_linked=arguments.link, quantize=arguments.quantize)
    return create(arguments.name or name_of(arguments.file), recipe, is_quiet=arguments.quiet)


def name_of(path: Path) -> str:
    """A name for what is in a file: `model-q4_k_m.gguf` is `model:q4_k_m`."""
    bare = path.resolve().name
    stem = _SHARD.sub("", bare[:-5] if bare.lower().endswith(".gguf") else bare)
    found = _FORMAT.fullmatch(stem)
    words = [re.sub(r"[^A-Za-z0-9_.-]+", "-", word).strip("-.") for word in (found.groups() if found else (stem,))]
    return ":".join(words)
