"""What a store takes, and whether it is what it says: reads, and changes nothing unless asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.errors import EdgewiseError, ModelFileError
from edgewise.store import unfinished

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewise.store.manifest import Manifest
    from edgewise.store.store import Store


@dataclass(frozen=True)
class Problem:
    """Something that is not what it should be.

    Args:
        thing: a name, a blob or a file.
        finding: what is wrong with it.
        models: the names that need it.
    """

    thing: str
    finding: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class Usage:
    """What a store takes on the disk, in bytes.

    Args:
        models: of each name, all that it needs; blobs that several need are in each.
        alone: of each name, what would be free without it.
        total: all blobs.
        unneeded: blobs that no name needs and nobody uses; None where damage keeps that from being told.
        unfinished: what is being written, or was left by processes that died.
    """

    models: dict[str, int]
    alone: dict[str, int]
    total: int
    unneeded: int | None
    unfinished: int


def verify(
    store: Store,
    *,
    removes_damaged: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Problem]:
    """Reads every byte of a store, and compares.

    Args:
        store: the one.
        removes_damaged: whether damaged blobs are removed, so that they can be written anew.
        progress: gets bytes done and bytes in all.
    """
    if not store.root.is_dir():
        return []
    with store.lock.held():
        problems, needed = _names(store)
    blobs = {blob.digest: blob.size_bytes for blob in store.blobs.all()}
    done, total = 0, sum(blobs.values())

    def advance(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        progress(done, max(total, done))

    for digest in sorted({*blobs, *needed}):
        finding = store.blobs.damage(digest, advance)
        if finding is None:
            continue
        with store.lock.held():
            models = tuple(sorted(_names(store)[1].get(digest, ())))
            if not store.has_blob(digest) and not models:  # removed meanwhile, as it should be
                continue
            problems.append(Problem(digest, finding, models))
            if removes_damaged:
                store.blobs.remove(digest)
    return problems


def usage(store: Store) -> Usage:
    """Adds up what a store takes; damaged names count nothing."""
    manifests: dict[str, tuple[str, Manifest]] = {}
    for reference in store.references.sound():
        try:
            manifests[str(reference.name)] = reference.digest, store.manifest(reference)
        except EdgewiseError:
            continue
    sizes = {blob.digest: blob.size_bytes for blob in store.blobs.all()}
    needs = {name: {digest, *manifest.digests} for name, (digest, manifest) in manifests.items()}
    alone = {
        name: sum(
            sizes.get(digest, 0)
            for digest in digests
            if not any(digest in others for other, others in needs.items() if other != name)
        )
        for name, digests in needs.items()
    }
    return Usage(
        models={name: sum(sizes.get(digest, 0) for digest in digests) for name, digests in needs.items()},
        alone=alone,
        total=sum(sizes.values()),
        unneeded=_unneeded(store),
        unfinished=unfinished.size_bytes(store.blobs.unfinished),
    )


def _unneeded(store: Store) -> int | None:
    if not store.root.is_dir():
        return 0
    try:
        return sum(blob.size_bytes for blob in store.unneeded())
    except ModelFileError:
        return None


def _names(store: Store) -> tuple[list[Problem], dict[str, set[str]]]:
    """What is wrong with names and manifests; and for each blob that is needed the names that need it."""
    problems: list[Problem] = []
    needed: dict[str, set[str]] = {}
    for path in store.references.paths():
        name = path.relative_to(store.references.folder).as_posix().removesuffix(".json")
        try:
            reference = store.references.read(path)
            if reference is None:  # removed meanwhile
                continue
            name = str(reference.name)
            needed.setdefault(reference.digest, set()).add(name)
            manifest = store.manifest(reference)
        except EdgewiseError as error:
            problems.append(Problem(name, error.message, (name,)))
            continue
        for digest in manifest.digests:
            needed.setdefault(digest, set()).add(name)
    return problems, needed
