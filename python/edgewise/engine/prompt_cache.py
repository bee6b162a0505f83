"""Prompts on disk: what one process computed, the next one reads back.

An entry is the beginning of a prompt in whole blocks of 32 tokens, with its part of the KV cache, as the core saved it.
Its name tells which prompts it serves, so that finding the best one reads a folder and no file:

    KEY-TOKENS-MARKS-END.kv      KEY: model, cache formats and namespace; MARKS, END: hashes of beginnings
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
import time
from array import array
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.errors import ContextFull, EdgewiseError, InvalidArgument, SystemRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edgewise import _core

BLOCK = 32  # tokens, as in the core's KV cache
MOST_MARKS = 16  # keeps names below 143 characters, the least that a common file system allows
LEAST_READ = 2 * BLOCK  # tokens; fewer are computed as fast as they are found
MOST_COPIED_BYTES = 64 << 20  # of an entry: what is written is copied first; of a longer prompt, its beginning is kept
LEAST_WRITTEN = 256  # tokens that no entry holds yet; fewer are not worth a write

DEFAULT_BYTES = 1 << 30
DEFAULT_SHARE_OF_FREE = 0.05
TOUCH_AFTER_S = 3600.0  # an entry's time of use is this coarse, to spare the disk
ABANDONED_AFTER_S = 3600.0  # what a process left half written

_NAME = re.compile(r"([0-9a-f]{16})-([0-9]{1,9})-([0-9a-f]*)-([0-9a-f]{16})\.kv")
_UNFINISHED = re.compile(r"writing-\w+\.part")


@dataclass(frozen=True)
class Entry:
    """A prompt on disk, as its name describes it.

    Args:
        key: what it fits: model, cache formats, namespace.
        tokens: its length, a multiple of `BLOCK`.
        marks: 4 hexadecimal digits of the hash of every `step`-th beginning.
        end: 16 of the hash of all of it.
    """

    key: str
    tokens: int
    marks: str
    end: str

    @staticmethod
    def of(key: str, beginnings: Sequence[str]) -> Entry:
        """The entry of a prompt with these hashes."""
        step = _step(len(beginnings))
        marks = "".join(digest[:4] for digest in beginnings[step - 1 :: step])
        return Entry(key, len(beginnings) * BLOCK, marks, beginnings[-1])

    @staticmethod
    def named(name: str) -> Entry | None:
        """The entry with a name; None if it is no entry's."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        key, tokens, marks, end = match.groups()
        return Entry(key, int(tokens), marks, end)

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.key}-{self.tokens}-{self.marks}-{self.end}.kv"

    def shared(self, beginnings: Sequence[str]) -> int:
        """How many tokens it has in common with a prompt, at least; all of its own only if that is sure."""
        blocks = self.tokens // BLOCK
        if 0 < blocks <= len(beginnings) and beginnings[blocks - 1] == self.end:
            return self.tokens
        step, count = _step(blocks), 0
        for digest in beginnings[step - 1 :: step]:
            if not digest.startswith(self.marks[4 * count :][:4] or "-"):
                break
            count += 1
        return count * step * BLOCK


def hashes(key: str, tokens: Sequence[int]) -> list[str]:
    """A hash of every beginning of whole blocks, 16 hexadecimal digits each."""
    chain, result = blake2b(key.encode(), digest_size=8), []
    for start in range(0, len(tokens) - BLOCK + 1, BLOCK):
        chain.update(array("I", tokens[start : start + BLOCK]).tobytes())
        result.append(chain.copy().hexdigest())
    return result


class PromptCache:
    """The prompts of one model in a folder that it shares with other models and processes.

    Nothing here raises: a cache that cannot be read or written is one that holds nothing.

    Args:
        folder: only the user may enter it; made where it is not there.
        size_bytes: what all entries together may take; None for 1 GiB, or 5 % of the free space if that is less.
        model: says which model it is, beyond what its session's fingerprint tells.
        clock: seconds since 1970.
    """

    def __init__(
        self, folder: Path, size_bytes: int | None, model: str, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self._size_bytes = size_bytes
        self._model = model
        self._clock = clock
        self._writer: threading.Thread | None = None
        self._can_write = True

    def extend(
        self, session: _core.Session, tokens: Sequence[int], held: int, namespace: str = "", *, sequence: int = 0
    ) -> int:
        """Appends to a sequence, which holds the first `held` tokens of a prompt, what an entry has of the rest.

        Returns:
            How many tokens of the prompt it holds then.
        """
        if len(tokens) - held < LEAST_READ:
            return held
        key = self._key(session, namespace)
        beginnings = hashes(key, tokens)
        found = [(entry.shared(beginnings), entry) for entry in self._entries() if entry.key == key]
        for shared, entry in sorted(found, key=lambda one: one[0], reverse=True):
            if shared <= held:
                break
            path = self.folder / entry.name
            try:
                held = session.recall(path, tokens, sequence=sequence)
            except InvalidArgument:  # damaged
                _delete(path)
            except SystemRefused:  # deleted meanwhile, or unreadable
                continue
            except ContextFull:
                break
            else:
                self._touch(path)
                break
        return held

    def keep(self, session: _core.Session, tokens: Sequence[int], namespace: str = "", *, sequence: int = 0) -> None:
        """Writes a prompt, which a sequence begins with, in the background, if that is worth it.

        It is where the disk lacks at least 256 tokens and a third of it.
        """
        if len(tokens) < LEAST_WRITTEN or not self._can_write or (self._writer and self._writer.is_alive()):
            return
        key = self._key(session, namespace)
        beginnings = hashes(key, tokens)
        copied_bytes = session.beginning_bytes(len(beginnings) * BLOCK)
        if copied_bytes > MOST_COPIED_BYTES:
            beginnings = beginnings[: len(beginnings) * MOST_COPIED_BYTES // copied_bytes]
        if len(beginnings) * BLOCK < LEAST_WRITTEN:
            return
        entry = Entry.of(key, beginnings)
        found = [(other.shared(beginnings), other) for other in self._entries() if other.key == key]
        covered = max((shared for shared, _ in found), default=0)
        if entry.tokens - covered < max(LEAST_WRITTEN, covered // 2):
            return
        if session.beginning_bytes(entry.tokens) > self.budget_bytes():
            return
        replaced = [other.name for shared, other in found if shared == other.tokens]
        try:
            state = session.save_beginning(entry.tokens, sequence=sequence)
        except (EdgewiseError, MemoryError):  # no memory for the copy
            return
        self._writer = threading.Thread(target=self._write, args=(entry.name, state, replaced), name="edgewise-prompt")
        try:
            self._writer.start()
        except RuntimeError:  # no more threads, or the interpreter is about to end
            self._writer = None

    def close(self) -> None:
        """Waits for a write in progress."""
        if self._writer is not None and self._writer.ident is not None:
            self._writer.join()

    def size_bytes(self) -> int:
        """What all entries together take now."""
        return sum(status.st_size for _, status in self._files())

    def budget_bytes(self) -> int:
        """What all entries together may take now."""
        if self._size_bytes is not None:
            return self._size_bytes
        import shutil

        try:
            existing = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
            free = shutil.disk_usage(existing).free
        except (OSError, StopIteration):
            return 0
        return min(DEFAULT_BYTES, int((free + self.size_bytes()) * DEFAULT_SHARE_OF_FREE))

    def _key(self, session: _core.Session, namespace: str) -> str:
        """Different for everything that must not be mixed up; tells nothing about the namespace."""
        parts = [f"{session.fingerprint:016x}", self._model, namespace]
        return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def _entries(self) -> list[Entry]:
        try:
            if not self._is_private():
                return []
            return [entry for path in self.folder.iterdir() if (entry := Entry.named(path.name)) is not None]
        except OSError:
            return []

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Everything of the cache, half-written files included."""
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                if _NAME.fullmatch(path.name) or _UNFINISHED.fullmatch(path.name):
                    with contextlib.suppress(OSError):  # another process deleted it
                        yield path, path.stat()

    def _is_private(self) -> bool:
        """Whether the folder is the user's own, and nobody else's to read or write."""
        status = self.folder.stat()
        if os.name != "posix":
            return stat.S_ISDIR(status.st_mode)
        is_own = status.st_uid == os.geteuid()
        return stat.S_ISDIR(status.st_mode) and is_own and stat.S_IMODE(status.st_mode) & 0o077 == 0

    def _touch(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            if self._clock() - path.stat().st_mtime > TOUCH_AFTER_S:
                os.utime(path, (self._clock(), self._clock()))

    def _write(self, name: str, state: bytes, replaced: list[str]) -> None:
        import tempfile

        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if not self._is_private():
                self._can_write = False
                return
            self._make_room(len(state))
            descriptor, temporary = tempfile.mkstemp(prefix="writing-", suffix=".part", dir=self.folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(state)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).replace(self.folder / name)
            except BaseException:
                _delete(Path(temporary))
                raise
        except OSError:
            self._can_write = False  # a full disk stays full; the next process tries again
            return
        for other in replaced:
            _delete(self.folder / other)

    def _make_room(self, size_bytes: int) -> None:
        """Deletes what was used least recently until as much fits, and what other processes left half written."""
        files = []
        for path, status in self._files():
            if path.suffix == ".part" and self._clock() - status.st_mtime > ABANDONED_AFTER_S:
                _delete(path)
            else:
                files.append((status.st_mtime, status.st_size, path))
        excess = sum(size for _, size, _ in files) + size_bytes - self.budget_bytes()
        for _, size, path in sorted(files):
            if excess <= 0:
                break
            if path.suffix == ".kv":
                _delete(path)
                excess -= size


def _step(blocks: int) -> int:
    """From one mark to the next, in blocks."""
    step = 1
    while blocks // step > MOST_MARKS:
        step *= 2
    return step


def _delete(path: Path) -> None:
    """Deletes a file; whoever has it open reads on. Where that is not possible, it stays."""
    with contextlib.suppress(OSError):
        path.unlink()
