"""Puts the server together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.server.catalog import Catalog
from edgewise.server.frame import Frame
from edgewise.server.state import State
from edgewise.server.surfaces import SURFACES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.config import EngineConfig
    from edgewise.server.logs import Log
    from edgewise.server.settings import ServerConfig
    from edgewise.store.store import Store


def make_app(
    config: ServerConfig, engine_config: EngineConfig, store: Store, models: Sequence[str] = (), log: Log | None = None
) -> Frame:
    """The ASGI application.

    Args:
        config: of the server.
        engine_config: how models are opened.
        store: of installed models.
        models: names of such, or paths of files, which are offered beside them; they are loaded at the start.
        log: of requests; to stderr by default.

    Raises:
        NotFound: if one is neither a file nor installed.
    """
    catalog = Catalog(store, models)
    preload = tuple(catalog.named) or tuple(model.name for model in catalog.list() if model.origin == "package")
    return Frame(State(config, engine_config, catalog, preload, log), SURFACES)
