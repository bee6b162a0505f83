"""This machine as a device: what can really be used, and quick measurements of its ceilings."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.engine.available_memory import available_memory
from edgewise.engine.memory import physical_memory_bytes
from edgewise.plan.devices import DECODE_SHARE, LAYER_S, PREFILL_SHARE, Device, Processor, Spread

if TYPE_CHECKING:
    from collections.abc import Iterator

_BANDWIDTH_BYTES = 256 << 20  # more than the caches of the machines that this is for
_LEAST_MEASURED, _LARGEST_MEASURED = 1 << 20, 4 << 30
_DISK_BYTES = 64 << 20
_DISK_SPREAD = Spread(0.7, 1.0, 1.2)
_BANDWIDTH_ROUNDS, _INT8_ROUNDS = 3, 5
_F32 = 0  # the number of the format in GGUF


def this_machine(model: Path | None, folder: Path, *, threads: int = 0, isa: str = "auto") -> Device:
    """Measures for some seconds.

    Args:
        model: the file to measure with, where it lies; None makes one.
        folder: where models go: its disk counts.
        threads: how many compute; 0 chooses.
        isa: their instruction set; `auto` is the best there is.

    Raises:
        SystemRefused: if the file can not be read.
    """
    choice = _core.choose_threads()
    threads = min(threads or choice.threads, choice.limit)
    usable, reason = usable_memory()
    bandwidth = _bandwidth(model, threads, isa, usable)
    peak = max(_core.int8_peak(isa=isa, threads=threads) for _ in range(_INT8_ROUNDS))
    disk = None if model is None else disk_rate(model)
    processor = Processor(
        name=f"{threads} threads of this machine",
        memory_bytes=usable,
        decode_bandwidth=DECODE_SHARE * bandwidth,
        prefill_rate=PREFILL_SHARE * peak,
        layer_s=LAYER_S,
    )
    measured = "measured just now"
    return Device(
        name="this",
        title=f"this machine ({platform.machine()}, {platform.system()})",
        processors=(processor,),
        memory_bytes=physical_memory_bytes()[0],
        limited_by=reason,
        storage_bytes=_free_disk_bytes(folder),
        disk_bandwidth=None if disk is None else _DISK_SPREAD * disk,
        cores=threads,
        instruction_sets=tuple(_core.instruction_sets()),
        sources={"decode_bandwidth": measured, "int8_rate": measured, "memory_bytes": reason},
    )


def usable_memory(root: Path = Path("/")) -> tuple[int, str]:
    """What a model opened now could take, in bytes, and what sets that limit.

    The least of what the machine has available, what every control group above this process leaves, and what the limit
    on this process's address space leaves, which mapped files count against.

    Args:
        root: where `proc` and `sys` are.
    """
    memory = available_memory(root)
    usable, reason = memory.free_bytes, memory.limited_by
    left = _address_space_left(root)
    if left is not None and left < usable:
        return left, "the limit on this process's address space (ulimit -v)"
    return usable, reason


def disk_rate(path: Path) -> float | None:
    """Bytes per second that a file is read at when it is not in memory; None where the system does not drop it.

    Args:
        path: of the file; its first part is read.
    """
    if not hasattr(os, "posix_fadvise"):
        return None
    with path.open("rb", buffering=0) as file:
        size = min(_DISK_BYTES, path.stat().st_size)
        if size < _DISK_BYTES // 8:
            return None
        os.posix_fadvise(file.fileno(), 0, size, os.POSIX_FADV_DONTNEED)
        started_s = time.perf_counter()
        done = 0
        while done < size and (data := file.read(min(4 << 20, size - done))):
            done += len(data)
        took_s = time.perf_counter() - started_s
    return done / took_s if took_s > 0 else None


def _bandwidth(model: Path | None, threads: int, isa: str, usable_bytes: int) -> float:
    """Of the model's own bytes where they can all be in memory; of as many zeros as leave the caches if not."""
    if model is not None and _LEAST_MEASURED <= model.stat().st_size <= min(_LARGEST_MEASURED, usable_bytes // 2):
        return _read_bandwidth(model, threads, isa)
    with _zeros(min(_BANDWIDTH_BYTES, max(usable_bytes // 4, 1 << 20))) as path:
        return _read_bandwidth(path, threads, isa)


def _read_bandwidth(path: Path, threads: int, isa: str) -> float:
    file = _core.ModelFile(path)
    file.read_bandwidth(isa=isa, threads=threads)  # brings the pages in
    return max(file.read_bandwidth(isa=isa, threads=threads) for _ in range(_BANDWIDTH_ROUNDS))


@contextlib.contextmanager
def _zeros(size_bytes: int) -> Iterator[Path]:
    """A model file of one tensor of zeros, which takes memory when it is read and no room on the disk."""
    values = size_bytes // 4
    name = b"zeros"
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 0)
    header += struct.pack("<Q", len(name)) + name + struct.pack("<IQIQ", 1, values, _F32, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zeros.gguf"
        with path.open("wb") as file:
            file.write(header)
            file.truncate(-(-len(header) // 32) * 32 + 4 * values)
        yield path


def _free_disk_bytes(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _address_space_left(root: Path) -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return None
    try:
        pages = int((root / "proc" / "self" / "statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        pages = 0
    return max(0, soft - pages * resource.getpagesize())
