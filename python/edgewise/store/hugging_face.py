"""GGUF models in the cache of the Hugging Face libraries, run where they are.

The cache has `models--USER--REPO/snapshots/REVISION/FILE`, where FILE is a link to a blob whose name is its SHA-256 for
large files, and `refs/main` with the newest revision. Nothing in it is ever changed.
"""

from __future__ import annotations

import contextlib
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edgewise.errors import EdgewiseError
from edgewise.store import installed
from edgewise.store.names import ModelName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgewise.store.installed import InstalledModel

HOST = "hf.co"

_REPOSITORY = re.compile(r"models--([^/]+?)--([^/]+)")
_SHARD = re.compile(r"-(\d{5})-of-\d{5}$")
# Where publishers write the quantization: at the end, after a dot or a hyphen.
_QUANTIZATION = re.compile(r"[.-]((?:UD-)?(?:I?Q\d\w*|TQ\d\w*|MXFP4\w*|BF16|F16|F32|FP16))$", re.IGNORECASE)


def models(cache: Path, wanted: ModelName | None = None) -> Iterator[InstalledModel]:
    """Every GGUF model that is whole; others are left out.

    Args:
        cache: the folder of the hub's repositories.
        wanted: only the model of this name; None for all.
    """
    for repository in sorted(cache.glob("models--*--*")):
        found = _REPOSITORY.fullmatch(repository.name)
        snapshot = _newest_snapshot(repository)
        if found is None or snapshot is None:
            continue
        for path in sorted(snapshot.rglob("*.gguf")):
            with contextlib.suppress(EdgewiseError, OSError):
                tag = quantization_in(path.name)
                if tag is not None:
                    name = ModelName(HOST, found[1], found[2], tag)
                    if wanted is not None and wanted.key != name.key:
                        continue
                    when = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
                    yield installed.in_place(path, str(name), "hugging face", when, _digest(path))


def quantization_in(file_name: str) -> str | None:
    """The quantization that a file's name ends with, or `latest`; None for the later parts of a split model."""
    stem = file_name.removesuffix(".gguf")
    shard = _SHARD.search(stem)
    if shard is not None:
        if int(shard[1]) != 1:
            return None
        stem = stem[: shard.start()]
    found = _QUANTIZATION.search(stem)
    return found[1] if found else "latest"


def _newest_snapshot(repository: Path) -> Path | None:
    with contextlib.suppress(OSError):
        snapshot = repository / "snapshots" / (repository / "refs" / "main").read_text(encoding="utf-8").strip()
        if snapshot.is_dir():
            return snapshot
    with contextlib.suppress(OSError):
        snapshots = sorted((repository / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime)
        return snapshots[-1] if snapshots else None
    return None


def _digest(path: Path) -> str | None:
    """That of the content, where the name of the blob says it."""
    name = path.resolve().name
    return f"sha256:{name}" if re.fullmatch(r"[0-9a-f]{64}", name) else None
