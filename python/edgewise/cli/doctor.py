"""`edgewise doctor`: what Edgewise found on this machine, and what it chose."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from edgewise import _core
from edgewise.cli.output import print_json, shown
from edgewise.config import load as load_config
from edgewise.engine import INSTALL_LLAMACPP, has_llamacpp, models
from edgewise.engine.memory import physical_memory_bytes
from edgewise.engine.prompt_cache import PromptCache

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  edgewise doctor
  edgewise doctor --json | jq .threads
  EDGEWISE_THREADS=2 edgewise doctor       what a setting changes
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints what was found."""
    facts = _facts()
    code = 0 if facts["instruction_sets"]["used"] is not None else 1
    if arguments.json:
        print_json(facts)
        return code
    threads, isa, memory = facts["threads"], facts["instruction_sets"], facts["memory"]
    print(f"edgewise      {facts['version']}, Python {facts['python']}, {facts['platform']}")
    print(f"threads       {threads['used']}" + (f" ({threads['asked']} asked for)" if threads["asked"] else ""))
    for reason in threads["reasons"]:
        print(f"              {reason}")
    finding = isa["used"] or f"{shown(isa['asked'])} is asked for, which is not one of them"
    print(f"instructions  {finding}; this machine can run {', '.join(isa['available'])}")
    if memory["total_bytes"]:
        print(f"memory        {memory['total_bytes'] / 1e9:.1f} GB, {memory['available_bytes'] / 1e9:.1f} GB available")
    prompts = facts["prompt_cache"]
    print(
        f"prompt cache  {prompts['size_bytes'] / 1e6:.0f} of {prompts['budget_bytes'] / 1e6:.0f} MB"
        f" in {shown(prompts['folder'])}"
    )
    for name, state in facts["engines"].items():
        print(f"engine        {name}: {state}")
    print(f"demo model    {'installed' if facts['has_demo_model'] else 'not in this installation'}")
    return code


def _facts() -> dict[str, Any]:
    config = load_config()
    choice = _core.choose_threads()
    prompts = PromptCache(config.prompt_folder(), config.prompt_cache_bytes, model="")
    available = _core.instruction_sets()
    return {
        "version": _core.VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(terse=True) + " " + platform.machine(),
        "threads": {
            "used": min(config.threads, choice.limit) if config.threads else choice.threads,
            "asked": config.threads,
            "limit": choice.limit,
            "quota_cpus": choice.quota,
            "reasons": choice.reasons,
        },
        "instruction_sets": {
            "used": available[-1] if config.isa == "auto" else config.isa if config.isa in available else None,
            "asked": config.isa,
            "available": available,
        },
        "memory": dict(zip(("total_bytes", "available_bytes"), physical_memory_bytes(), strict=True)),
        "prompt_cache": {
            "folder": str(prompts.folder),
            "size_bytes": prompts.size_bytes(),
            "budget_bytes": prompts.budget_bytes(),
        },
        "engines": {"native": "the core, in this package", "llamacpp": _llamacpp()},
        "has_demo_model": models.DEMO.is_file(),
    }


def _llamacpp() -> str:
    if not has_llamacpp():
        return f"not installed; {INSTALL_LLAMACPP} brings more architectures"
    from importlib.metadata import version

    from edgewise.engine.llamacpp import has_gpu

    return f"xllamacpp {version('xllamacpp')}, {'with a GPU' if has_gpu() else 'CPU only'}"
