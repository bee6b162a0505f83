"""Which models see images, and with which engine."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.engine import INSTALL_LLAMACPP, has_llamacpp
from edgewise.errors import EdgewiseError, UnsupportedError

if TYPE_CHECKING:
    from edgewise.config import EngineConfig
    from edgewise.store.installed import InstalledModel


def projector_of(model: InstalledModel) -> Path | None:
    """What a model sees images with; None if it has nothing of that kind.

    Raises:
        EdgewiseError: if a projector can not be read.
    """
    return next((path for path in model.projectors if _is_for_images(*_version(path))), None)


def sees(model: InstalledModel) -> bool:
    """Whether images can be put to a model here: it has a projector, and the backend for it is installed."""
    return has_llamacpp() and projector_of(model) is not None


def projector_for(model: InstalledModel, config: EngineConfig, *, has_images: bool) -> Path | None:
    """The projector that a request's engine is opened with; None for an engine that sees nothing.

    Requests without images go to the core where it runs the model. Files are read, so this belongs into a thread.

    Args:
        model: which one.
        config: how models are opened.
        has_images: whether the request has images.

    Raises:
        UnsupportedError: if it has, and nothing here could see them.
        EdgewiseError: if a file can not be read.
    """
    if not has_images and (not model.projectors or config.engine == "native" or not has_llamacpp()):
        return None
    projector = projector_of(model)
    if has_images:
        _require(model, config, projector)
        return projector
    is_native = config.engine == "auto" and config.gpu_layers == 0 and _runs_in_core(*_version(model.path))
    return None if is_native else projector


def _require(model: InstalledModel, config: EngineConfig, projector: Path | None) -> None:
    blind = f"model '{model.name}' can not see images"
    if projector is None:
        raise UnsupportedError(
            f"{blind}: it has no projector",
            hint="a model made from two files has one: its own and its mmproj file, each a FROM of the Modelfile",
        )
    if config.engine == "native":
        raise UnsupportedError(
            f"{blind}: this server runs models with the native engine alone", hint="--engine auto or llamacpp"
        )
    if not has_llamacpp():
        raise UnsupportedError(
            f"{blind}: it has a projector, but the llama.cpp backend, which runs those, is not installed",
            hint=INSTALL_LLAMACPP,
        )


def _version(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


@lru_cache(maxsize=256)
def _is_for_images(path: str, size: int, changed_ns: int) -> bool:
    return _core.ModelFile(path).metadata().get("clip.has_vision_encoder") is True


@lru_cache(maxsize=256)
def _runs_in_core(path: str, size: int, changed_ns: int) -> bool:
    try:
        file = _core.ModelFile(path)
        _core.Model(file)
        _core.Tokenizer(file)
    except EdgewiseError:
        return False
    return True
