"""Blobs: files named for the SHA-256 of what they hold, which never change.

A blob is written under a temporary name by one writer, who holds the lock of that file, and gets its own name when it
is whole, on the disk and proven to hold what the name says. What has a temporary name and no holder was left by a
process that died.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from edgewise.errors import InvalidArgument, SystemRefused
from edgewise.store import locks
from edgewise.store.durable import make_folder, put_in_place, refusals, remove, sync_file
from edgewise.store.reflink import reflink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from edgewise.store.leases import Lease

PORTION_BYTES = 1 << 20
"""How much of a file is read at once."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_FILE = re.compile(r"sha256-([0-9a-f]{64})", re.ASCII)
_WRITE_BITS = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def checked_digest(text: object) -> str:
    """A digest, `sha256:` and 64 hexadecimal digits, in lower case; `sha256-` is taken for `sha256:`.

    Raises:
        InvalidArgument: if it is none.
    """
    digest = text.lower().replace("sha256-", "sha256:", 1) if isinstance(text, str) else ""
    if _DIGEST.fullmatch(digest) is None:
        raise InvalidArgument(f"invalid digest {text!r:.100}", hint="a digest is sha256: and 64 hexadecimal digits")
    return digest


@dataclass(frozen=True)
class Blob:
    """One that is there.

    Args:
        digest: `sha256:` and 64 hexadecimal digits.
        size_bytes: how much it holds.
    """

    digest: str
    size_bytes: int


class Blobs:
    """The blobs of a store.

    Args:
        root: the store's folder.
        lock: the store's lock.
    """

    def __init__(self, root: Path, lock: locks.FolderLock) -> None:
        self.folder = root / "blobs"
        self.unfinished = root / "unfinished"
        self.lock = lock

    def path(self, digest: str) -> Path:
        """Where a blob is, or would be.

        Raises:
            InvalidArgument: if that is no digest.
        """
        return self.folder / checked_digest(digest).replace(":", "-")

    def size(self, digest: str) -> int | None:
        """Bytes of a blob; None if there is none."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, digest: str, most_bytes: int) -> bytes:
        """What a small blob holds.

        Raises:
            SystemRefused: if it cannot be read, or holds more than `most_bytes`.
        """
        path = self.path(digest)
        with refusals(path), path.open("rb") as file:
            data = file.read(most_bytes + 1)
        if len(data) > most_bytes:
            raise SystemRefused(f"{path} has more than the {most_bytes} bytes that such a part of a model may have")
        return data

    def age_s(self, digest: str, now: float) -> float:
        """Seconds since a blob got its name, or was sent again."""
        with refusals(self.folder):
            status = self.path(digest).stat()
        return now - max(status.st_mtime, status.st_ctime)

    def all(self) -> Iterator[Blob]:
        """Every blob there is."""
        with contextlib.suppress(FileNotFoundError):
            for path in sorted(self.folder.iterdir()):
                if found := _FILE.fullmatch(path.name):
                    with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                        yield Blob(f"sha256:{found[1]}", path.stat().st_size)

    def upload(self, digest: str | None = None) -> Upload:
        """Begins a blob whose bytes come in portions.

        Args:
            digest: what they must be; None if that is not known before.

        Raises:
            InvalidArgument: if that is no digest.
            SystemRefused: if nothing can be written.
        """
        return Upload(self, None if digest is None else checked_digest(digest))

    def copy_in(
        self, source: Path, *, link: bool = False, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Upload:
        """A blob of a file's bytes, ready for `commit`.

        The file is linked in place of copied where nobody can write to it, or where `link` allows it: then it becomes
        read-only. A copy shares the disk's blocks where the file system can do that.

        Args:
            source: the file.
            link: whether the file may become the blob.
            progress: gets bytes done and bytes in all.

        Raises:
            SystemRefused: if it cannot be read, or nothing be written.
        """
        with refusals(source):
            status = source.stat()
            if stat.S_ISDIR(status.st_mode):
                raise SystemRefused(f"{source} is a folder, not a file")
            is_linked = link or (os.name == "posix" and status.st_mode & _WRITE_BITS == 0)
            upload = Upload(self, None, linked_to=source if is_linked else None)
        try:
            upload.fill(source, status.st_size, progress)
        except BaseException:
            upload.abort()
            raise
        return upload

    def remove(self, digest: str) -> int:
        """Removes a blob, for who holds the lock; gives the bytes that are free then."""
        size_bytes = self.size(digest)
        path = self.path(digest)
        with refusals(path):
            return size_bytes or 0 if remove(path) else 0

    def damage(self, digest: str, progress: Callable[[int], None] | None = None) -> str | None:
        """What is wrong with a blob: reads all of it; None if it holds what its name says."""
        path, sum_ = self.path(digest), hashlib.sha256()
        try:
            with path.open("rb") as file:
                while portion := file.read(PORTION_BYTES):
                    sum_.update(portion)
                    if progress is not None:
                        progress(len(portion))
        except FileNotFoundError:
            return "it is missing"
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        found = f"sha256:{sum_.hexdigest()}"
        return None if found == digest else f"its bytes have the digest {found}"


class Upload:
    """A blob in the making. Leaving its block without `commit` leaves nothing behind.

    Args:
        blobs: where it goes.
        digest: what its bytes must be; None if that is not known before.
        linked_to: a file that it is another name of, if the file system can do that.

    Attributes:
        path: where its bytes are until `commit`.
        is_linked: whether it is another name of a file.
        is_new: after `commit`, whether there was no such blob before.
    """

    def __init__(self, blobs: Blobs, digest: str | None, *, linked_to: Path | None = None) -> None:
        self._blobs = blobs
        self._expected = digest
        self._sum = hashlib.sha256()
        self._size_bytes = 0
        self.is_linked = False
        self.is_new = False
        self.path = blobs.unfinished / f"{secrets.token_hex(16)}.part"
        self._file: IO[bytes] | None = None
        with blobs.lock.held(), refusals(self.path):  # so that nobody finds it before it is locked
            make_folder(self.path.parent)
            self._file = None if linked_to is None else self._linked(linked_to)
            self.is_linked = self._file is not None
            if self._file is None:
                self._file = self.path.open("x+b", buffering=0)
                locks.try_lock(self._file.fileno())

    def _linked(self, source: Path) -> IO[bytes] | None:
        """The file under one more name; None on another file system, or one without links or such locks."""
        file = None
        try:
            os.link(os.path.realpath(source), self.path)
            file = self.path.open("rb", buffering=0)
            locks.try_lock(file.fileno())
        except OSError:
            if file is not None:
                file.close()
            remove(self.path)
            return None
        return file

    @property
    def digest(self) -> str:
        """Of the bytes that are there by now."""
        return f"sha256:{self._sum.hexdigest()}"

    def write(self, data: bytes | memoryview) -> None:
        """Appends bytes.

        Raises:
            SystemRefused: if the disk is full, or refuses otherwise; nothing is left then.
        """
        if self._file is None:
            raise InvalidArgument("this upload is over: nothing can be added")
        try:
            with refusals(self.path):
                rest = memoryview(data)
                while rest:
                    rest = rest[self._file.write(rest) :]
        except BaseException:
            self.abort()
            raise
        self._sum.update(data)
        self._size_bytes += len(data)

    def fill(self, source: Path, total: int, progress: Callable[[int, int], None]) -> None:
        """Takes all bytes from a file, or finds out what those of the linked one are."""
        if self._file is None:
            raise InvalidArgument("this upload is over: nothing can be added")
        with refusals(source), source.open("rb") as file:
            is_there = self.is_linked or reflink(file.fileno(), self._file.fileno())
            origin = self._file if is_there else file
            while portion := origin.read(PORTION_BYTES):
                if is_there:
                    self._sum.update(portion)
                    self._size_bytes += len(portion)
                else:
                    self.write(portion)
                progress(self._size_bytes, max(total, self._size_bytes))

    def commit(self, lease: Lease | None = None) -> Blob:
        """Makes the blob: durable, and proven to be what was expected.

        Args:
            lease: holds the blob from its first moment on.

        Raises:
            InvalidArgument: if the bytes have another digest; nothing is left then.
            SystemRefused: if the disk is full, or refuses otherwise; nothing is left then.
        """
        if self._file is None:
            raise InvalidArgument("this upload is over")
        blob = Blob(self.digest, self._size_bytes)
        try:
            if self._expected not in (None, blob.digest):
                raise InvalidArgument(
                    f"digest mismatch: expected {self._expected}, the {blob.size_bytes} bytes have {blob.digest}",
                    hint="the upload was damaged or cut off; send it again",
                )
            with refusals(self.path):
                if not self.is_linked:
                    sync_file(self._file)
                _forbid_writing(self.path)
                with self._blobs.lock.held():
                    if lease is not None:
                        lease.add(blob.digest)
                    self._close()  # Windows renames no open file; the lock above keeps others away from it
                    self._put(blob)
        finally:
            self.abort()
        return blob

    def abort(self) -> None:
        """Leaves nothing behind; does nothing after `commit`."""
        self._close()
        with contextlib.suppress(OSError):  # what stays is collected as garbage later
            remove(self.path)

    def _put(self, blob: Blob) -> None:
        path = self._blobs.path(blob.digest)
        make_folder(path.parent)
        self.is_new = not path.exists()
        try:
            put_in_place(self.path, path)  # also over one that is there: it may be damaged, and this one is proven
        except PermissionError:
            if os.name == "posix" or self.is_new:
                raise
            os.utime(path)  # Windows replaces no file that is mapped

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


def _forbid_writing(path: Path) -> None:
    """Takes the permission to write, and leaves who may read; a linked file may be somebody else's."""
    mode = path.stat().st_mode
    if mode & _WRITE_BITS:
        path.chmod(stat.S_IMODE(mode) & ~_WRITE_BITS)
