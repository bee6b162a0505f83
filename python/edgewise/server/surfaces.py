"""Which protocols the server speaks. A new one is a file, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.server import native
from edgewise.server.anthropic import surface as anthropic
from edgewise.server.decisions import systemone
from edgewise.server.ollama import surface as ollama
from edgewise.server.openai import surface as openai

if TYPE_CHECKING:
    from edgewise.server.endpoint import Surface

# The last one answers for paths that belong to none.
SURFACES: tuple[Surface, ...] = (ollama.SURFACE, systemone.SURFACE, anthropic.SURFACE, openai.SURFACE, native.SURFACE)
