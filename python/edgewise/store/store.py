"""The store: models by name in one folder, for every process and thread at once.

Reading takes no lock: names, manifests and blobs are replaced as a whole. What changes the store holds its lock for
moments, never while bytes are copied, and is whole after each step, so that whoever dies leaves garbage at most.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.engine.models import DEMO
from edgewise.errors import EdgewiseError, InvalidArgument, ModelFileError, NotFound
from edgewise.store import hugging_face, installed, ollama, split_models, unfinished
from edgewise.store.blobs import Blobs
from edgewise.store.creation import Creation, Workers
from edgewise.store.installed import InstalledModel, Keeper
from edgewise.store.leases import Lease, leased
from edgewise.store.locks import FolderLock
from edgewise.store.manifest import MOST_BYTES, Manifest, digest_of
from edgewise.store.names import ModelName
from edgewise.store.references import Reference, References

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edgewise.store.blobs import Blob, Upload
    from edgewise.store.creation import Recipe

DEMO_NAME = ModelName.parse("demo")
"""The model in this package: always there, not to be replaced or removed."""

GRACE_S = 24 * 3600.0
"""How long a blob that no model needs is kept: who uploads one names it in a later request."""


class Store:
    """Installed models.

    Args:
        root: the store's folder; made when something is first put into it.
        ollama_folder: where Ollama keeps models, which are then listed and run in place; None to leave them out.
        hugging_face_folder: the same of the Hugging Face cache.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        root: Path,
        *,
        ollama_folder: Path | None = None,
        hugging_face_folder: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.root = root.absolute()
        self.lock = FolderLock(self.root / "lock")
        self.blobs = Blobs(self.root, self.lock)
        self.references = References(self.root)
        self._ollama = ollama_folder
        self._hugging_face = hugging_face_folder
        self._clock = clock
        self._keeper = Keeper("edgewise", self.blobs.path, self.blobs.read, self._model_path)

    def resolve(self, name: str | ModelName) -> InstalledModel:
        """The model of a name. A path is no name: see `find`.

        Raises:
            InvalidArgument: if that is no name.
            NotFound: if no model has it.
            ModelFileError: if the store is damaged there.
        """
        name = name if isinstance(name, ModelName) else ModelName.parse(name)
        model = self._by_reference(name)
        if model is not None:
            return model
        if name.key == DEMO_NAME.key:
            return self._demo()
        for model in self._foreign(name):
            return model
        raise NotFound(f"model {str(name)!r} not found", hint="`edgewise list` says which models are there")

    def find(self, text: str) -> InstalledModel:
        """The model at a path, or of a name; for who may read any file, such as the command line.

        Raises:
            InvalidArgument: if that is neither a file nor a name.
            NotFound: if there is neither a file nor a model.
            ModelFileError: if the file is malformed, or the store is damaged there.
            SystemRefused: if the file cannot be read.
        """
        path = Path(text)
        if is_file(path):
            when = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
            return installed.in_place(path, str(path), "file", when)
        return self.resolve(text)

    def list(self) -> list[InstalledModel]:
        """Every model, the newest first; the demo model where there is no other. What is damaged, `verify` tells."""
        models = []
        for reference in self.references.sound():
            with contextlib.suppress(EdgewiseError):
                model = self._by_reference(reference.name)
                if model is not None:
                    models.append(model)
        names = {ModelName.parse(model.name).key for model in models}
        for model in self._foreign():
            key = ModelName.parse(model.name).key
            if key not in names:
                names.add(key)
                models.append(model)
        models.sort(key=lambda model: (-model.modified_at.timestamp(), model.name))
        if not models and DEMO.is_file():
            models.append(self._demo())
        return models

    def create(self, name: str | ModelName, recipe: Recipe, workers: Workers | None = None) -> InstalledModel:
        """Makes a model, and gives it a name, which may have meant another one before.

        Args:
            name: of the new model.
            recipe: what it is made of.
            workers: what quantizes, converts and reports.

        Raises:
            InvalidArgument: if the name or the recipe is not sound.
            ModelFileError: if a file is malformed, with the finding of the core; nothing is left of it then.
            NotFound: if there is no model that it is made from.
            SystemRefused: if the disk is full, or refuses otherwise; nothing is left then.
            UnsupportedError: if something of it cannot be done here.
        """
        name = self._free_name(name)
        dropped: set[str] = set()
        with Lease(self.root / "leases", self.lock) as lease:
            creation = Creation(self.blobs, lease, self._base, workers or Workers())
            try:
                manifest = creation.manifest(recipe)
                digest = creation.write(manifest)
                dropped = self._name(name, digest)
            except BaseException:
                dropped = creation.brought | creation.malformed
                raise
            finally:
                lease.close()
                self._drop(dropped)
        return self.resolve(name)

    def copy(self, source: str | ModelName, destination: str | ModelName) -> None:
        """Gives a model one more name.

        Raises:
            InvalidArgument: if one is no name, or the destination is `demo`.
            NotFound: if there is no such model.
        """
        from edgewise.store.creation import Recipe

        source = source if isinstance(source, ModelName) else ModelName.parse(source)
        destination = self._free_name(destination)
        with self.lock.held():
            reference = self.references.get(source)
            if reference is not None:
                replaced = self._name(destination, reference.digest)
                self._drop(replaced)
                return
        self.create(destination, Recipe(source=str(source)))

    def delete(self, name: str | ModelName) -> None:
        """Takes a name away, and removes the blobs that no other name needs and nobody uses.

        Raises:
            InvalidArgument: if that is no name, or `demo`, or somebody else's to remove.
            NotFound: if there is no such model.
        """
        name = name if isinstance(name, ModelName) else ModelName.parse(name)
        with self.lock.held():
            digests: set[str] = set()
            with contextlib.suppress(EdgewiseError):  # damaged: its name can go all the same
                reference = self.references.get(name)
                if reference is not None:
                    digests.add(reference.digest)
                    digests |= self._manifest(reference.digest).digests
            if self.references.remove(name):
                self._drop(digests)
                return
            model = self.resolve(name)  # somebody else's
        keeper = {"package": "is part of this package"}.get(model.origin, f"is kept by {model.origin}")
        raise InvalidArgument(f"model {str(name)!r} {keeper} at {model.path} and not removed by Edgewise")

    def upload(self, digest: str | None = None) -> Upload:
        """Begins a blob; see `Upload`. It is kept for a day, if no model takes it."""
        return self.blobs.upload(digest)

    def has_blob(self, digest: str) -> bool:
        """Whether a blob is there.

        Raises:
            InvalidArgument: if that is no digest.
        """
        return self.blobs.size(digest) is not None

    def lease(self, model: InstalledModel) -> Lease:
        """Keeps a model's blobs, whatever happens to its names, until the lease is closed or this process ends."""
        return Lease(self.root / "leases", self.lock, sorted({model.digest, *model.digests}))

    def manifest(self, reference: Reference) -> Manifest:
        """The manifest that a name means.

        Raises:
            ModelFileError: if it is missing or damaged.
        """
        return self._manifest(reference.digest)

    def unneeded(self) -> tuple[Blob, ...]:
        """Blobs that no name needs and nobody uses.

        Raises:
            ModelFileError: if that cannot be told, because a name or a manifest is damaged.
        """
        with self.lock.held():
            needed = self._needed()
            return tuple(blob for blob in self.blobs.all() if blob.digest not in needed)

    def collect(self, grace_s: float = GRACE_S) -> int:
        """Removes what nobody needs: such blobs, and what processes left that died. Gives the bytes that are free then.

        Args:
            grace_s: age from which a blob goes, in seconds.

        Raises:
            ModelFileError: if it cannot be told what is needed, because a name or a manifest is damaged.
        """
        if not self.root.is_dir():
            return 0
        with self.lock.held():
            freed = unfinished.remove_abandoned(self.blobs.unfinished)
            now = self._clock()
            for blob in self.unneeded():
                if grace_s <= 0 or self.blobs.age_s(blob.digest, now) >= grace_s:
                    freed += self.blobs.remove(blob.digest)
            self._forget_split({reference.digest for reference in self.references.all()})
        return freed

    def _by_reference(self, name: ModelName) -> InstalledModel | None:
        """The model that the store has under a name; None if it has none."""
        while True:
            reference = self.references.get(name)
            if reference is None:
                return None
            try:
                return self._installed(reference)
            except EdgewiseError:  # damage, or the name was given anew, or removed, while it was read
                if self.references.get(name) == reference:
                    raise

    def _installed(self, reference: Reference) -> InstalledModel:
        manifest = self._manifest(reference.digest)
        name = str(reference.name)
        return installed.from_manifest(name, reference.digest, manifest, reference.modified_at, self._keeper)

    def _manifest(self, digest: str) -> Manifest:
        path = self.blobs.path(digest)
        try:
            data = self.blobs.read(digest, MOST_BYTES)
        except EdgewiseError as error:
            raise ModelFileError(f"manifest {path}: {error.message}", hint=_DAMAGED_HINT) from error
        if digest_of(data) != digest:
            raise ModelFileError(f"manifest {path} is damaged: its bytes have another digest", hint=_DAMAGED_HINT)
        return Manifest.decode(data, path)

    def _model_path(self, digest: str, blobs: Sequence[Blob]) -> Path:
        paths = [self.blobs.path(blob.digest) for blob in blobs]
        if len(paths) == 1:
            return paths[0]
        return split_models.first_part(self.root / "split" / digest.replace(":", "-"), paths)

    def _demo(self) -> InstalledModel:
        if not DEMO.is_file():
            raise NotFound("this installation has no demo model", hint="`edgewise import` installs a GGUF file")
        status = DEMO.stat()
        when = datetime.fromtimestamp(status.st_mtime, timezone.utc)
        return installed.in_place(DEMO, str(DEMO_NAME), "package", when, _demo_digest(status.st_mtime_ns))

    def _foreign(self, name: ModelName | None = None) -> Iterable[InstalledModel]:
        """Models that others keep; only those of a name, if one is given."""
        if self._ollama is not None:
            yield from ollama.models(self._ollama, self.root / "split", name)
        if self._hugging_face is not None:
            yield from hugging_face.models(self._hugging_face, name)

    def _base(self, name: str, lease: Lease) -> tuple[InstalledModel, Manifest | None]:
        """A model to make another one from, kept by a lease from now on; its manifest if the store has one."""
        with self.lock.held():
            model = self.resolve(name)
            if model.origin != "edgewise":
                return model, None
            manifest = self._manifest(model.digest)
            for digest in manifest.digests:
                lease.add(digest)
        return model, manifest

    def _free_name(self, name: str | ModelName) -> ModelName:
        name = name if isinstance(name, ModelName) else ModelName.parse(name)
        if name.key == DEMO_NAME.key:
            raise InvalidArgument(f"{str(name)!r} is the name of the model in this package", hint="choose another name")
        return name

    def _name(self, name: ModelName, digest: str) -> set[str]:
        """Gives a name a meaning; what it meant before may not be needed any more."""
        with self.lock.held():
            before: set[str] = set()
            with contextlib.suppress(EdgewiseError):  # damaged: it is replaced
                reference = self.references.get(name)
                if reference is not None:
                    name = reference.name
                    before = {reference.digest, *self._manifest(reference.digest).digests}
            self.references.put(Reference(name, digest, datetime.fromtimestamp(self._clock(), timezone.utc)))
            return before

    def _needed(self) -> set[str]:
        needed = leased(self.root / "leases")
        for reference in self.references.all():
            needed.add(reference.digest)
            needed |= self._manifest(reference.digest).digests
        return needed

    def _drop(self, digests: set[str]) -> None:
        """Removes those blobs among some that nobody needs; what cannot be removed now is garbage, and found later."""
        if not digests:
            return
        with contextlib.suppress(EdgewiseError), self.lock.held():
            for digest in digests - self._needed():
                self.blobs.remove(digest)
                shutil.rmtree(self.root / "split" / digest.replace(":", "-"), ignore_errors=True)

    def _forget_split(self, digests: set[str]) -> None:
        with contextlib.suppress(FileNotFoundError):
            for folder in (self.root / "split").iterdir():
                if folder.name.replace("sha256-", "sha256:", 1) not in digests:
                    shutil.rmtree(folder, ignore_errors=True)


_DAMAGED_HINT = "`edgewise verify` says what is damaged; create or import the model again, or remove it: `edgewise rm`"


@functools.cache
def _demo_digest(time_ns: int) -> str:
    return digest_of(DEMO.read_bytes())


def is_file(path: Path) -> bool:
    """Whether there is a file at a path; a text that can be no path is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
