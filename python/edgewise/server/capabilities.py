"""What a model can do, told from its file without loading it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.chat.capabilities import capabilities
from edgewise.chat.template import source_in
from edgewise.server.sight import sees

if TYPE_CHECKING:
    from edgewise.chat.capabilities import Capability
    from edgewise.store.installed import InstalledModel


def capabilities_of(model: InstalledModel) -> tuple[Capability, ...]:
    """What an installed model can do. To find out takes moments, so what was found is kept.

    Raises:
        EdgewiseError: if its file or its template can not be read.
    """
    status = model.path.stat()
    found = _capabilities(_Key(model, (model.digest, str(model.path), status.st_size, status.st_mtime_ns)))
    return (*found, "vision") if "completion" in found and sees(model) else found


class _Key:
    """A model, compared by what decides the answer."""

    def __init__(self, model: InstalledModel, identity: tuple[object, ...]) -> None:
        self.model = model
        self._identity = identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other._identity == self._identity


@lru_cache(maxsize=1024)
def _capabilities(key: _Key) -> tuple[Capability, ...]:
    file = _core.ModelFile(str(key.model.path))
    metadata = file.metadata()
    return capabilities(metadata, template=key.model.chat_template(source_in(metadata)))
