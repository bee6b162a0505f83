"""`/api/embed`, and its older form `/api/embeddings`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.server.embedding import embed as embed_texts
from edgewise.server.ollama.answers import context_of, keep_alive_of, nanoseconds
from edgewise.server.replies import reply

if TYPE_CHECKING:
    from starlette.responses import Response

    from edgewise.server.embedding import Embedded
    from edgewise.server.endpoint import Call


async def embed(call: Call) -> Response:
    """Texts as vectors of length one; those that are too long are cut, unless told not to."""
    given = call.body["input"]
    embedded = await embed_texts(
        call,
        [given] if isinstance(given, str) else given,
        truncate=call.body.get("truncate") is not False,
        keep_alive_s=keep_alive_of(call),
        context_length=context_of(call),
    )
    return reply({"model": call.body["model"], "embeddings": embedded.vectors, **_metrics(embedded)})


async def embeddings(call: Call) -> Response:
    """A text as a vector, of whatever length it has; one that is too long is cut if asked."""
    prompt = call.body.get("prompt") or ""
    embedded = await embed_texts(
        call,
        [prompt] if prompt else [],
        truncate=bool(call.body.get("truncate")),
        keep_alive_s=keep_alive_of(call),
        context_length=context_of(call),
        is_normalized=False,
        field="prompt",
    )
    return reply({"embedding": embedded.vectors[0] if embedded.vectors else [], **_metrics(embedded)})


def _metrics(embedded: Embedded) -> dict[str, Any]:
    """What vectors cost, by the names that answers have for it."""
    found: dict[str, Any] = {
        "total_duration": nanoseconds(embedded.total_s),
        "load_duration": nanoseconds(embedded.load_s),
        "queue_duration": nanoseconds(embedded.queue_s),
        "prompt_eval_count": embedded.tokens,
        "prompt_eval_cached_count": embedded.cached_tokens,
        "prompt_eval_duration": nanoseconds(embedded.evaluation_s),
    }
    if embedded.truncated_tokens:
        found |= {"truncated": True, "truncated_tokens": embedded.truncated_tokens}
    return found
