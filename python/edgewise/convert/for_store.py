"""What the store lets others do: a model folder becomes a GGUF file, a GGUF file a smaller one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.convert.conversion import Options, convert_model
from edgewise.errors import InvalidArgument
from edgewise.quantize.mixes import named_mix
from edgewise.quantize.work import open_source, plan_mix, save
from edgewise.store.creation import Workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def workers(report: Callable[[str, int, int], None]) -> Workers:
    """Who converts and quantizes for a store.

    Args:
        report: see `Workers`.
    """
    return Workers(_quantize, _convert, report)


def _quantize(source: Path, target: Path, name: str) -> None:
    try:
        mix = named_mix(name)
    except InvalidArgument as error:
        raise InvalidArgument(f"quantize: {error.message}", hint=error.hint) from error
    model = open_source(source)
    save(model, plan_mix(model, mix), target)


def _convert(folder: Path, target: Path) -> None:
    convert_model(folder, target, Options())
