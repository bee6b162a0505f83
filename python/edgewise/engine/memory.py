"""How much memory this process has used."""

from __future__ import annotations

import sys


def peak_memory_bytes() -> int:
    """The most memory that this process has had resident, mapped file pages included; 0 where nobody counts."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
