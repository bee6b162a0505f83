"""Manifests: which blobs make a model, and what each of them is.

They have the form of Ollama's registry, so that one that is fetched from there can stay as it is. Those that are made
here are JSON in one canonical form, and hold nothing of time, place or name: the same content has the same digest.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewise.errors import InvalidArgument, ModelFileError
from edgewise.store.blobs import Blob, checked_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 4 << 20
"""What a manifest may take; Ollama's have some hundred bytes."""

_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_LAYER_TYPE = "application/vnd.ollama.image."


@dataclass(frozen=True)
class Layer:
    """A blob and its part in the model.

    Args:
        kind: `model`, `adapter`, `projector`, `template`, `system`, `params`, `license` or `messages`; others are kept,
            and mean nothing here.
        blob: what it holds.
    """

    kind: str
    blob: Blob


@dataclass(frozen=True)
class Manifest:
    """A model as blobs.

    Args:
        config: the blob with its details, as JSON.
        layers: its parts, in their order.
    """

    config: Blob
    layers: tuple[Layer, ...]

    def of(self, kind: str) -> Iterator[Blob]:
        """The blobs of one kind."""
        return (layer.blob for layer in self.layers if layer.kind == kind)

    @property
    def digests(self) -> set[str]:
        """Of all blobs that it needs."""
        return {self.config.digest, *(layer.blob.digest for layer in self.layers)}

    @property
    def size_bytes(self) -> int:
        """What its blobs take together."""
        sizes = {blob.digest: blob.size_bytes for blob in (self.config, *(layer.blob for layer in self.layers))}
        return sum(sizes.values())

    def encode(self) -> bytes:
        """Its bytes; their SHA-256 is the model's digest."""
        return canonical(
            {
                "schemaVersion": 2,
                "mediaType": _MEDIA_TYPE,
                "config": _entry(_CONFIG_TYPE, self.config),
                "layers": [_entry(_LAYER_TYPE + layer.kind, layer.blob) for layer in self.layers],
            }
        )

    @staticmethod
    def decode(data: bytes, origin: object) -> Manifest:
        """Reads one.

        Args:
            data: its bytes.
            origin: where it is from, for the message.

        Raises:
            ModelFileError: if it is none.
        """
        content = json_object(data, origin)
        layers = content.get("layers")
        if content.get("schemaVersion") != 2 or not isinstance(layers, list):
            raise ModelFileError(f"{origin}: no manifest: it needs schemaVersion 2 and a list of layers")
        config = _blob(content.get("config"), origin)
        return Manifest(config, tuple(_layer(entry, origin) for entry in layers))


def canonical(value: object) -> bytes:
    """JSON whose bytes follow from its content alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(data: bytes) -> str:
    """The digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def json_object(data: bytes, origin: object) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ModelFileError: if the bytes are none.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{origin}: no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelFileError(f"{origin}: a JSON object is needed, this is {type(content).__name__}")
    return content


def _entry(media_type: str, blob: Blob) -> dict[str, object]:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size_bytes}


def _layer(entry: object, origin: object) -> Layer:
    media_type = entry.get("mediaType") if isinstance(entry, dict) else None
    if not isinstance(media_type, str):
        raise ModelFileError(f"{origin}: a layer needs a mediaType")
    return Layer(media_type.removeprefix(_LAYER_TYPE), _blob(entry, origin))


def _blob(entry: object, origin: object) -> Blob:
    try:
        if not isinstance(entry, dict):
            raise InvalidArgument(f"{entry!r:.60} is no description of a blob")
        digest, size_bytes = checked_digest(entry.get("digest")), entry.get("size")
        if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or size_bytes < 0:
            raise InvalidArgument(f"size {size_bytes!r:.60} is no number of bytes")
    except InvalidArgument as error:
        raise ModelFileError(f"{origin}: {error.message}") from error
    return Blob(digest, size_bytes)
