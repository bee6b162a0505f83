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


def make_app(
    config: ServerConfig, engine_config: EngineConfig, models: Sequence[str] = (), log: Log | None = None
) -> Frame:
    """The ASGI application.

    Args:
        config: of the server.
        engine_config: how models are opened.
        models: paths of files, or `demo`, which are offered beside those that are installed, and loaded at the start.
        log: of requests; to stderr by default.

    Raises:
        SystemRefused: if a file is not there.
    """
    catalog = Catalog(models or ["demo"])
    preload = tuple(catalog.names())
    return Frame(State(config, engine_config, catalog, preload, log), SURFACES)
