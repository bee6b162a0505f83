"""`edgewise convert`: a model folder becomes a GGUF file."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from edgewise.cli.argument_types import utf8, whole
from edgewise.cli.output import print_json, shown
from edgewise.convert.adapters import convert_adapter
from edgewise.convert.conversion import Options, Report, convert_model
from edgewise.convert.lora import CONFIG as ADAPTER_CONFIG

EPILOG = """\
examples:
  edgewise convert ~/models/Qwen3-0.6B                       Qwen3-0.6B-bf16.gguf, in this folder
  edgewise convert ~/models/Qwen3-0.6B --format q4_k_m       quantized at once, without a file in between
  edgewise convert ~/models/Qwen3-0.6B --lora my-adapter     with a LoRA adapter merged in
  edgewise convert my-adapter --base ~/models/Qwen3-0.6B     the adapter alone, to be applied when a model runs

DIR is a folder as the Hugging Face hub has it: config.json, *.safetensors, tokenizer.json or tokenizer.model.
docs/convert.md says which models are converted. The path of the file goes to stdout, all else to stderr.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="a model folder, or that of a LoRA adapter")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="default: NAME-FORMAT.gguf in this folder")
    parser.add_argument(
        "--format",
        type=utf8,
        metavar="NAME",
        help="f32, f16, bf16, q8_0, q4_k_m, ...; default: 16 bits, as the weights have them",
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    parser.add_argument("--name", type=utf8, metavar="TEXT", help="what the model is called; default: as its folder")
    parser.add_argument(
        "--pre-tokenizer", type=utf8, metavar="NAME", help="where the folder has one that is not recognized"
    )
    parser.add_argument(
        "--lora", action="append", default=[], type=_adapter, metavar="DIR[:X]", help="merge an adapter in, X times (1)"
    )
    parser.add_argument("--base", type=Path, metavar="DIR", help="the folder of the model that an adapter belongs to")
    parser.add_argument("-t", "--threads", type=whole, default=0, metavar="N", help="default: what can run")
    parser.add_argument("--json", action="store_true", help="print what was written as one JSON object")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no notes on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Converts, and prints the path."""
    progress = None if arguments.quiet or not sys.stderr.isatty() else _progress
    is_adapter = (arguments.folder / ADAPTER_CONFIG).exists() and arguments.base is not None
    started = time.monotonic()
    if is_adapter:
        kind = arguments.format or "f32"
        path = arguments.output or Path(f"{arguments.folder.resolve().name}-lora-{kind}.gguf")
        report = convert_adapter(arguments.folder, arguments.base, path, kind, replace=arguments.force)
    else:
        options = Options(
            arguments.format,
            arguments.force,
            arguments.threads,
            arguments.name,
            arguments.pre_tokenizer,
            tuple(arguments.lora),
        )
        report = convert_model(arguments.folder, arguments.output, options, progress)
    if progress is not None:
        print(file=sys.stderr)
    if arguments.json:
        print_json({**report.data(), "seconds": time.monotonic() - started})
        return 0
    if not arguments.quiet:
        _tell(report, time.monotonic() - started)
    print(report.path)
    return 0


def _tell(report: Report, seconds: float) -> None:
    formats = ", ".join(f"{count} {name}" for name, count in report.formats.items())
    size = f"{report.size_bytes / 1e6:.1f} MB in {seconds:.1f} s"
    print(f"{report.architecture}, {report.parameters:,} weights, {size}; tensors: {formats}", file=sys.stderr)
    for note in report.notes:
        print(f"note: {shown(note)}", file=sys.stderr)


def _progress(done: int, total: int) -> None:
    print(f"\r{100 * done // max(total, 1):3} % of {total / 1e6:,.0f} M weights", end="", file=sys.stderr, flush=True)


def _adapter(text: str) -> tuple[Path, float]:
    """A folder, and how strongly it counts; folders may have colons in their names."""
    if Path(text).exists():
        return Path(text), 1.0
    folder, _, strength = text.rpartition(":")
    try:
        return (Path(folder), float(strength)) if folder else (Path(text), 1.0)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text:.60}: no such folder") from error
