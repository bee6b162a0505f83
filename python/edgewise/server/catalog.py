"""Which models can be asked for: those that were named at the start, and those of the store."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edgewise.engine import models
from edgewise.errors import InvalidArgument, NotFound
from edgewise.server.refusals import Refused
from edgewise.store import installed
from edgewise.store.names import ModelName

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgewise.store.installed import InstalledModel
    from edgewise.store.store import Store


class Catalog:
    """Finds models by name. All methods read files, so they belong into a thread.

    Args:
        store: of installed models.
        named: models named at the start: of the store, or paths, whose names are those of their files.

    Raises:
        NotFound: if one is neither a file nor installed.
        InvalidArgument: if a file's name can be no model's.
    """

    def __init__(self, store: Store, named: Sequence[str] = ()) -> None:
        self.store = store
        self._paths: dict[tuple[str, ...], tuple[str, Path]] = {}
        self.named: list[str] = []
        for text in named:
            self.named.append(self._name(text))

    def list(self) -> list[InstalledModel]:
        """All models, the newest first."""
        found = [self._in_place(name, path) for name, path in self._paths.values()]
        for model in self.store.list():
            if ModelName.parse(model.name).key not in self._paths and not (found and model.origin == "package"):
                found.append(model)
        return sorted(found, key=lambda model: (-model.modified_at.timestamp(), model.name))

    def find(self, name: str) -> InstalledModel:
        """The model of a name.

        Raises:
            Refused: if there is none.
            InvalidArgument: if that is no name.
            ModelFileError: if its file is malformed.
        """
        if not name:
            raise InvalidArgument("model is required")
        key = ModelName.parse(name).key
        if key in self._paths:
            return self._in_place(*self._paths[key])
        try:
            return self.store.resolve(name)
        except NotFound as error:
            raise Refused("not_found", f"model '{name}' not found") from error

    def _name(self, text: str) -> str:
        """The name under which a model is offered that was named at the start."""
        model = self.store.find(text)
        if model.origin != "file":
            return model.name
        name = str(ModelName.parse(model.path.name.removesuffix(".gguf")))
        self._paths[ModelName.parse(name).key] = name, model.path
        return name

    def _in_place(self, name: str, path: Path) -> InstalledModel:
        try:
            when = datetime.fromtimestamp(models.resolve(str(path)).stat().st_mtime, timezone.utc)
        except OSError as error:
            raise Refused("not_found", f"model '{name}' not found: its file is gone") from error
        return installed.in_place(path, name, "file", when)
