"""How much memory there is, and how much this process has used."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def peak_memory_bytes() -> int:
    """The most memory that this process has had resident, mapped file pages included; 0 where nobody counts."""
    try:
        # Linux: what `getrusage` says begins with the peak of the process that started this one.
        status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def physical_memory_bytes() -> tuple[int, int]:
    """Physical memory in all, and what is free now; zeros where the system does not say."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page
    except (AttributeError, ValueError, OSError):
        return 0, 0
