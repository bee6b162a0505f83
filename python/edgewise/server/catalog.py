"""Which models can be asked for: those that were named at the start, and the demo."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise import _core
from edgewise.engine import models
from edgewise.errors import InvalidArgument
from edgewise.server.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Offer:
    """A model that can be asked for.

    Args:
        name: with its tag, such as `llama3:8b`.
        path: of its file.
        digest: SHA-256 in hexadecimal, the same as long as nothing changes.
        size_bytes: of its files.
        modified_s: when it was installed, in seconds since 1970.
        system: the system message where the request has none.
        template: a chat template in place of the file's own.
        parameters: options where the request has none, by their Ollama names.
        messages: that come before those of the request.
        license: its text.
        adapters: LoRA adapters, as paths.
    """

    name: str
    path: Path
    digest: str
    size_bytes: int
    modified_s: float
    system: str | None = None
    template: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[Mapping[str, Any]] = ()
    license: str | None = None
    adapters: Sequence[Path] = ()

    @cached_property
    def file(self) -> _core.ModelFile:
        """The model's file, mapped and checked.

        Raises:
            ModelFileError: if it is malformed.
            SystemRefused: if it can not be read.
        """
        return _core.ModelFile(str(self.path))


class Catalog:
    """Finds models by name. All methods read files, so they belong into a thread.

    Args:
        named: models named at the start: paths, or `demo`.
    """

    def __init__(self, named: Sequence[str]) -> None:
        self._paths: dict[str, Path] = {}
        self._offers: dict[tuple[str, int, int], Offer] = {}
        self._lock = threading.Lock()
        for name in named:
            path = models.resolve(name)
            self._paths[key_of("demo" if path == models.DEMO else path.name.removesuffix(".gguf"))] = path

    def names(self) -> list[str]:
        """The names of all models."""
        return list(self._paths)

    def offers(self) -> list[Offer]:
        """All models, the newest first."""
        found = [self._offer(name, path) for name, path in self._paths.items()]
        return sorted(found, key=lambda offer: -offer.modified_s)

    def find(self, name: str) -> Offer:
        """The model of a name.

        Raises:
            Refused: if there is none.
        """
        path = self._paths.get(key_of(name))
        if path is None:
            raise Refused("not_found", f"model '{name}' not found")
        return self._offer(key_of(name), path)

    def _offer(self, name: str, path: Path) -> Offer:
        try:
            status = path.stat()
        except OSError as error:
            raise Refused("not_found", f"model '{name}' not found: {error.strerror}") from error
        key = (name, status.st_size, status.st_mtime_ns)
        with self._lock:
            if key not in self._offers:
                # A file of gigabytes is not read for its name's sake: what it is, where, and when it was written.
                identity = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
                digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
                self._offers[key] = Offer(name, path, digest, status.st_size, status.st_mtime)
            return self._offers[key]


def key_of(name: str) -> str:
    """A name as it is compared: whatever its case, `latest` where it has no tag.

    Raises:
        InvalidArgument: if it is empty.
    """
    if not name.strip():
        raise InvalidArgument("model is required")
    last = name.rsplit("/", 1)[-1]
    return (name if ":" in last else f"{name}:latest").lower()
