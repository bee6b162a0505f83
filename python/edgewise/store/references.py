"""Which manifest a name means: one small JSON file per name."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edgewise.errors import EdgewiseError, InvalidArgument, ModelFileError
from edgewise.store.blobs import checked_digest
from edgewise.store.durable import make_folder, put_in_place, refusals, remove, sync_file, sync_folder
from edgewise.store.manifest import canonical, json_object
from edgewise.store.names import ModelName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Reference:
    """A name and what it means.

    Args:
        name: as it was first written.
        digest: of the manifest.
        modified_at: when the name got this meaning.
    """

    name: ModelName
    digest: str
    modified_at: datetime


class References:
    """The names of a store. Who changes them holds the store's lock.

    Args:
        root: the store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "names"
        self._unfinished = root / "unfinished"

    def get(self, name: ModelName) -> Reference | None:
        """What a name means; None if it means nothing.

        Raises:
            ModelFileError: if its file is damaged.
            SystemRefused: if its file cannot be read.
        """
        return self.read(self.folder / name.file)

    def all(self) -> Iterator[Reference]:
        """Every name.

        Raises:
            ModelFileError: if a file is damaged.
            SystemRefused: if a file cannot be read.
        """
        for path in self.paths():
            reference = self.read(path)
            if reference is not None:
                yield reference

    def sound(self) -> Iterator[Reference]:
        """Every name whose file is not damaged."""
        for path in self.paths():
            with contextlib.suppress(EdgewiseError):
                reference = self.read(path)
                if reference is not None:
                    yield reference

    def paths(self) -> list[Path]:
        """The files of all names."""
        return sorted(self.folder.glob("*/*/*/*.json"))

    def read(self, path: Path) -> Reference | None:
        """What the file of a name says; None if it is not there.

        Raises:
            ModelFileError: if it is damaged.
            SystemRefused: if it cannot be read.
        """
        with refusals(path):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return None
        content = json_object(data, path)
        try:
            name = ModelName.parse(str(content.get("name")))
            when = datetime.fromisoformat(str(content.get("modified_at")))
            digest = checked_digest(content.get("digest"))
        except (InvalidArgument, ValueError) as error:
            raise ModelFileError(f"{path}: {error}") from error
        if path.parts[-4:] != name.file.parts:
            raise ModelFileError(f"{path}: it is the file of another name than {name}, which it holds")
        return Reference(name, digest, when if when.tzinfo else when.replace(tzinfo=timezone.utc))

    def put(self, reference: Reference) -> None:
        """Gives a name its meaning, durably."""
        path = self.folder / reference.name.file
        content = {
            "name": str(reference.name),
            "digest": reference.digest,
            "modified_at": reference.modified_at.isoformat(),
        }
        temporary = self._unfinished / f"{secrets.token_hex(16)}.part"
        with refusals(path):
            make_folder(path.parent)
            make_folder(temporary.parent)
            try:
                with temporary.open("xb") as file:
                    file.write(canonical(content))
                    sync_file(file)
                put_in_place(temporary, path)
            finally:
                with contextlib.suppress(OSError):
                    remove(temporary)

    def remove(self, name: ModelName) -> bool:
        """Lets a name mean nothing, durably; False if it did not mean anything."""
        path = self.folder / name.file
        with refusals(path):
            if not remove(path):
                return False
            sync_folder(path.parent)
            for folder in list(path.parents)[:3]:
                with contextlib.suppress(OSError):  # other names are in it
                    folder.rmdir()
        return True
