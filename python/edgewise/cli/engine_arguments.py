"""Arguments about how a model is opened, for every verb that opens one."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from edgewise.cli.argument_types import whole
from edgewise.cli.installed_models import installed
from edgewise.config import CacheFormat, EngineConfig, EngineName, adapter
from edgewise.config import load as load_config

if TYPE_CHECKING:
    import argparse


_PARALLEL = "contexts' worth of KV cache: conversations that can take turns without computing a prompt again (1)"


def add(parser: argparse.ArgumentParser, parallel: str = _PARALLEL) -> None:
    """Declares them; what is not given comes from the environment and the configuration file.

    Args:
        parser: of the verb.
        parallel: what `--parallel` means to the verb.
    """
    group = parser.add_argument_group("engine")
    group.add_argument(
        "-c",
        "--ctx",
        "--ctx-size",
        type=whole,
        dest="context_length",
        metavar="N",
        help="context length; 0: the model's",
    )
    _add_computing(group)
    group.add_argument("--engine", choices=get_args(EngineName), help="native: the core; llamacpp: llama.cpp; auto")
    group.add_argument(
        "--gpu-layers",
        "-ngl",
        type=whole,
        metavar="N",
        help="layers on a GPU, -1 for all; needs llama.cpp with a GPU build",
    )
    group.add_argument(
        "--cache-type-k", choices=get_args(CacheFormat), dest="key_format", help="format of the key cache"
    )
    group.add_argument("--cache-type-v", choices=get_args(CacheFormat), dest="value_format", help="of the value cache")
    group.add_argument(
        "--lora",
        action="append",
        type=adapter,
        metavar="PATH[=SCALE]",
        help="a LoRA adapter in GGUF form, and its scale (1); again for one more",
    )
    group.add_argument(
        "--draft",
        metavar="HOW",
        help="what guesses the next tokens (for speed, the text stays the same): ngram, off, or a small model",
    )
    group.add_argument(
        "--parallel",
        "-np",
        type=whole,
        dest="sequences",
        metavar="N",
        help=parallel,
    )
    group.add_argument(
        "--no-prompt-cache",
        action="store_const",
        const=0,
        dest="prompt_cache_bytes",
        help="neither read prompts from disk nor write them there",
    )


def add_computing(parser: argparse.ArgumentParser) -> None:
    """Declares those about the computation alone, for verbs that choose the rest themselves."""
    _add_computing(parser.add_argument_group("engine"))


def config(arguments: argparse.Namespace) -> EngineConfig:
    """The configuration that they ask for."""
    names = ["context_length", "threads", "batch", "isa", "engine", "gpu_layers", "key_format", "value_format", "draft"]
    names += ["sequences", "prompt_cache_bytes", "lora"]
    given = {name: getattr(arguments, name, None) for name in names}
    if given["draft"] not in (None, "ngram", "off"):
        model = installed(str(given["draft"]))
        given["draft"] = given["draft"] if model is None else str(model.path)
    return load_config(given)


def _add_computing(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-t", "--threads", type=whole, metavar="N", help="threads; what cannot run is clamped")
    group.add_argument("-b", "--batch", type=whole, metavar="N", help="prompt tokens evaluated at once (512)")
    group.add_argument("--isa", metavar="NAME", help="instruction set of the kernels; `edgewise doctor` lists them")
