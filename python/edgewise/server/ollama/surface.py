"""Ollama's endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from edgewise.server.endpoint import Endpoint, Surface
from edgewise.server.ollama import answers, shapes
from edgewise.server.replies import NDJSON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgewise.server.endpoint import Call
    from edgewise.server.refusals import Refusal


def error(refusal: Refusal) -> Mapping[str, Any]:
    """A refusal in Ollama's form."""
    return {"error": refusal.message}


async def alive(call: Call) -> Response:
    """What clients look for to see that a server is there."""
    return Response("Ollama is running", media_type="text/plain; charset=utf-8")


SURFACE = Surface(
    name="ollama",
    prefixes=("/api/", "/api"),
    endpoints=(
        Endpoint(("GET", "HEAD"), "/", alive, "Whether the server runs.", media_type="text/plain", is_open=True),
        Endpoint(
            ("POST",), "/api/generate", answers.generate, "An answer to a prompt.",
            body=shapes.GENERATE, reply=shapes.GENERATED, stream=NDJSON, is_long=True,
        ),
        Endpoint(
            ("POST",), "/api/chat", answers.chat, "An answer to a conversation.",
            body=shapes.CHAT, reply=shapes.CHATTED, stream=NDJSON, is_long=True,
        ),
    ),
    error=error,
    error_shape=shapes.ERROR,
)  # fmt: skip
