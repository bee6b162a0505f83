"""Opens models: with this package's core where it can, with llama.cpp where that is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.config import EngineConfig
from edgewise.config import load as load_config
from edgewise.engine import models
from edgewise.engine.images import NO_IMAGES
from edgewise.errors import UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

    from edgewise.config import EngineName
    from edgewise.engine.protocol import Engine

INSTALL_LLAMACPP = "pip install 'edgewise[llamacpp]'"


def open(  # noqa: A001  the word for it; used as `edgewise.open`
    path: str | Path, config: EngineConfig | None = None, *, engine: EngineName | None = None
) -> Engine:
    """Opens a model file.

    Args:
        path: a GGUF file, of a split model any part; or `demo`, the model in this package.
        config: how to open it; from the configuration file and the environment by default.
        engine: `native`, `llamacpp`, or `auto` for the core where it can; overrides the configuration's.

    Returns:
        An engine, to be closed after use (it is a context manager).

    Raises:
        SystemRefused: if the file cannot be read.
        ModelFileError: if the file is malformed.
        UnsupportedError: if no installed engine runs such a file, or layers are asked for on a GPU that is not there.
    """
    path = models.resolve(str(path))
    config = load_config() if config is None else config
    wanted = engine or config.engine
    if wanted == "llamacpp" or (wanted == "auto" and (config.gpu_layers != 0 or config.projector)):
        return _open_llamacpp(path, config)
    if config.projector:
        raise UnsupportedError(NO_IMAGES, hint=f"engine='llamacpp' does ({INSTALL_LLAMACPP})")
    if config.gpu_layers != 0:
        raise UnsupportedError(
            f"gpu_layers={config.gpu_layers}: the native engine runs on the CPU",
            hint=f"engine='llamacpp' with a GPU build of xllamacpp ({INSTALL_LLAMACPP}; see docs/llamacpp.md)",
        )
    try:
        return _open_native(path, config)
    except UnsupportedError as refusal:
        if wanted == "native" or not has_llamacpp():
            raise UnsupportedError(refusal.message, hint=f"{INSTALL_LLAMACPP} adds the llama.cpp backend") from refusal
    return _open_llamacpp(path, config)


def has_llamacpp() -> bool:
    """Whether the llama.cpp backend is installed."""
    from importlib.util import find_spec

    return find_spec("xllamacpp") is not None


def _open_native(path: Path, config: EngineConfig) -> Engine:
    from edgewise.engine.native import NativeEngine

    return NativeEngine(path, config)


def _open_llamacpp(path: Path, config: EngineConfig) -> Engine:
    if not has_llamacpp():
        raise UnsupportedError("the llama.cpp backend is not installed", hint=INSTALL_LLAMACPP)
    from edgewise.engine.llamacpp import LlamaCppEngine

    return LlamaCppEngine(path, config)
