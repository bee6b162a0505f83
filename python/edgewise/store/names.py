"""What installed models are called: `[host/][namespace/]model[:tag]`, by Ollama's rules.

Source: Ollama's types/model/name.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from edgewise.errors import InvalidArgument

DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG = "registry.ollama.ai", "library", "latest"

# A host may be as long as a file name that still has room for its escapes; Ollama allows 350 characters.
_MOST = {"host": 250, "namespace": 80, "model": 80, "tag": 80}
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_PATTERNS = {
    "host": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", re.ASCII),
    "namespace": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*", re.ASCII),
    "model": re.compile(_WORD, re.ASCII),
    "tag": re.compile(_WORD, re.ASCII),
}
_HINT = "a name is [host/][namespace/]model[:tag] of letters, digits, '_', '-' and '.', such as llama3.2:1b"

# Windows opens a device in place of a file whose name begins so.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.ASCII)


@dataclass(frozen=True)
class ModelName:
    """A name, complete. Names that differ in case alone are one name: compare their `key`.

    Args:
        host: where it is from, such as `hf.co`, perhaps with a port.
        namespace: whose it is there.
        model: the model.
        tag: which one of it; for `hf.co` the quantization.

    Raises:
        InvalidArgument: if a part is empty, too long, or has other characters than names have.
    """

    host: str
    namespace: str
    model: str
    tag: str

    def __post_init__(self) -> None:
        for kind, pattern in _PATTERNS.items():
            part = getattr(self, kind)
            if not part:
                raise InvalidArgument(f"invalid model name {str(self)!r}: the {kind} is empty", hint=_HINT)
            if len(part) > _MOST[kind]:
                message = f"a {kind} has at most {_MOST[kind]} characters, this one has {len(part)}"
                raise InvalidArgument(f"invalid model name {str(self)[:100]!r}: {message}", hint=_HINT)
            if pattern.fullmatch(part) is None:
                message = f"{part!r} is no {kind}"
                raise InvalidArgument(f"invalid model name {str(self)!r}: {message}", hint=_HINT)

    @staticmethod
    def parse(text: str) -> ModelName:
        """The name that a text means; what is left out is Ollama's default.

        Raises:
            InvalidArgument: if it is none.
        """
        rest = text.strip()
        if not rest:
            raise InvalidArgument(f"invalid model name {text!r}: it is empty", hint=_HINT)
        scheme, separator, after = rest.partition("://")
        if separator:
            if scheme.lower() not in ("http", "https"):
                raise InvalidArgument(f"invalid model name {text!r}: {scheme!r} is no scheme of names", hint=_HINT)
            rest = after
        tag = DEFAULT_TAG
        if rest.rfind(":") > rest.rfind("/"):
            rest, _, tag = rest.rpartition(":")
        parts = rest.split("/")
        if len(parts) > 3:
            raise InvalidArgument(f"invalid model name {text!r}: it has {len(parts)} parts, at most 3", hint=_HINT)
        host, namespace = DEFAULT_HOST, DEFAULT_NAMESPACE
        if len(parts) > 2:
            host = parts[-3]
        if len(parts) > 1:
            namespace = parts[-2]
        return ModelName(host, namespace, parts[-1], tag)

    def __str__(self) -> str:
        """The shortest form that means it, always with its tag."""
        name = f"{self.model}:{self.tag}"
        if self.host.lower() != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{name}"
        return name if self.namespace.lower() == DEFAULT_NAMESPACE else f"{self.namespace}/{name}"

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The same for every spelling of the name."""
        return self.host.lower(), self.namespace.lower(), self.model.lower(), self.tag.lower()

    @property
    def file(self) -> PurePath:
        """A relative path that is this name's alone, on every file system."""
        host, namespace, model, tag = (_file_name(part) for part in self.key)
        return PurePath(host, namespace, model, f"{tag}.json")


def _file_name(part: str) -> str:
    """A part as a file name; `%`, which no part has, begins what stands for another character."""
    safe = part.replace(":", "%3a")
    if safe.endswith("."):  # Windows drops it
        safe = safe[:-1] + "%2e"
    if _DEVICES.fullmatch(safe):
        safe = f"%{ord(safe[0]):02x}{safe[1:]}"
    return safe
