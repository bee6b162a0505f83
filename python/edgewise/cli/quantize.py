"""`edgewise quantize`: a model becomes smaller."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.cli import engine_arguments
from edgewise.cli.argument_types import nats, pattern_and_format, size_bytes, tensor_format
from edgewise.cli.eval import add_text_arguments
from edgewise.cli.installed_models import beside_model, model_path
from edgewise.cli.output import print_json, shown, size
from edgewise.cli.progress import ProgressBar
from edgewise.engine.memory import peak_memory_bytes
from edgewise.evaluate import table
from edgewise.evaluate.page import require_kind, write_report
from edgewise.evaluate.report import Candidate, make_report
from edgewise.evaluate.texts import read_text
from edgewise.evaluate.trials import Trials
from edgewise.quantize.mixes import MIXES, named_mix
from edgewise.quantize.recipe import Wishes
from edgewise.quantize.targets import measure_formats, plan_divergence
from edgewise.quantize.work import default_path, open_source, plan_mix, require_absent, save

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from edgewise.quantize.bands import Written
    from edgewise.quantize.plan import Plan, PlannedTensor
    from edgewise.quantize.work import SourceModel

EPILOG = f"""\
examples:
  edgewise quantize model-f16.gguf q4_k_m                  writes model-q4_k_m.gguf beside it
  edgewise quantize model-f16.gguf q4_k_m --dry-run        only says how large it would be
  edgewise quantize model-f16.gguf q6_k q4_k_m q3_k_m      several at a time
  edgewise quantize model-f16.gguf iq4_xs --imatrix imatrix.gguf
  edgewise quantize model-f16.gguf --target-size 2GB       the best that fits, by measured errors
  edgewise quantize model-f16.gguf --max-kld 0.02 -f text.txt    the smallest that is so close
  edgewise quantize model-f16.gguf q8_0 q4_k_m --report report.html -f text.txt
  edgewise quantize model-f16.gguf q4_k_m --tensor-type attn_v=q8_0 --tensor-type 'blk\\.0\\.=q6_k'

formats, most bits first: {" ".join(MIXES)}
Each is a mix: tensors that matter more get more bits, as in llama.cpp's files of the same name. `-v` says why.
"""

_MEASURED = "measured"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument(
        "model", metavar="MODEL", help="path of a GGUF file, or name of an installed model; best in f32, bf16 or f16"
    )
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help="what it becomes, such as q4_k_m")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where it goes; by default beside MODEL, of an installed one here",
    )
    parser.add_argument("--imatrix", type=Path, metavar="FILE", help="an importance matrix, which guides the rounding")
    aims = parser.add_argument_group("instead of a FORMAT, one for each tensor")
    aims.add_argument("--target-size", type=size_bytes, metavar="SIZE", help="lose least in a file of 2GB, say")
    aims.add_argument(
        "--max-kld", type=nats, metavar="NATS", help="be smallest with such a divergence from MODEL on a text (-f)"
    )
    wishes = parser.add_argument_group("formats of single tensors")
    wishes.add_argument(
        "--tensor-type",
        type=pattern_and_format,
        action="append",
        default=[],
        dest="patterns",
        metavar="PATTERN=FORMAT",
        help="for tensors whose name holds a match of the regular expression; may be repeated, the first match counts",
    )
    wishes.add_argument("--output-tensor", type=tensor_format, metavar="FORMAT", help="for the output projection")
    wishes.add_argument("--token-embedding", type=tensor_format, metavar="FORMAT", help="for the token embeddings")
    wishes.add_argument("--allow-requantize", action="store_true", help="quantize what is quantized already, at a loss")
    how = parser.add_argument_group("how it is written")
    how.add_argument("--dry-run", action="store_true", help="say what would be written, and how large it would be")
    how.add_argument("--force", action="store_true", help="replace a file that is there")
    how.add_argument("--resume", action="store_true", help="take up what an interrupted run left")
    how.add_argument("-v", "--verbose", action="store_true", help="a line for every tensor")
    how.add_argument("--json", action="store_true", help="print one JSON object for each file")
    measured = parser.add_argument_group("what it costs, measured on a text")
    measured.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="quality and speed beside MODEL's: a page (.html, with a .json beside it), .json or .md",
    )
    add_text_arguments(measured, is_required=False)
    engine_arguments.add_computing(parser)


def run(arguments: argparse.Namespace) -> int:
    """Plans and writes each file, and prints what it became."""
    mistake = _mistake(arguments)
    if mistake is not None:
        print(f"error: {mistake}", file=sys.stderr)
        return 2
    mixes = [named_mix(name) for name in arguments.formats]
    if arguments.report is not None:
        require_kind(arguments.report)
    text = read_text(arguments.file) if arguments.file is not None else b""
    if arguments.output is not None and not (arguments.force or arguments.dry_run):
        require_absent(arguments.output)  # before the work
    source = open_source(model_path(arguments.model), arguments.imatrix)
    if source.unmeasured and not arguments.quiet:
        print(f"note: the importance matrix says nothing of {source.unmeasured} matrices", file=sys.stderr)
    wishes = Wishes(tuple(arguments.patterns), arguments.output_tensor, arguments.token_embedding)
    beside = beside_model(arguments.model, source.path)
    plans: list[tuple[str, Plan, float | None]]
    if mixes:
        may_requantize = arguments.allow_requantize
        plans = [(mix.name, plan_mix(source, mix, wishes, may_requantize=may_requantize), None) for mix in mixes]
    else:
        plans = [("", *_measured_plan(source, wishes, text, arguments.output or beside, arguments))]
    candidates = []
    for mix, plan, divergence in plans:
        name = mix or f"{plan.bits_per_weight:.2f}bpw"
        path = arguments.output or default_path(beside, name)
        written = None if arguments.dry_run else _save(source, plan, path, arguments)
        if arguments.json:
            print_json({**_data(source, plan, path, written), "divergence": divergence})
        else:
            _print(source, plan, path, written, is_verbose=arguments.verbose)
            if divergence is not None:
                print(f"kld     {divergence:.6f} nats on average, measured on {shown(arguments.file)}")
        candidates.append(Candidate(name, path))
    if arguments.report is not None:
        _report(source.path, candidates, text, arguments)
    return 0


def _mistake(arguments: argparse.Namespace) -> str | None:
    """What is wrong with the arguments together."""
    ways = [bool(arguments.formats), arguments.target_size is not None, arguments.max_kld is not None]
    if sum(ways) != 1:
        return "name a FORMAT, such as q4_k_m, or one of --target-size and --max-kld"
    if arguments.output is not None and len(arguments.formats) > 1:
        return "-o names one file: give one FORMAT"
    if arguments.max_kld is not None and arguments.file is None:
        return "--max-kld is measured on a text: name one with -f"
    if arguments.report is not None and arguments.file is None:
        return "--report is measured on a text: name one with -f"
    if arguments.report is not None and arguments.dry_run:
        return "--report measures files, and --dry-run writes none"
    return None


def _measured_plan(
    source: SourceModel, wishes: Wishes, text: bytes, beside: Path, arguments: argparse.Namespace
) -> tuple[Plan, float | None]:
    """The plan for a size or a divergence, and the divergence if that was measured."""
    config = engine_arguments.config(arguments)
    with ProgressBar("tensors measured", is_quiet=arguments.quiet) as bar:
        measured = measure_formats(source, wishes, threads=config.threads, isa=_isa(config.isa), progress=bar.update)
    may_requantize = arguments.allow_requantize
    if arguments.target_size is not None:
        return measured.plan(arguments.target_size, may_requantize=may_requantize), None
    with Trials(source, text, config, arguments.context, arguments.chunks, beside) as trials:

        def divergence(plan: Plan) -> float:
            with ProgressBar("chunks", is_quiet=arguments.quiet) as bar:
                found = trials.divergence(plan, lambda done, total, _: bar.update(done, total, "trial"))
            if not arguments.quiet:
                bits = f"{plan.bits_per_weight:.2f} bits per weight"
                print(f"trial: {size(plan.size_bytes)}, {bits}, divergence {found:.5f}", file=sys.stderr)
            return found

        return plan_divergence(measured, arguments.max_kld, divergence, may_requantize=may_requantize)


def _report(source: Path, candidates: list[Candidate], text: bytes, arguments: argparse.Namespace) -> None:
    bars: dict[str, ProgressBar] = {}
    with ExitStack() as stack:

        def progress(unit: str, done: int, total: int) -> None:
            if unit not in bars:
                stack.close()
                bars[unit] = stack.enter_context(ProgressBar(unit, is_quiet=arguments.quiet))
            bars[unit].update(done, total)

        report = make_report(
            source,
            candidates,
            text,
            Path(arguments.file).name,
            engine_arguments.config(arguments),
            context=arguments.context,
            chunks=arguments.chunks,
            progress=progress,
        )
    write_report(report, arguments.report, arguments.command)
    if not arguments.json:
        print(shown("\n" + table.markdown(report)), end="")


def _isa(name: str) -> str | None:
    return None if name == "auto" else name


def _save(source: SourceModel, plan: Plan, path: Path, arguments: argparse.Namespace) -> Written:
    config = engine_arguments.config(arguments)
    try:
        with ProgressBar("million weights", is_quiet=arguments.quiet) as bar:
            return save(
                source,
                plan,
                path,
                replace=arguments.force,
                resume=arguments.resume,
                threads=config.threads,
                isa=_isa(config.isa),
                progress=_shown_on(bar),
            )
    except KeyboardInterrupt:
        print(shown(f"\ninterrupted: --resume takes up {path}.part"), file=sys.stderr)
        raise


def _shown_on(bar: ProgressBar) -> Callable[[int, int, str], None]:
    def show(done: int, total: int, name: str) -> None:
        if not name:
            bar.skip(done // 10**6)
        bar.update(done // 10**6, total // 10**6, name)

    return show


def _print(source: SourceModel, plan: Plan, path: Path, written: Written | None, *, is_verbose: bool) -> None:
    print(shown(f"{source.path} -> {path}" + ("" if written else " (not written: --dry-run)")))
    if is_verbose:
        for tensor in plan.tensors:
            loss = written.losses.get(tensor.source.name) if written else None
            print(shown(_tensor_line(tensor, None if loss is None else loss.relative)))
    for reason, tensors in _groups(plan):
        print(shown(f"  {len(tensors):>5} {_change(tensors[0]):<16}{_sizes(tensors):>24}  {reason}"))
    before, after = source.file.size_bytes, written.size_bytes if written else plan.size_bytes + source.header_bytes
    print(f"size    {size(before)} -> {size(after)}, {plan.bits_per_weight:.2f} bits per weight")
    if written is not None:
        if written.losses:
            squared_error = sum(loss.squared_error for loss in written.losses.values())
            squared = sum(loss.squared for loss in written.losses.values())
            share = (squared_error / squared) ** 0.5 if squared else 0.0
            print(f"error   {share:.2%} of the weights that changed, as root mean squares")
        print(
            f"time    computing {written.compute_s:.2f} s, writing {written.write_s:.2f} s, until on the disk "
            f"{written.sync_s:.2f} s; peak memory {size(peak_memory_bytes())}"
        )


def _tensor_line(tensor: PlannedTensor, loss: float | None) -> str:
    shape = " x ".join(map(str, tensor.source.shape))
    lost = "" if loss is None else f"{loss:>8.2%}"
    return f"{tensor.source.name:<28} {shape:<16} {_change(tensor):<16}{_sizes([tensor]):>24}{lost}  {tensor.reason}"


def _groups(plan: Plan) -> list[tuple[str, list[PlannedTensor]]]:
    """The tensors that share a reason and a change of format; the largest groups first."""
    found: dict[tuple[str, str], list[PlannedTensor]] = {}
    for tensor in plan.tensors:
        reason = _MEASURED if tensor.reason.startswith(_MEASURED) else tensor.reason
        found.setdefault((reason, _change(tensor)), []).append(tensor)
    groups = [
        (f"{_MEASURED}: {_kinds(tensors)}" if reason == _MEASURED else reason, tensors)
        for (reason, _), tensors in found.items()
    ]
    return sorted(groups, key=lambda group: -sum(tensor.size_bytes for tensor in group[1]))


def _kinds(tensors: list[PlannedTensor]) -> str:
    names = (tensor.source.name.removesuffix(".weight").rpartition(".")[2] for tensor in tensors)
    return ", ".join(dict.fromkeys(names))


def _change(tensor: PlannedTensor) -> str:
    return tensor.format if tensor.is_copied else f"{tensor.source.format} -> {tensor.format}"


def _sizes(tensors: list[PlannedTensor]) -> str:
    before, after = (sum(sizes) for sizes in zip(*((t.source_bytes, t.size_bytes) for t in tensors), strict=True))
    return size(after) if before == after else f"{size(before)} -> {size(after)}"


def _data(source: SourceModel, plan: Plan, path: Path, written: Written | None) -> dict[str, Any]:
    tensors = []
    for tensor in plan.tensors:
        loss = written.losses.get(tensor.source.name) if written else None
        tensors.append(
            {
                "name": tensor.source.name,
                "shape": list(tensor.source.shape),
                "source_format": tensor.source.format,
                "format": tensor.format,
                "reason": tensor.reason,
                "size_bytes": tensor.size_bytes,
                "relative_error": None if loss is None else loss.relative,
            }
        )
    return {
        "source": str(source.path),
        "path": str(path),
        "is_written": written is not None,
        "source_bytes": source.file.size_bytes,
        "size_bytes": written.size_bytes if written else plan.size_bytes + source.header_bytes,
        "bits_per_weight": plan.bits_per_weight,
        "compute_s": written.compute_s if written else None,
        "write_s": written.write_s if written else None,
        "sync_s": written.sync_s if written else None,
        "peak_memory_bytes": peak_memory_bytes(),
        "tensors": tensors,
    }
