"""Leases: who uses blobs, or is about to, keeps them from being removed. They end with the process at the latest."""

from __future__ import annotations

import contextlib
import json
import secrets
from typing import IO, TYPE_CHECKING

from edgewise.store import locks
from edgewise.store.durable import make_folder, refusals, remove

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self


class Lease:
    """Keeps blobs until `close`. Its file is locked as long as its holder lives, and lists the digests.

    Args:
        folder: of the leases.
        lock: the store's lock.
        digests: the first blobs to keep.
    """

    def __init__(self, folder: Path, lock: locks.FolderLock, digests: Iterable[str] = ()) -> None:
        self._lock = lock
        self._path = folder / f"{secrets.token_hex(16)}.lease"
        self._file: IO[bytes] | None = None
        with lock.held(), refusals(self._path):
            make_folder(folder)
            self._file = self._path.open("xb", buffering=0)
            locks.try_lock(self._file.fileno())
            for digest in digests:
                self.add(digest)

    def add(self, digest: str) -> None:
        """Keeps one more blob, which may not be there yet."""
        with self._lock.held(), refusals(self._path):
            if self._file is not None:
                self._file.write(json.dumps(digest).encode() + b"\n")

    def close(self) -> None:
        """Ends the lease."""
        if self._file is None:
            return
        with self._lock.held():
            self._file.close()
            self._file = None
            with contextlib.suppress(OSError):  # the next collection of garbage removes it
                remove(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def leased(folder: Path) -> set[str]:
    """What live leases keep, for who holds the store's lock. Those of the dead are removed."""
    kept: set[str] = set()
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(folder.iterdir()):
            if path.suffix != ".lease":
                continue
            with contextlib.suppress(FileNotFoundError):
                if locks.is_held(path):
                    kept.update(json.loads(line) for line in path.read_bytes().splitlines())
                else:
                    remove(path)
    return kept
