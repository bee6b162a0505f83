"""What a model file is, told from its header, in the words that Ollama's clients know."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from edgewise import _core
from edgewise.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Kind = Literal["model", "adapter", "projector"]

# What `general.file_type` means. Source: llama.cpp's enum llama_ftype.
_FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
}


@dataclass(frozen=True)
class Details:
    """What lists and clients show of a model.

    Args:
        format: of the file; `gguf`.
        family: its architecture, such as `llama`.
        families: the architectures of all its parts.
        parameter_size: how many weights, such as `1.2B`.
        quantization_level: in what formats they are, such as `Q4_K_M`.
        context_length: tokens that it was trained for; None if the file does not say.
        embedding_length: width of its hidden state; None if the file does not say.
    """

    format: str = "gguf"
    family: str = ""
    families: tuple[str, ...] = ()
    parameter_size: str = ""
    quantization_level: str = ""
    context_length: int | None = None
    embedding_length: int | None = None

    def as_config(self) -> dict[str, object]:
        """As the config of a manifest; Ollama's names where it has one."""
        values = asdict(self)
        values["families"] = list(self.families)
        return {key: values[name] for key, name in _CONFIG_KEYS.items() if values[name] is not None}

    @staticmethod
    def of_config(config: Mapping[str, Any]) -> Details:
        """Reads what `as_config`, or Ollama, wrote; what is missing or odd is left out."""
        found: dict[str, Any] = {}
        for key, name in _CONFIG_KEYS.items():
            value = config.get(key)
            if name == "families":
                if isinstance(value, list):
                    found[name] = tuple(one for one in value if isinstance(one, str))
            elif isinstance(value, int if name.endswith("_length") else str) and not isinstance(value, bool):
                found[name] = value
        return Details(**found)


_CONFIG_KEYS = {
    "model_format": "format",
    "model_family": "family",
    "model_families": "families",
    "model_type": "parameter_size",
    "file_type": "quantization_level",
    "context_length": "context_length",
    "embedding_length": "embedding_length",
}


@dataclass(frozen=True)
class FileFacts:
    """What a proven file is.

    Args:
        kind: a model, an adapter to one, or the projector of one that sees.
        details: of it.
        chat_template: its Jinja template; None if it has none.
    """

    kind: Kind
    details: Details
    chat_template: str | None


def prove(path: Path, called: str | None = None) -> FileFacts:
    """Proves the layout of a GGUF file, and says what it is.

    Args:
        path: the file; of a split model any part.
        called: what messages call it; by default its path.

    Raises:
        ModelFileError: if it is malformed, with the finding of the core.
        SystemRefused: if it cannot be read.
    """
    try:
        return _facts(_core.ModelFile(path))
    except ModelFileError as error:
        if called is None:
            raise
        raise ModelFileError(error.message.replace(str(path), called), hint=error.hint) from error


def _facts(file: _core.ModelFile) -> FileFacts:
    metadata, tensors = file.metadata(), file.tensors()
    architecture = metadata.get("general.architecture")
    family = architecture if isinstance(architecture, str) else ""
    template = metadata.get("tokenizer.chat_template")
    details = Details(
        family=family,
        families=(family,) if family else (),
        parameter_size=parameter_size(sum(prod(shape) for _, _, shape, _ in tensors)),
        quantization_level=_quantization_level(metadata, tensors),
        context_length=_whole(metadata.get(f"{family}.context_length")),
        embedding_length=_whole(metadata.get(f"{family}.embedding_length")),
    )
    return FileFacts(_kind(metadata, family), details, template if isinstance(template, str) else None)


def parameter_size(count: int) -> str:
    """A number of weights for people, such as `1.2B` or `3.67M`, as Ollama writes it."""
    for unit, letter, digits in ((10**9, "B", 1), (10**6, "M", 2)):
        if count >= unit:
            return f"{count // unit}{letter}" if count % unit == 0 else f"{count / unit:.{digits}f}{letter}"
    return f"{count / 1000:.0f}K" if count >= 1000 else str(count)


def _kind(metadata: Mapping[str, object], family: str) -> Kind:
    stated = metadata.get("general.type")
    if stated == "adapter":
        return "adapter"
    return "projector" if stated == "mmproj" or family == "clip" else "model"


def _quantization_level(metadata: Mapping[str, object], tensors: list[tuple[str, str, list[int], int]]) -> str:
    """As the file says, or what most of its bytes are in."""
    stated = metadata.get("general.file_type")
    if isinstance(stated, int) and stated in _FILE_TYPES:
        return _FILE_TYPES[stated]
    taken: dict[str, int] = {}
    for _, name, _, size_bytes in tensors:
        taken[name] = taken.get(name, 0) + size_bytes
    return max(taken, key=lambda name: taken[name]).upper() if taken else ""


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
