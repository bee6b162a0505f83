"""How much memory could still be used, as the system and every control group above this process see it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.engine.memory import physical_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNLIMITED = 2**60  # cgroup v1 says so with a number near 2^63


@dataclass(frozen=True)
class AvailableMemory:
    """What can be used without swapping.

    Args:
        free_bytes: what is free now, or would be if the system dropped what it only caches.
        own_bytes: what this process holds and could give back: it comes on top of `free_bytes`.
        limit_bytes: what there is in all, for this process.
        limited_by: what sets that limit: `the machine`, or the control group's folder.
    """

    free_bytes: int
    own_bytes: int
    limit_bytes: int
    limited_by: str = "the machine"


def available_memory(root: Path = Path("/")) -> AvailableMemory:
    """Reads it; numbers that the system does not tell are 0.

    Args:
        root: where `proc` and `sys` are.
    """
    machine = _of_linux(root) if (root / "proc" / "meminfo").exists() else _of_others()
    tightest = machine
    for group in _groups(root):
        if group.free_bytes < tightest.free_bytes:
            tightest = group
    own = _own_bytes(root)
    return AvailableMemory(tightest.free_bytes, own, tightest.limit_bytes, tightest.limited_by)


def _of_linux(root: Path) -> AvailableMemory:
    numbers = _numbers(root / "proc" / "meminfo", 1024)
    total = numbers.get("MemTotal:", 0)
    return AvailableMemory(numbers.get("MemAvailable:", numbers.get("MemFree:", 0)), 0, total)


def _of_others() -> AvailableMemory:
    if sys.platform == "win32":
        import ctypes

        class Status(ctypes.Structure):
            _fields_ = [
                ("length", ctypes.c_uint32),
                ("load", ctypes.c_uint32),
                *((name, ctypes.c_uint64) for name in ("total", "free", "a", "b", "c", "d", "e")),
            ]

        status = Status(length=ctypes.sizeof(Status))
        if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            return AvailableMemory(status.free, 0, status.total)
    total, free = physical_memory_bytes()
    return AvailableMemory(free or total, 0, total)


def _groups(root: Path) -> Iterator[AvailableMemory]:
    """Every control group above this process that limits memory, of either version."""
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            yield from _limits(root / "sys/fs/cgroup", path, ("memory.max", "memory.current", ""))
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
            yield from _limits(root / "sys/fs/cgroup/memory", path, names)


def _limits(mount: Path, path: str, names: tuple[str, str, str]) -> Iterator[AvailableMemory]:
    limit_name, usage_name, prefix = names
    steps = [part for part in path.split("/") if part not in ("", "..")]
    for count in range(len(steps), -1, -1):
        folder = mount.joinpath(*steps[:count])
        limit, usage = _number(folder / limit_name), _number(folder / usage_name)
        if limit is None or usage is None or limit >= _UNLIMITED:
            continue
        cached = _numbers(folder / "memory.stat", 1)
        reclaimable = sum(cached.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
        yield AvailableMemory(max(0, limit - usage + reclaimable), 0, limit, str(folder))


def _own_bytes(root: Path) -> int:
    return _numbers(root / "proc" / "self" / "status", 1024).get("RssAnon:", 0)


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdecimal() else None  # "max" is no limit


def _numbers(path: Path, unit: int) -> dict[str, int]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    words = (line.split() for line in lines)
    return {word[0]: int(word[1]) * unit for word in words if len(word) > 1 and word[1].isdecimal()}
