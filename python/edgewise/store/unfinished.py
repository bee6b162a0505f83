"""What is being made: a folder for work in progress, and removal of what was left by those who died."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from typing import IO, TYPE_CHECKING

from edgewise.store import locks
from edgewise.store.durable import make_folder, refusals, remove

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_LOCK = "lock"


class WorkFolder:
    """A folder for files on their way to become blobs; it and they are gone when the block ends.

    Args:
        unfinished: where it is made.
        lock: the store's lock.
    """

    def __init__(self, unfinished: Path, lock: locks.FolderLock) -> None:
        self.path = unfinished / f"{secrets.token_hex(16)}.work"
        self._lock = lock
        self._file: IO[bytes] | None = None

    def stage(self, file: Path, name: str) -> Path:
        """Another name of a file inside the folder: a link where the file system has them, or else a copy."""
        path = self.path / name
        with refusals(path):
            make_folder(path.parent)
            for way in (os.link, os.symlink, shutil.copyfile):
                with contextlib.suppress(OSError):
                    way(file.absolute(), path)
                    return path
            shutil.copyfile(file, path)  # again, for its error
        return path

    def __enter__(self) -> WorkFolder:
        with self._lock.held(), refusals(self.path):
            make_folder(self.path)
            self._file = (self.path / _LOCK).open("xb")
            locks.try_lock(self._file.fileno())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock.held():
            if self._file is not None:
                self._file.close()
                self._file = None
            shutil.rmtree(self.path, ignore_errors=True)  # what stays is collected as garbage later


def remove_abandoned(unfinished: Path) -> int:
    """Removes what nobody works on any more, for who holds the store's lock; gives the bytes that are free then."""
    freed = 0
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(unfinished.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                freed += _remove_folder(path) if path.is_dir() else _remove_file(path)
    return freed


def size_bytes(unfinished: Path) -> int:
    """What everything unfinished takes."""
    total = 0
    for path in unfinished.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.lstat().st_size if path.is_file() and path.lstat().st_nlink == 1 else 0
    return total


def _remove_file(path: Path) -> int:
    if locks.is_held(path):
        return 0
    freed = path.stat().st_size
    return freed if remove(path) else 0


def _remove_folder(path: Path) -> int:
    lock = path / _LOCK
    if lock.exists() and locks.is_held(lock):
        return 0
    freed = size_bytes(path)
    shutil.rmtree(path, ignore_errors=True)
    return freed
