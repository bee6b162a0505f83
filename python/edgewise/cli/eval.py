"""`edgewise eval`: how well a model predicts a text, and how far it is from another."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

from edgewise.cli import engine_arguments
from edgewise.cli.argument_types import whole
from edgewise.cli.installed_models import HELP, model_path
from edgewise.cli.output import print_json, shown
from edgewise.cli.progress import ProgressBar
from edgewise.evaluate.quality import measure, open_to_evaluate
from edgewise.evaluate.texts import read_text

if TYPE_CHECKING:
    import argparse

    from edgewise.evaluate.figures import Divergence, Estimate
    from edgewise.evaluate.quality import Quality

EPILOG = """\
examples:
  edgewise eval model-q4_k_m.gguf -f text.txt
  edgewise eval model-q4_k_m.gguf --against model-f16.gguf -f text.txt
  edgewise eval demo -f text.txt --context 256 --chunks 20 --json | jq .perplexity.value

The figures are those of llama-perplexity: the text is cut into chunks of --context tokens, and the second half of each
is scored. KL divergence says how far the predictions are from those of the other model, in nats; it finds small losses
that perplexity hides in its error.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("model", metavar="MODEL", help=HELP)
    parser.add_argument(
        "--against", metavar="MODEL", help="the model to compare with: the one that MODEL was made from"
    )
    add_text_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    engine_arguments.add_computing(parser)


def add_text_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup, *, is_required: bool = True) -> None:
    """Declares those about the text, for every verb that evaluates one."""
    parser.add_argument("-f", "--file", required=is_required, metavar="TEXT", help="the text, a file of UTF-8")
    parser.add_argument("-c", "--context", type=whole, default=512, metavar="N", help="tokens of a chunk (512)")
    parser.add_argument("--chunks", type=whole, metavar="N", help="how many chunks to use at most; all by default")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Measures and prints."""
    text = read_text(arguments.file)
    config = engine_arguments.config(arguments)
    path = model_path(arguments.model)
    against = None if arguments.against is None else model_path(arguments.against)
    with ExitStack() as stack:
        engine = stack.enter_context(open_to_evaluate(path, config, arguments.context))
        reference = None
        if against is not None:
            reference = stack.enter_context(open_to_evaluate(against, config, arguments.context))
        if arguments.context > engine.model.context_length and not arguments.quiet:
            print(
                f"note: the model was trained for {engine.model.context_length} tokens of context, not for "
                f"{arguments.context}",
                file=sys.stderr,
            )
        progress = stack.enter_context(ProgressBar("chunks", is_quiet=arguments.quiet))
        (quality,) = measure(
            [engine],
            reference,
            text,
            chunks=arguments.chunks,
            progress=lambda done, total, value: progress.update(done, total, f"perplexity {value:.4f}"),
        )
    if arguments.json:
        print_json({"model": str(path), "against": against and str(against), **asdict(quality)})
    else:
        _print(quality, None if against is None else str(against))
    return 0


def _print(quality: Quality, against: str | None) -> None:
    rows = [("perplexity", _with_error(quality.perplexity, ".4f"))]
    if quality.divergence is not None:
        rows += _divergence_rows(quality.divergence, against or "")
    rows += [
        ("scored", f"{quality.positions} tokens in {quality.chunks} chunks of {quality.context}"),
        ("speed", f"{quality.tokens_per_second:.1f} tokens/s"),
    ]
    for label, value in rows:
        print(shown(f"{label:<20}{value}"))


def _divergence_rows(divergence: Divergence, against: str) -> list[tuple[str, str]]:
    shares = (divergence.same_top.value * 100, divergence.same_top.error * 100)
    return [
        ("against", against),
        ("its perplexity", _with_error(divergence.reference_perplexity, ".4f")),
        ("log of their ratio", _with_error(divergence.log_ratio, ".6f")),
        ("KL divergence, mean", _with_error(divergence.mean, ".6f")),
        ("  median", f"{divergence.median:.6f}"),
        ("  99 %", f"{divergence.percentile_99:.6f}"),
        ("  maximum", f"{divergence.maximum:.6f}"),
        ("same top token", f"{shares[0]:.3f} ± {shares[1]:.3f} %"),
    ]


def _with_error(estimate: Estimate, form: str) -> str:
    return f"{estimate.value:{form}} ± {estimate.error:{form}}"
