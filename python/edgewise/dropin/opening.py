"""Why a model did not open, as llama-cpp-python says it: always a ValueError, here also what it is."""

from __future__ import annotations

from pathlib import Path

from edgewise.errors import EdgewiseError, InvalidArgument, ModelFileError, SystemRefused, UnsupportedError


class UnsupportedModel(UnsupportedError, ValueError):
    """The file is sound, but no installed engine runs it."""


class ModelRefused(SystemRefused, ValueError):
    """The operating system refused the file, or the memory for it."""


def as_value_error(error: EdgewiseError, model_path: str) -> EdgewiseError:
    """The error with the text that callers of llama-cpp-python look for."""
    message = f"Failed to load model from file: {model_path}: {error.message.removeprefix(f'{model_path}: ')}"
    if isinstance(error, UnsupportedError):
        return UnsupportedModel(message, error.hint)
    if isinstance(error, SystemRefused):
        return ModelRefused(message, error.hint)
    return ModelFileError(message, error.hint)


def require_path(model_path: str) -> None:
    """Checks that something is at the path.

    Raises:
        InvalidArgument: in llama-cpp-python's words if there is nothing.
    """
    if not model_path or not Path(model_path).exists():  # Path("") would be the current folder
        raise InvalidArgument(f"Model path does not exist: {model_path}")
