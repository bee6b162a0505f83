"""`edgewise plan`: whether a model will fit a machine, and how fast it will be."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.cli.argument_types import whole
from edgewise.cli.installed_models import model_path
from edgewise.cli.output import print_json, shown, size
from edgewise.config import load as load_config
from edgewise.config import require_whole, store_folder
from edgewise.errors import InvalidArgument, SystemRefused
from edgewise.plan.assessment import Assessment, assess
from edgewise.plan.devices import device_named, devices
from edgewise.plan.memory import Settings
from edgewise.plan.models import PlannedModel, model_in
from edgewise.plan.recommendation import recommend
from edgewise.plan.shapes import SHAPES, shape_named
from edgewise.plan.this_machine import this_machine

if TYPE_CHECKING:
    import argparse

    from edgewise.plan.devices import Device, Spread

EPILOG = f"""\
examples:
  edgewise plan model.gguf                             on this machine, measured for some seconds
  edgewise plan llama3.2-3b --device pi5-8gb           before downloading anything
  edgewise plan llama2-7b:f16 --device rtx4060-laptop
  edgewise plan --device pi5-8gb                       which model, in which format
  edgewise plan qwen2.5-0.5b:q8_0 --all-devices
  edgewise plan llama3.1-8b --device n150 --ctx 32768 --kv q8_0 --json | jq .verdict

shapes (with any format behind a colon, q4_k_m without one):
  {", ".join(SHAPES)}
devices:
  {", ".join(devices())}

exit codes: 0 if it fits, or would with what is named; 1 if it does not
"""

PROMPT_TOKENS = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the verb's arguments."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="a GGUF file, an installed model, demo, or a shape; none: which one to take",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--device", metavar="NAME", help="a machine by name, of those below")
    where.add_argument("--this", action="store_true", help="this machine, measured for some seconds (the default)")
    where.add_argument("--all-devices", action="store_true", help="a table of all machines that have a name")
    parser.add_argument(
        "-c", "--ctx", type=whole, metavar="N", help="context length; 0: the model's (4096, or the model's if less)"
    )
    parser.add_argument("--kv", choices=("f16", "q8_0"), default="f16", help="format of the KV cache (f16)")
    parser.add_argument("--parallel", "-np", type=whole, default=1, metavar="N", help="contexts' worth of KV cache (1)")
    parser.add_argument(
        "--prompt", type=whole, metavar="N", help=f"tokens of the prompt that speeds are for ({PROMPT_TOKENS})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, sizes in bytes and times in seconds")


def run(arguments: argparse.Namespace) -> int:
    """Plans and prints."""
    if arguments.model is None:
        return _recommend(arguments)
    model, path = _find(arguments.model)
    if arguments.all_devices:
        found = [_assess(arguments, model, device, is_installed=False) for device in devices().values()]
        if arguments.json:
            print_json([_facts(one) for one in found])
        else:
            _print_table(found)
        return 0
    device = _device(arguments, path)
    plan = _assess(arguments, model, device, is_installed=path is not None and arguments.device is None)
    if arguments.json:
        print_json(_facts(plan))
    else:
        _print(plan, _prompt_tokens(arguments, plan.settings.context_length))
    return 1 if plan.verdict == "does not fit" else 0


def _recommend(arguments: argparse.Namespace) -> int:
    if arguments.all_devices:
        raise InvalidArgument("--all-devices is about one MODEL", hint="name one, or a device: --device pi5-8gb")
    device = _device(arguments, None)
    settings = _settings(arguments, 0, device)
    found = recommend(settings, device, prompt_tokens=_prompt_tokens(arguments, settings.context_length))
    if arguments.json:
        print_json({"device": device.name, "recommended": [_facts(one) for one in found]})
        return 0 if found else 1
    if not found:
        print(shown(f"no model that has a shape fits {device.title} with room to spare"))
        return 1
    print(shown(f"{device.title}: {size(found[0].available_bytes)} for a model"))
    for label, one in zip(("best", "fastest"), found, strict=False):
        name, speed = f"{one.model.name}:{one.model.format}", one.speed
        rate = "" if speed is None else f"  {speed.decode.p50:.3g} tokens/s, limited by {speed.decode_limit}"
        print(f"{label:<9}{name:<24}{size(one.memory.total_bytes):>9}{rate}")
    return 0


def _device(arguments: argparse.Namespace, path: Path | None) -> Device:
    if arguments.device is not None:
        return device_named(arguments.device)
    config = load_config()
    return this_machine(path, store_folder(), threads=config.threads, isa=config.isa)


def _find(text: str) -> tuple[PlannedModel, Path | None]:
    """A file or an installed model comes first, then a shape.

    Raises:
        SystemRefused: if it is none of them.
    """
    try:
        path = model_path(text)
    except SystemRefused as error:
        if text.lower().partition(":")[0] in SHAPES:
            return shape_named(text), None
        raise SystemRefused(
            f"{text or 'a model without a name'}: no such file, installed model or shape",
            hint=f"shapes: {', '.join(SHAPES)}; with a format: llama3.2-3b:q8_0",
        ) from error
    return model_in(path, text), path


def _assess(arguments: argparse.Namespace, model: PlannedModel, device: Device, *, is_installed: bool) -> Assessment:
    settings = _settings(arguments, model.trained_length, device)
    tokens = _prompt_tokens(arguments, settings.context_length)
    return assess(model, settings, device, prompt_tokens=tokens, is_installed=is_installed)


def _settings(arguments: argparse.Namespace, trained: int, device: Device) -> Settings:
    require_whole("--parallel", arguments.parallel, 1)
    if arguments.ctx is not None:
        require_whole("--ctx", arguments.ctx, 0)
    context = (min(4096, trained) if trained else 4096) if arguments.ctx is None else arguments.ctx or trained or 4096
    return Settings(context, arguments.kv, arguments.kv, arguments.parallel, threads=device.cores)


def _prompt_tokens(arguments: argparse.Namespace, context: int) -> int:
    if arguments.prompt is None:
        return min(PROMPT_TOKENS, context)
    require_whole("--prompt", arguments.prompt, 1, context)
    return int(arguments.prompt)


def _facts(plan: Assessment) -> dict[str, Any]:
    return {
        "verdict": plan.verdict,
        "reason": plan.reason,
        "model": {
            "name": plan.model.name,
            "format": plan.model.format,
            "architecture": plan.model.facts.architecture,
            "parameters": plan.model.parameters,
            "trained_length": plan.model.trained_length,
        },
        "settings": asdict(plan.settings),
        "device": {
            "name": plan.device.name,
            "title": plan.device.title,
            "processor": plan.processor.name,
            "memory_bytes": plan.device.memory_bytes,
            "limited_by": plan.device.limited_by,
            "instruction_sets": plan.device.instruction_sets,
            "sources": plan.device.sources,
        },
        "memory": {**asdict(plan.memory), "total_bytes": plan.memory.total_bytes},
        "available_bytes": plan.available_bytes,
        "missing_bytes": plan.missing_bytes,
        "disk": {"bytes": plan.disk_bytes, "free_bytes": plan.device.storage_bytes, "fits": plan.fits_disk},
        "largest_context": plan.largest_context,
        "speed": None if plan.speed is None else asdict(plan.speed),
        "advice": [asdict(one) for one in plan.advice],
    }


def _print(plan: Assessment, prompt_tokens: int) -> None:
    memory, speed, free = plan.memory, plan.speed, plan.device.storage_bytes
    rows = [
        ("verdict", f"{plan.verdict}: {plan.reason}"),
        ("model", f"{plan.model.name}, {plan.model.format}, {_weights(plan.model.parameters)}"),
        ("device", f"{plan.device.title}: {plan.processor.name}"),
        ("memory", f"{size(memory.total_bytes)} of {size(plan.available_bytes)}"),
        ("", plan.device.limited_by),
        ("  weights", size(memory.weights_bytes)),
        ("  KV cache", f"{size(memory.cache_bytes)} ({_cache(plan)})"),
        ("  compute", size(memory.compute_bytes)),
        ("  runtime", size(memory.runtime_bytes)),
        (
            "disk",
            size(plan.disk_bytes) + (f" of {size(free)}" if free else ""),
        ),
        ("context", f"{plan.largest_context} tokens at most" if plan.largest_context else "none fits"),
    ]
    if speed is not None:
        warm, cold = speed.first_token_warm_s, speed.first_token_cold_s
        rows += [
            ("", f"{'p10':>9}{'p50':>9}{'p90':>9}"),
            ("first token", _spread(warm, "s") + f"   after {prompt_tokens} tokens, once the model is loaded"),
        ]
        if cold is not None:
            rows.append(("  cold", _spread(cold, "s") + f"   limited by {speed.first_token_limit}"))
        rows += [
            ("prompt", _spread(speed.prefill, "/s") + "   tokens per second"),
            ("answer", _spread(speed.decode, "/s") + f"   tokens per second, limited by {speed.decode_limit}"),
        ]
    rows += [("change" if index == 0 else "", one.text) for index, one in enumerate(plan.advice)]
    for label, text in rows:
        print(shown(f"{label:<13} {text}".rstrip()))


def _print_table(plans: list[Assessment]) -> None:
    model = plans[0].model
    print(shown(f"{model.name}, {model.format}: {size(model.weights_bytes)}"))
    print(f"{'DEVICE':<18}{'VERDICT':<19}{'MEMORY':>9}{'OF':>9}{'CONTEXT':>9}{'FIRST TOKEN':>13}{'TOKENS/S':>10}")
    for plan in plans:
        first = "" if plan.speed is None else f"{plan.speed.first_token_warm_s.p50:.2f} s"
        rate = "" if plan.speed is None else f"{plan.speed.decode.p50:.1f}"
        print(
            f"{plan.device.name:<18}{plan.verdict:<19}{size(plan.memory.total_bytes):>9}"
            f"{size(plan.available_bytes):>9}{plan.largest_context:>9}{first:>13}{rate:>10}"
        )


def _cache(plan: Assessment) -> str:
    settings = plan.settings
    several = f"{settings.sequences} x " if settings.sequences > 1 else ""
    return f"{several}{settings.context_length} tokens, {settings.key_format}"


def _spread(spread: Spread, unit: str) -> str:
    return "".join(f"{_digits(value, unit):>9}" for value in (spread.p10, spread.p50, spread.p90))


def _weights(count: int) -> str:
    return f"{count / 1e9:.2f} billion weights" if count >= 10**9 else f"{count / 1e6:.1f} million weights"


def _digits(value: float, unit: str) -> str:
    if unit == "s" and value < 1:
        return f"{1000 * value:.3g} ms"
    return (f"{value:.3g}" if value < 1000 else f"{value:.0f}") + (" s" if unit == "s" else unit)
