"""What there is: `/api/tags`, `/api/show`, `/api/ps`, `/api/version`."""

from __future__ import annotations

import asyncio
import math
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from edgewise._core import VERSION
from edgewise.errors import EdgewiseError, InvalidArgument
from edgewise.server.capabilities import capabilities_of
from edgewise.server.engine_facts import model_info, tensors
from edgewise.server.replies import reply
from edgewise.store import parameters

if TYPE_CHECKING:
    from starlette.responses import Response

    from edgewise.server.endpoint import Call
    from edgewise.server.models import Loaded
    from edgewise.store.installed import InstalledModel

# Clients compare this with the versions of Ollama that brought what they need.
OLLAMA_VERSION = "0.40.0"
_FOR_EVER = timedelta(days=365 * 100)


async def tags(call: Call) -> Response:
    """Every model."""

    def entries() -> list[dict[str, Any]]:
        return [entry(model) for model in call.state.catalog.list()]

    return reply({"models": await asyncio.to_thread(entries)})


async def show(call: Call) -> Response:
    """Everything about a model."""
    body = call.body
    name = body.get("model") or body.get("name")
    if not name:
        raise InvalidArgument("model is required")

    def facts() -> dict[str, Any]:
        model = call.state.catalog.find(name)
        return _facts(model, is_verbose=bool(body.get("verbose")), system=body.get("system"))

    return reply(await asyncio.to_thread(facts))


async def running(call: Call) -> Response:
    """Models in memory."""
    return reply({"models": [_running(model) for model in call.state.models.loaded]})


async def version(call: Call) -> Response:
    """The version of Ollama's protocol that is spoken, and of Edgewise."""
    return reply({"version": OLLAMA_VERSION, "edgewise_version": VERSION})


def entry(model: InstalledModel) -> dict[str, Any]:
    """A model as lists show it."""
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": model.modified_at.isoformat().replace("+00:00", "Z"),
        "size": model.size_bytes,
        "digest": model.digest.removeprefix("sha256:"),
        "details": _details(model),
        "capabilities": _capabilities(model),
    }


def _details(model: InstalledModel) -> dict[str, Any]:
    details = model.details
    lengths = {"context_length": details.context_length, "embedding_length": details.embedding_length}
    return {
        "parent_model": "",
        "format": details.format,
        "family": details.family,
        "families": list(details.families) or [details.family],
        "parameter_size": details.parameter_size,
        "quantization_level": details.quantization_level,
        **{name: length for name, length in lengths.items() if length is not None},
    }


def _capabilities(model: InstalledModel) -> list[str]:
    try:
        return list(capabilities_of(model))
    except EdgewiseError:  # what is wrong with a file is told to who asks for it; a list goes on
        return []


def _facts(model: InstalledModel, *, is_verbose: bool, system: str | None) -> dict[str, Any]:
    info = model_info(model.path, is_verbose=is_verbose)
    lines = [f"{name:30} {value}" for name, value in parameters.written(model.parameters)]
    facts = {
        "license": model.license,
        "modelfile": str(model.modelfile()),
        "parameters": "\n".join(lines),
        "template": model.template or _own_template(model) or "",
        "system": system or model.system or "",
        "details": _details(model),
        "messages": [dict(message) for message in model.messages],
        "model_info": info,
        "capabilities": list(capabilities_of(model)),
        "modified_at": model.modified_at.isoformat().replace("+00:00", "Z"),
    }
    if is_verbose:
        facts["tensors"] = tensors(model.path)
    return facts


def _own_template(model: InstalledModel) -> str | None:
    from edgewise import _core

    source = _core.ModelFile(str(model.path)).metadata().get("tokenizer.chat_template")
    return source if isinstance(source, str) else None


def _running(model: Loaded) -> dict[str, Any]:
    left = _FOR_EVER if math.isinf(model.expires_in_s) else timedelta(seconds=min(model.expires_in_s, 3e9))
    installed = model.installed
    return {
        "name": installed.name,
        "model": installed.name,
        "size": model.footprint.total_bytes,
        "digest": installed.digest.removeprefix("sha256:"),
        "details": _details(installed),
        "expires_at": (datetime.now(timezone.utc) + left).isoformat().replace("+00:00", "Z"),
        "size_vram": 0,
        "context_length": model.engine.context_length,
        "parallel": model.slots,
        "queued": model.batch.queued,
        "active": model.batch.active,
    }
