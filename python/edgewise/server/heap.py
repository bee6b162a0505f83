"""One heap for all threads, so that a server's memory stays where its requests bring it."""

from __future__ import annotations

import sys

_M_ARENA_MAX = -8  # Source: malloc.h of the GNU C library


def share_heap() -> bool:
    """Lets threads allocate from one arena in place of one each, whose holes add up where many clients come at once.

    Returns:
        Whether the system's C library has such a setting and took it.
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1))
    except (AttributeError, OSError):  # musl has one heap
        return False
