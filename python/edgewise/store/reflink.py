"""Copies that share the blocks of their source until one of them changes, on file systems that have that."""

from __future__ import annotations

import sys

# From linux/fs.h: _IOW(0x94, 9, int). Btrfs, XFS, bcachefs and others know it.
_FICLONE = 0x40049409


def reflink(source: int, target: int) -> bool:
    """Makes an empty file a copy of another; False if the file system, or the operating system, does not do that.

    Args:
        source: descriptor of a file that can be read.
        target: descriptor of an empty file that can be written.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True
