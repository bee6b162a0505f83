"""A model that is there: where its parts are, and what it says of itself."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgewise.errors import ModelFileError, UnsupportedError
from edgewise.store import go_templates
from edgewise.store.details import Details, FileFacts, prove
from edgewise.store.manifest import Manifest, canonical, digest_of, json_object
from edgewise.store.modelfile import Modelfile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from edgewise.store.blobs import Blob

MOST_TEXT_BYTES = 4 << 20
"""What a template, a system message or a list of options may take."""


@dataclass(frozen=True)
class InstalledModel:
    """A model that can be opened.

    Args:
        name: its shortest name, with the tag; the path where it is not installed.
        path: of the GGUF file; of the first one of a split model.
        digest: the same for the same content on every machine, if it is installed.
        size_bytes: of all its parts.
        modified_at: when it got its name.
        origin: who keeps its files: `edgewise`, `package`, `file`, `ollama` or `hugging face`.
        details: what lists show of it.
        template: the chat template that it was created with, in Go's language or Jinja; None for the file's own.
        system: the system message; None if there is none.
        parameters: Ollama's options, by name.
        adapters: paths of LoRA adapters in GGUF form.
        projectors: paths of what turns images into embeddings.
        licenses: texts.
        messages: what a conversation begins with: `role` and `content` of each.
        digests: of the blobs that it is made of; none where its files are not kept by digest.
    """

    name: str
    path: Path
    digest: str
    size_bytes: int
    modified_at: datetime
    origin: str
    details: Details
    template: str | None = None
    system: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    adapters: tuple[Path, ...] = ()
    projectors: tuple[Path, ...] = ()
    licenses: tuple[str, ...] = ()
    messages: tuple[Mapping[str, Any], ...] = ()
    digests: frozenset[str] = frozenset()

    @property
    def license(self) -> str:
        """All licence texts together."""
        return "\n".join(self.licenses)

    def chat_template(self, own: str | None) -> str | None:
        """The Jinja template to use; None for the file's own.

        Args:
            own: the template of the model's file; None if it has none.

        Raises:
            UnsupportedError: if its template is in Go's language and not known here. A model of Ollama has the file's
                own then, which is its publisher's, if there is one.
        """
        if self.template is None:
            return None
        try:
            return go_templates.as_jinja(self.template, own)
        except UnsupportedError:
            if self.origin == "ollama" and own is not None:
                return None
            raise

    def modelfile(self) -> Modelfile:
        """What would create it again."""
        return Modelfile(
            sources=tuple(str(path) for path in (self.path, *self.projectors)),
            parameters=self.parameters,
            template=self.template,
            system=self.system,
            adapters=tuple(str(path) for path in self.adapters),
            licenses=self.licenses,
            messages=tuple((message["role"], message["content"]) for message in self.messages),
        )


@dataclass(frozen=True)
class Keeper:
    """Who keeps the blobs of a manifest.

    Args:
        origin: its name.
        locate: the path of a blob.
        read: what a small blob holds; gets the most bytes that it may have.
        models: the path to open for the model's blobs, of which a split model has several.
    """

    origin: str
    locate: Callable[[str], Path]
    read: Callable[[str, int], bytes]
    models: Callable[[str, Sequence[Blob]], Path]


def from_manifest(name: str, digest: str, manifest: Manifest, modified_at: datetime, keeper: Keeper) -> InstalledModel:
    """The model that a manifest describes.

    Raises:
        ModelFileError: if a part is not what it should be.
        SystemRefused: if a part cannot be read.
    """

    def text(blob: Blob) -> str:
        return keeper.read(blob.digest, MOST_TEXT_BYTES).decode("utf-8", errors="replace")

    def last_text(kind: str) -> str | None:
        blobs = list(manifest.of(kind))
        return text(blobs[-1]) if blobs else None

    models = list(manifest.of("model"))
    if not models:
        raise ModelFileError(f"{name}: its manifest names no model")
    config = json_object(keeper.read(manifest.config.digest, MOST_TEXT_BYTES), f"{name}: config")
    parameters = last_text("params")
    messages = last_text("messages")
    return InstalledModel(
        name=name,
        path=keeper.models(digest, models),
        digest=digest,
        size_bytes=manifest.size_bytes,
        modified_at=modified_at,
        origin=keeper.origin,
        details=Details.of_config(config),
        template=last_text("template"),
        system=last_text("system"),
        parameters={} if parameters is None else json_object(parameters.encode(), f"{name}: parameters"),
        adapters=tuple(keeper.locate(blob.digest) for blob in manifest.of("adapter")),
        projectors=tuple(keeper.locate(blob.digest) for blob in manifest.of("projector")),
        licenses=tuple(text(blob) for blob in manifest.of("license")),
        messages=() if messages is None else _messages(messages, name),
        digests=frozenset(manifest.digests),
    )


def in_place(path: Path, name: str, origin: str, modified_at: datetime, digest: str | None = None) -> InstalledModel:
    """The model in a file that nobody installed.

    Its digest is that of where the file is, its size and its time, unless another one is given: to read all of a large
    file would take seconds.

    Raises:
        ModelFileError: if it is malformed.
        SystemRefused: if it cannot be read.
    """
    status = path.stat()
    facts = _facts(path, status.st_size, status.st_mtime_ns)
    if facts.kind != "model":
        hint = "an adapter is used together with a model: --lora" if facts.kind == "adapter" else None
        raise ModelFileError(f"{path} is no model but of another kind: {facts.kind}", hint=hint)
    identity = canonical({"path": str(path.absolute()), "size": status.st_size, "time": status.st_mtime_ns})
    return InstalledModel(
        name=name,
        path=path,
        digest=digest_of(identity) if digest is None else digest,
        size_bytes=status.st_size,
        modified_at=modified_at,
        origin=origin,
        details=facts.details,
    )


@functools.lru_cache(maxsize=256)
def _facts(path: Path, size_bytes: int, time_ns: int) -> FileFacts:
    """What a file is, found out once as long as it stays the same."""
    return prove(path)


def _messages(text: str, name: str) -> tuple[dict[str, Any], ...]:
    try:
        messages = json.loads(text)
        return tuple({"role": str(one["role"]), "content": str(one.get("content", ""))} for one in messages)
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise ModelFileError(f"{name}: its messages are no list of role and content") from error
