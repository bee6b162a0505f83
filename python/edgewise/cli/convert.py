"""`edgewise convert`: a model folder becomes a GGUF file."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from edgewise.cli.argument_types import utf8, whole
from edgewise.cli.output import print_json, shown, size
from edgewise.cli.progress import ProgressBar
from edgewise.config import adapter
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
    parser.add_argument("--resume", action="store_true", help="take up what an interrupted run left")
    parser.add_argument("--name", type=utf8, metavar="TEXT", help="what the model is called; default: as its folder")
    parser.add_argument(
        "--pre-tokenizer", type=utf8, metavar="NAME", help="where the folder has one that is not recognized"
    )
    parser.add_argument(
        "--lora",
        action="append",
        type=adapter,
        metavar="DIR[=SCALE]",
        help="merge a LoRA adapter in, and its scale (1); again for one more",
    )
    parser.add_argument("--base", type=Path, metavar="DIR", help="the folder of the model that an adapter belongs to")
    parser.add_argument("-t", "--threads", type=whole, default=0, metavar="N", help="default: what can run")
    parser.add_argument("--json", action="store_true", help="print what was written as one JSON object")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no notes on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Converts, and prints the path."""
    started = time.monotonic()
    mistake = _mistake(arguments)
    if mistake is not None:
        print(f"error: {shown(mistake)}", file=sys.stderr)
        return 2
    if arguments.base is not None:
        kind = arguments.format or "f32"
        path = arguments.output or Path(f"{arguments.folder.resolve().name}-lora-{kind}.gguf")
        report = convert_adapter(arguments.folder, arguments.base, path, kind, replace=arguments.force)
    else:
        report = _convert(arguments)
    if arguments.json:
        print_json({**report.data(), "seconds": time.monotonic() - started})
        return 0
    if not arguments.quiet:
        _tell(report, time.monotonic() - started)
    print(report.path)
    return 0


def _mistake(arguments: argparse.Namespace) -> str | None:
    """What is wrong with the arguments together."""
    if arguments.base is None:
        return None
    if not (arguments.folder / ADAPTER_CONFIG).exists():
        finding = f"{arguments.folder} has no {ADAPTER_CONFIG}"
        return f"--base names the model of an adapter that is converted alone, and {finding}"
    of_models = {
        "--lora": arguments.lora,
        "--name": arguments.name,
        "--resume": arguments.resume,
        "--pre-tokenizer": arguments.pre_tokenizer,
        "--threads": arguments.threads,
    }
    given = [option for option, value in of_models.items() if value]
    return f"{', '.join(given)}: for models only; with --base an adapter is converted alone" if given else None


def _convert(arguments: argparse.Namespace) -> Report:
    options = Options(
        format=arguments.format,
        replace=arguments.force,
        resume=arguments.resume,
        threads=arguments.threads,
        name=arguments.name,
        pre_tokenizer=arguments.pre_tokenizer,
        adapters=tuple((Path(folder), scale) for folder, scale in arguments.lora or ()),
    )
    try:
        with ProgressBar("million weights", is_quiet=arguments.quiet) as bar:

            def show(done: int, total: int, name: str) -> None:
                if not name:
                    bar.skip(done // 10**6)
                bar.update(done // 10**6, total // 10**6, name)

            return convert_model(arguments.folder, arguments.output, options, show)
    except KeyboardInterrupt:
        print("\ninterrupted: --resume takes up what was written", file=sys.stderr)
        raise


def _tell(report: Report, seconds: float) -> None:
    formats = ", ".join(f"{count} {name}" for name, count in report.formats.items())
    done = f"{size(report.size_bytes)} in {seconds:.1f} s"
    print(f"{report.architecture}, {report.parameters:,} weights, {done}; tensors: {formats}", file=sys.stderr)
    for note in report.notes:
        print(f"note: {shown(note)}", file=sys.stderr)
