"""Locks on files, between processes and between threads. The system frees those of a process that dies."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from edgewise.store.durable import make_folder, refusals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    # Windows locks bytes, and a locked byte cannot be read: it is one that no file has.
    _BYTE = 1 << 30
    _PAUSE_S = 0.02

    def _take(descriptor: int, *, wait: bool) -> bool:
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            while True:
                os.lseek(descriptor, _BYTE, os.SEEK_SET)
                try:
                    msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                    return True
                except OSError:
                    if not wait:
                        return False
                time.sleep(_PAUSE_S)
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)

else:
    import fcntl

    def _take(descriptor: int, *, wait: bool) -> bool:
        try:
            # Not lockf: its locks are the process's, so that threads would not keep each other out.
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True


def try_lock(descriptor: int) -> bool:
    """Locks an open file until it is closed; False if another one has."""
    return _take(descriptor, wait=False)


def is_held(path: Path) -> bool:
    """Whether somebody who lives holds the lock of a file that is there."""
    try:
        descriptor = os.open(path, os.O_RDWR)  # some network file systems lock no file that is open to be read only
    except PermissionError:
        descriptor = os.open(path, os.O_RDONLY)
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


class FolderLock:
    """Who holds it is the only one that changes a folder. A thread may take it again while it has it.

    Args:
        path: a file that is made for it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread_lock = threading.RLock()
        self._depth = 0
        self._descriptor = -1

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Waits for the lock and holds it.

        Raises:
            SystemRefused: if its file cannot be written.
        """
        with self._thread_lock:
            if self._depth == 0:
                self._open()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    os.close(self._descriptor)

    def _open(self) -> None:
        with refusals(self._path):
            make_folder(self._path.parent)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _take(self._descriptor, wait=True)
            except BaseException:
                os.close(self._descriptor)
                raise
