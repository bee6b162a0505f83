"""Files that are there whole or not at all, also after the power went."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from edgewise.errors import EdgewiseError, SystemRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

_HINTS = {
    errno.ENOSPC: "free some space; `edgewise du` says what models take, `edgewise gc` removes what none needs",
    errno.EDQUOT: "the quota is used up; `edgewise du` says what models take",
    errno.EACCES: "EDGEWISE_HOME names another folder for models",
    errno.EROFS: "EDGEWISE_HOME names another folder for models",
}


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Makes errors of the system those of Edgewise.

    Args:
        path: named where the error names no file.

    Raises:
        SystemRefused: in place of an OSError.
    """
    try:
        yield
    except EdgewiseError:
        raise
    except OSError as error:
        finding = error.strerror or str(error)
        raise SystemRefused(f"{error.filename or path}: {finding}", hint=_HINTS.get(error.errno or 0)) from error


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, so that they stay."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_file(file: IO[bytes]) -> None:
    """Waits until a file's bytes are on the disk."""
    file.flush()
    if sys.platform == "darwin":  # where fsync leaves them in the disk's cache
        import fcntl

        try:
            fcntl.fcntl(file.fileno(), fcntl.F_FULLFSYNC)
        except OSError:  # a file system without it
            os.fsync(file.fileno())
        return
    os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Waits until the names in a folder are on the disk. Windows has no such call and needs none."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(temporary: Path, path: Path) -> None:
    """Gives a whole, synced file its name."""
    temporary.replace(path)
    sync_folder(path.parent)


def remove(path: Path) -> bool:
    """Removes a file; False if it is not there, or Windows does not let go of it."""
    if os.name != "posix":  # Windows removes no read-only file
        with contextlib.suppress(OSError):
            path.chmod(stat.S_IWRITE)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except PermissionError:
        if os.name == "posix":
            raise
        return False
    return True
