"""What others do for the store: make a GGUF file of a model folder, and a smaller one of that; open one that is new."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from edgewise.config import EngineConfig
from edgewise.convert.conversion import Options, convert_model
from edgewise.engine import open as open_engine
from edgewise.errors import InvalidArgument, UnsupportedError
from edgewise.quantize.mixes import named_mix
from edgewise.quantize.work import open_source, plan_mix, save
from edgewise.store.creation import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def workers(report: Callable[[str, int, int], None]) -> Workers:
    """Who converts, quantizes and tries out for a store.

    Args:
        report: see `Workers`.
    """
    return Workers(_quantize, _convert, report, _try_out)


def _quantize(source: Path, target: Path, name: str) -> None:
    try:
        mix = named_mix(name)
    except InvalidArgument as error:
        raise InvalidArgument(f"quantize: {error.message}", hint=error.hint) from error
    model = open_source(source)
    save(model, plan_mix(model, mix), target)


def _convert(folder: Path, target: Path) -> None:
    convert_model(folder, target, Options())


def _try_out(model: Path, adapters: Sequence[Path]) -> None:
    """Opens a model of the core's architectures, which finds what its layout does not show."""
    config = EngineConfig(context_length=32, lora=[(path, 1.0) for path in adapters], prompt_cache_bytes=0)
    with suppress(UnsupportedError):  # perhaps llama.cpp knows it
        open_engine(model, config, engine="native").close()
