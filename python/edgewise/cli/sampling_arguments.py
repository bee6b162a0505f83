"""Arguments about how an answer is made."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edgewise.cli.argument_types import seed, utf8, whole
from edgewise.engine.protocol import GenerateOptions
from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

# Model files may bring their own defaults: (option, metadata key).
FROM_FILE = {
    "temperature": "general.sampling.temp",
    "top_k": "general.sampling.top_k",
    "top_p": "general.sampling.top_p",
    "min_p": "general.sampling.min_p",
    "repeat_penalty": "general.sampling.penalty_repeat",
    "penalty_last_n": "general.sampling.penalty_last_n",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Declares them; what is not given is the model file's own choice, else a common one."""
    group = parser.add_argument_group("answer")
    group.add_argument(
        "-n",
        "--max-tokens",
        "--n-predict",
        type=whole,
        metavar="N",
        help="longest answer, in tokens; default: no limit",
    )
    group.add_argument(
        "--temp", "--temperature", type=float, dest="temperature", metavar="X", help="0: likeliest (0.8)"
    )
    group.add_argument("--top-k", type=whole, metavar="N", help="sample among the N likeliest tokens (40)")
    group.add_argument("--top-p", type=float, metavar="X", help="... that together have this probability (0.95)")
    group.add_argument("--min-p", type=float, metavar="X", help="... at least this share of the likeliest's (0.05)")
    group.add_argument("--typical-p", type=float, metavar="X", help="locally typical sampling (1: off)")
    group.add_argument("--repeat-penalty", type=float, metavar="X", help="against repeated tokens (1: off)")
    group.add_argument("--frequency-penalty", type=float, metavar="X", help="per occurrence (0: off)")
    group.add_argument("--presence-penalty", type=float, metavar="X", help="once (0: off)")
    group.add_argument("-s", "--seed", type=seed, metavar="N", help="the same seed gives the same text")
    group.add_argument(
        "--stop", action="append", type=utf8, metavar="TEXT", help="ends the answer; may be given more than once"
    )
    group.add_argument(
        "--context-shift",
        action="store_true",
        help="when the context is full, drop its older half and go on; a note says so",
    )
    group.add_argument(
        "--keep",
        type=whole,
        dest="keep_tokens",
        metavar="N",
        help="... but never the prompt's first N tokens; -1: all of it (0)",
    )


# Installed models may bring theirs, under Ollama's names: (option, parameter).
FROM_MODEL = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "seed": "seed",
    "repeat_penalty": "repeat_penalty",
    "penalty_last_n": "repeat_last_n",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "keep_tokens": "num_keep",
}


def options(
    arguments: argparse.Namespace, metadata: Mapping[str, object], parameters: Mapping[str, Any] = MappingProxyType({})
) -> GenerateOptions:
    """The options that they ask for; what they leave open comes from the installed model, else from its file.

    Args:
        arguments: of the command line.
        metadata: of the file.
        parameters: of the installed model.
    """
    chosen: dict[str, Any] = {
        option: metadata[key] for option, key in FROM_FILE.items() if _suits(option, metadata.get(key))
    }
    chosen |= {option: parameters[key] for option, key in FROM_MODEL.items() if _suits(option, parameters.get(key))}
    names = ["temperature", "top_k", "top_p", "min_p", "typical_p", "seed"]
    names += ["repeat_penalty", "frequency_penalty", "presence_penalty", "context_shift", "keep_tokens"]
    chosen |= {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    limit = arguments.max_tokens if arguments.max_tokens is not None else parameters.get("num_predict")
    stop = tuple(arguments.stop or parameters.get("stop", ()))
    chosen["max_tokens"] = limit if isinstance(limit, int) and limit >= 0 else None
    return replace(GenerateOptions(logprobs=False), **chosen, stop=stop)


def _suits(option: str, value: Any) -> bool:
    """Whether a file's value can be that option; one that cannot is left out, for it is not what the user asked."""
    kinds = (int,) if option in ("top_k", "penalty_last_n", "seed", "keep_tokens") else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return False
    try:
        replace(GenerateOptions(), **{option: value}).sampler()  # type: ignore[arg-type]
    except (InvalidArgument, OverflowError):
        return False
    return True
