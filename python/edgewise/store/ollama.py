"""Models that Ollama keeps, run where they are.

Its folder has `manifests/HOST/NAMESPACE/MODEL/TAG` and `blobs/sha256-HEX`. Nothing in it is ever changed.
"""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edgewise.errors import EdgewiseError, SystemRefused
from edgewise.store import installed, split_models
from edgewise.store.blobs import checked_digest
from edgewise.store.durable import refusals
from edgewise.store.manifest import MOST_BYTES, Manifest, digest_of
from edgewise.store.names import ModelName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edgewise.store.blobs import Blob
    from edgewise.store.installed import InstalledModel


def models(folder: Path, split: Path, wanted: ModelName | None = None) -> Iterator[InstalledModel]:
    """Every GGUF model that is whole; others are left out.

    Args:
        folder: Ollama's, of models.
        split: where links to the parts of split models go.
        wanted: only the model of this name; None for all.
    """

    def locate(digest: str) -> Path:
        return folder / "blobs" / checked_digest(digest).replace(":", "-")

    def read(digest: str, most_bytes: int) -> bytes:
        return _read(locate(digest), most_bytes)

    def model_path(digest: str, blobs: Sequence[Blob]) -> Path:
        paths = [locate(blob.digest) for blob in blobs]
        for path, blob in zip(paths, blobs, strict=True):
            if not path.is_file() or path.stat().st_size != blob.size_bytes:
                raise SystemRefused(f"{path} is missing or not whole")
        return paths[0] if len(paths) == 1 else split_models.first_part(split / digest.replace(":", "-"), paths)

    keeper = installed.Keeper("ollama", locate, read, model_path)
    manifests = folder / "manifests"
    for path in sorted(manifests.glob("*/*/*/*")):
        with contextlib.suppress(EdgewiseError, OSError):
            name = ModelName(*path.relative_to(manifests).parts)
            if wanted is not None and wanted.key != name.key:
                continue
            data = _read(path, MOST_BYTES)
            when = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
            manifest = Manifest.decode(data, path)
            model = installed.from_manifest(str(name), digest_of(data), manifest, when, keeper)
            if model.details.format == "gguf":
                yield model


def _read(path: Path, most_bytes: int) -> bytes:
    with refusals(path), path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise SystemRefused(f"{path} has more than {most_bytes} bytes")
    return data
