"""Models that make embeddings and nothing else: which they are, and how they open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgewise import _core
from edgewise.config import LARGEST
from edgewise.errors import UnsupportedError

if TYPE_CHECKING:
    from edgewise.config import EngineConfig

Pooling = Literal["mean", "last", "first"]
"""How the states of a text's tokens become one vector: their mean, or that of one; the first is `[CLS]`."""


def is_encoder(file: _core.ModelFile) -> bool:
    """Whether the core runs the file as an encoder."""
    architecture = file.metadata().get("general.architecture")
    return isinstance(architecture, str) and _core.Encoder.knows(architecture)


def open_encoder(file: _core.ModelFile, config: EngineConfig) -> _core.Encoder | None:
    """The encoder in a file; None if it is a model that generates.

    Raises:
        ModelFileError: if the file is malformed.
        UnsupportedError: if it is a variant that the core does not run, or adapters are to change it.
        SystemRefused: if the memory is not there.
    """
    if not is_encoder(file):
        return None
    if config.lora:
        raise UnsupportedError("adapters do not apply to a model that makes embeddings")
    return _core.Encoder(
        file,
        context_length=min(config.context_length or 0, LARGEST),
        batch=config.batch,
        isa=config.isa,
        threads=min(config.threads, LARGEST),
    )


def check_weights(file: _core.ModelFile) -> None:
    """Checks that the core runs what is in a file.

    Raises:
        ModelFileError: if the file is malformed.
        UnsupportedError: if it is sound, and the core does not run it.
    """
    if is_encoder(file):
        _core.Encoder(file, context_length=1, batch=1, isa="auto", threads=1)
    else:
        _core.Model(file)
