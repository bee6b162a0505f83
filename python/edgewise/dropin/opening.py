"""Why a model did not open, as llama-cpp-python says it: a ValueError, for adapters a RuntimeError, and what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.errors import EdgewiseError, InvalidArgument, ModelFileError, SystemRefused, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence


class UnsupportedModel(UnsupportedError, ValueError):
    """The file is sound, but no installed engine runs it."""


class ModelRefused(SystemRefused, ValueError):
    """The operating system refused the file, or the memory for it."""


class AdapterFileError(ModelFileError, RuntimeError):
    """The adapter is malformed, or does not fit the model."""


class UnsupportedAdapter(UnsupportedError, RuntimeError):
    """The adapter is sound, but no installed engine applies it."""


class AdapterRefused(SystemRefused, RuntimeError):
    """The operating system refused the adapter."""


def opening_error(error: EdgewiseError, model_path: str, adapters: Sequence[tuple[str | Path, float]]) -> EdgewiseError:
    """The error with the text and the type that callers of llama-cpp-python look for."""
    kinds: tuple[type[EdgewiseError], type[EdgewiseError], type[EdgewiseError]]
    if any(error.message.startswith(f"{path}: ") for path, _ in adapters):
        message = f"Failed to initialize LoRA adapter from lora path: {error.message}"
        kinds = UnsupportedAdapter, AdapterRefused, AdapterFileError
    else:
        message = f"Failed to load model from file: {model_path}: {error.message.removeprefix(f'{model_path}: ')}"
        kinds = UnsupportedModel, ModelRefused, ModelFileError
    number = 0 if isinstance(error, UnsupportedError) else 1 if isinstance(error, SystemRefused) else 2
    return kinds[number](message, error.hint)


def require_path(model_path: str) -> None:
    """Checks that something is at the path.

    Raises:
        InvalidArgument: in llama-cpp-python's words if there is nothing.
    """
    if not model_path or not Path(model_path).exists():  # Path("") would be the current folder
        raise InvalidArgument(f"Model path does not exist: {model_path}")
