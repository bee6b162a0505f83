"""`/v1/models`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from edgewise.server.replies import reply
from edgewise.store.names import ModelName

if TYPE_CHECKING:
    from starlette.responses import Response

    from edgewise.server.endpoint import Call
    from edgewise.store.installed import InstalledModel


async def models(call: Call) -> Response:
    """Installed models, in a form that OpenAI's and Anthropic's clients read alike."""
    found = [_entry(model) for model in await asyncio.to_thread(call.state.catalog.list)]
    ends = {"first_id": found[0]["id"], "last_id": found[-1]["id"]} if found else {"first_id": None, "last_id": None}
    return reply({"object": "list", "data": found, **ends, "has_more": False})


async def model(call: Call) -> Response:
    """One of them."""
    name = call.request.path_params["model"]
    found = await asyncio.to_thread(call.state.catalog.find, name)
    return reply({**_entry(found), "id": name})


def _entry(found: InstalledModel) -> dict[str, Any]:
    name = ModelName.parse(found.name)
    return {
        "id": found.name,
        "object": "model",
        "created": int(found.modified_at.timestamp()),
        "owned_by": name.namespace,
        "type": "model",
        "display_name": found.name,
        "created_at": found.modified_at.isoformat().replace("+00:00", "Z"),
    }
