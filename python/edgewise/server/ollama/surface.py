"""Ollama's endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from edgewise.server.endpoint import Endpoint, Surface
from edgewise.server.ollama import answers, changes, embeddings, library, shapes
from edgewise.server.replies import NDJSON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgewise.server.endpoint import Call
    from edgewise.server.refusals import Refusal


def error(refusal: Refusal) -> Mapping[str, Any]:
    """A refusal in Ollama's form."""
    return answers.error(refusal)


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
        Endpoint(
            ("POST",), "/api/embed", embeddings.embed, "Texts as vectors of length one.",
            body=shapes.EMBED, reply=shapes.EMBEDDED, is_long=True,
        ),
        Endpoint(
            ("POST",), "/api/embeddings", embeddings.embeddings, "A text as a vector, as older clients ask.",
            body=shapes.EMBEDDINGS, reply=shapes.EMBEDDING, is_long=True,
        ),
        Endpoint(("GET", "HEAD"), "/api/tags", library.tags, "Installed models.", reply=shapes.TAGS),
        Endpoint(
            ("POST",), "/api/show", library.show, "Everything about a model.",
            body=shapes.SHOW, reply=shapes.SHOWN, errors=(404,),
        ),
        Endpoint(("GET",), "/api/ps", library.running, "Models in memory.", reply=shapes.RUNNING),
        Endpoint(("GET", "HEAD"), "/api/version", library.version, "Versions.", reply=shapes.VERSION),
        Endpoint(
            ("POST",), "/api/create", changes.create, "Makes a model of another one, or of uploaded files.",
            body=shapes.CREATE, reply=shapes.STATUS, stream=NDJSON, is_long=True,
        ),
        Endpoint(("HEAD",), "/api/blobs/{digest}", changes.has_blob, "Whether a file was uploaded.", errors=(400, 404)),
        Endpoint(
            ("POST",), "/api/blobs/{digest}", changes.upload, "Takes a file.",
            media_type="", errors=(201, 400, 500, 504), reads_body=True,
        ),
        Endpoint(
            ("POST",), "/api/copy", changes.copy, "Gives a model one more name.", body=shapes.COPY, media_type=""
        ),
        Endpoint(
            ("DELETE",), "/api/delete", changes.delete, "Takes a model away.", body=shapes.NAMED, media_type=""
        ),
        Endpoint(
            ("POST",), "/api/pull", changes.pull, "Not offered yet.",
            body=shapes.NAMED, reply=shapes.STATUS, errors=(501,),
        ),
        Endpoint(
            ("POST",), "/api/push", changes.push, "Not offered.", body=shapes.NAMED, reply=shapes.STATUS, errors=(501,)
        ),
    ),
    error=error,
    error_shape=shapes.ERROR,
)  # fmt: skip
