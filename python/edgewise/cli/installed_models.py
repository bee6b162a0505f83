"""Where verbs look for models: at a path, and in the store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.config import hugging_face_folder, ollama_folder, store_folder
from edgewise.engine import models
from edgewise.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from edgewise.store.installed import InstalledModel
    from edgewise.store.store import Store

HELP = "name of an installed model, path of a GGUF file, or demo"


def open_store() -> Store:
    """The user's store, with what Ollama and the Hugging Face cache hold."""
    from edgewise.store.store import Store

    return Store(store_folder(), ollama_folder=ollama_folder(), hugging_face_folder=hugging_face_folder())


def model_path(text: str) -> Path:
    """The path of a model that is named by its path or its name.

    Raises:
        ModelFileError: if the store is damaged there.
        SystemRefused: if there is neither a file nor a model.
    """
    model = installed(text)
    return models.resolve(text) if model is None else model.path


def installed(text: str) -> InstalledModel | None:
    """The installed model of a name; None where a path is meant, or nothing is installed under that name.

    A file comes first, and what looks like a path is one.

    Raises:
        ModelFileError: if the store is damaged there.
    """
    if text.lower() in ("", "demo") or text.lower().endswith(".gguf") or _begins_as_path(text):
        return None
    from edgewise.store.store import is_file

    if is_file(Path(text)):
        return None
    try:
        return open_store().resolve(text)
    except (InvalidArgument, NotFound):
        return None


def beside_model(text: str, path: Path) -> Path:
    """A path beside which what is made of a model goes: the model's own, or one here for a model that has a name.

    Args:
        text: as the model was named.
        path: where it is.
    """
    if path == models.DEMO:
        return Path("demo.gguf")
    model = installed(text)
    if model is None:
        return path
    return Path(model.name.rpartition("/")[2].replace(":", "-") + ".gguf")


def _begins_as_path(text: str) -> bool:
    return text.startswith((".", "~", os.sep)) or Path(text).is_absolute()
