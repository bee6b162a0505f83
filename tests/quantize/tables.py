"""Tables of choices as text: a line for each kind of tensor, `attn_v  q6_k 0-1,4 | q5_k 2-3`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from edgewise.quantize.roles import layer_of

PATH = Path(__file__).parent / "golden" / "choices.json"

Table = dict[str, str]
"""Kind of tensor -> formats and the layers that have them, or a format alone."""


def tabulate(formats: Mapping[str, str]) -> Table:
    """The table of a model.

    Args:
        formats: the format of each tensor by its name.
    """
    kinds: dict[str, dict[str, list[int]]] = {}
    for name, found in formats.items():
        kinds.setdefault(re.sub(r"^blk\.\d+\.", "", name), {}).setdefault(found, []).append(layer_of(name))
    return {kind: _line(layers) for kind, layers in sorted(kinds.items())}


def golden(case: str, mix: str, *, has_importance: bool) -> Table:
    """llama.cpp's table; vectors are left out."""
    tables: dict[str, Table] = json.loads(PATH.read_text(encoding="utf-8"))["tables"][case]
    return tables.get(with_importance(mix), tables[mix]) if has_importance else tables[mix]


def with_importance(mix: str) -> str:
    """What the table is called if an importance matrix makes a difference."""
    return f"{mix} with importance"


def _line(layers: dict[str, list[int]]) -> str:
    if len(layers) == 1:
        return next(iter(layers))
    return " | ".join(f"{name} {_ranges(sorted(found))}" for name, found in sorted(layers.items()))


def _ranges(layers: list[int]) -> str:
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
