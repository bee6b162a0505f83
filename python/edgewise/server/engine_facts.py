"""Facts of a model file, in the form that clients read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise import _core

if TYPE_CHECKING:
    from pathlib import Path


def model_info(path: Path, *, is_verbose: bool) -> dict[str, Any]:
    """The metadata of a file; its arrays are null unless all is wanted, as they may have a million items.

    Raises:
        ModelFileError: if it is malformed.
        SystemRefused: if it can not be read.
    """
    file = _core.ModelFile(str(path))
    info = {key: _finite(value) for key, value in file.metadata().items() if key != "tokenizer.chat_template"}
    for key, _, _ in file.arrays():
        values = file.array(key) if is_verbose else None
        info[key] = None if values is None else [_finite(value) for value in values]
    info["general.parameter_count"] = parameter_count(file)
    return info


def tensors(path: Path) -> list[dict[str, Any]]:
    """Name, format and shape of each tensor."""
    return [
        {"name": name, "type": kind.upper(), "shape": shape}
        for name, kind, shape, _ in _core.ModelFile(str(path)).tensors()
    ]


def parameter_count(file: _core.ModelFile) -> int:
    """How many weights a file has."""
    total = 0
    for _, _, shape, _ in file.tensors():
        count = 1
        for length in shape:
            count *= length
        total += count
    return total


def _finite(value: object) -> object:
    """JSON has no infinity, and half characters in a text are none."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value
