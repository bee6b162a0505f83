"""One model file as several, and several as one: `NAME-00001-of-00003.gguf` and so on, as the field names them.

The first shard has the metadata; all have the keys `split.no`, `split.count` and `split.tensors.count`.

Source: llama.cpp's tools/gguf-split.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.errors import InvalidArgument
from edgewise.quantize.bands import Target, prove, write
from edgewise.quantize.plan import ALIGNMENT, Plan, facts_of, make_plan
from edgewise.quantize.recipe import Choice
from edgewise.quantize.work import header_bytes, is_part_of, require_place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgewise.quantize.bands import TypedValue
    from edgewise.quantize.plan import PlannedTensor

_SUFFIX = re.compile(r"-(\d{5})-of-(\d{5})(?:\.gguf)?$")
_MOST = 65535  # shards; their number is a u16


def split(
    source: Path,
    prefix: Path,
    *,
    most_bytes: int | None = None,
    most_tensors: int | None = None,
    replace_files: bool = False,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> list[Path]:
    """Writes a model as several files.

    Args:
        source: the model, whole or split otherwise.
        prefix: what their names begin with, folder included.
        most_bytes: what a file may take; a tensor that takes more has one of its own.
        most_tensors: what a file may hold.
        replace_files: whether files of their names may be replaced.
        progress: as in `bands.write`.

    Returns:
        The files, in order.

    Raises:
        InvalidArgument: if a limit is below 1, everything fits one file, or files are there already. A failure leaves
            none behind.
        SystemRefused: if the disk is full or refuses otherwise.
    """
    if any(limit is not None and limit < 1 for limit in (most_bytes, most_tensors)):
        raise InvalidArgument("a file must be allowed at least one byte and one tensor")
    file = _core.ModelFile(source)
    plan = _copy(file)
    groups = _groups(plan, header_bytes(file), most_bytes, most_tensors)
    if len(groups) < 2:
        raise InvalidArgument(f"{source} fits into one file of that size: there is nothing to split")
    if len(groups) > _MOST:
        raise InvalidArgument(f"{source} would be {len(groups)} files, more than {_MOST}", hint="allow larger files")
    paths = [
        prefix.with_name(f"{prefix.name}-{number:05}-of-{len(groups):05}.gguf") for number in range(1, len(groups) + 1)
    ]
    for path in paths:
        if is_part_of(source, path):
            raise InvalidArgument(f"{path} is part of the model that is split; choose another name")
        require_place(path, may_replace=replace_files)
    total = sum(tensor.values for tensor in plan.tensors)
    done = 0
    written: list[Path] = []
    try:
        for number, (path, group) in enumerate(zip(paths, groups, strict=True)):
            metadata: list[TypedValue] = [
                ("split.no", "u16", number),
                ("split.count", "u16", len(groups)),
                ("split.tensors.count", "i32", len(plan.tensors)),
            ]
            before = done

            def show(part_done: int, _: int, name: str, before: int = before) -> None:
                progress(before + part_done, total, name)

            target = Target(path, metadata, None if number else file, replace_files, is_shard=True)
            write(replace(plan, tensors=tuple(group)), file, target, threads=1, progress=show)
            written.append(path)
            done += sum(tensor.values for tensor in group)
        prove(plan, paths[0])
    except BaseException:
        for whole in written:
            whole.unlink(missing_ok=True)
        _part(path).unlink(missing_ok=True)
        raise
    return paths


def merge(
    shard: Path,
    path: Path,
    *,
    replace_file: bool = False,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> int:
    """Writes a split model as one file.

    Args:
        shard: any of its files.
        path: the file to be.
        replace_file: whether a file of that name may be replaced.
        progress: as in `bands.write`.

    Returns:
        Its size in bytes.

    Raises:
        ModelFileError: if a shard is missing or malformed.
        InvalidArgument: if the model is whole already, or there is a file of that name.
        SystemRefused: if the disk is full or refuses otherwise. Nothing is left behind.
    """
    file = _core.ModelFile(shard)
    if file.metadata().get("split.count", 1) in (0, 1):
        raise InvalidArgument(f"{shard} is a whole model: there is nothing to merge")
    if is_part_of(shard, path):
        raise InvalidArgument(f"{path} is part of the model that is merged; choose another name")
    try:
        target = Target(path, (), file, replace_file)
        return write(_copy(file), file, target, threads=1, progress=progress).size_bytes
    except KeyboardInterrupt:
        _part(path).unlink(missing_ok=True)
        raise


def bare_name(path: Path) -> Path:
    """A model's name without its ending and its number among shards."""
    return path.with_name(_SUFFIX.sub("", path.name).removesuffix(".gguf"))


def _part(path: Path) -> Path:
    """What an interrupted run leaves; copies are not resumed."""
    return path.with_name(f"{path.name}.part")


def _copy(file: _core.ModelFile) -> Plan:
    facts = facts_of(file)
    return make_plan(facts, {tensor.name: Choice(tensor.format, "copied") for tensor in facts.tensors}, 0)


def _groups(
    plan: Plan, header_bytes: int, most_bytes: int | None, most_tensors: int | None
) -> Sequence[Sequence[PlannedTensor]]:
    groups: list[list[PlannedTensor]] = [[]]
    left = most_bytes - header_bytes if most_bytes is not None else 0
    for tensor in plan.tensors:
        needed = tensor.size_bytes + 2 * ALIGNMENT + len(tensor.source.name.encode()) + 64
        is_full = most_bytes is not None and needed > left
        is_full |= most_tensors is not None and len(groups[-1]) == most_tensors
        if is_full and groups[-1]:
            groups.append([])
            left = most_bytes - 256 if most_bytes is not None else 0
        groups[-1].append(tensor)
        left -= needed
    return groups
