"""`/api/embed`, and its older form `/api/embeddings`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.server.embedding import embed as embed_texts
from edgewise.server.ollama.answers import keep_alive_of, nanoseconds
from edgewise.server.replies import reply

if TYPE_CHECKING:
    from starlette.responses import Response

    from edgewise.server.endpoint import Call


async def embed(call: Call) -> Response:
    """Texts as vectors of length one."""
    given = call.body["input"]
    dimensions = call.body.get("dimensions")
    embedded = await embed_texts(
        call.state.models,
        call.body["model"],
        [given] if isinstance(given, str) else given,
        arrived_s=call.started_s,
        truncate=call.body.get("truncate") is not False,
        keep_alive_s=keep_alive_of(call),
        dimensions=None if dimensions is None else int(dimensions),
    )
    call.notes |= {"model": call.body["model"], "prompt": embedded.tokens}
    answer: dict[str, Any] = {
        "model": call.body["model"],
        "embeddings": embedded.vectors,
        "total_duration": nanoseconds(embedded.total_s),
        "load_duration": nanoseconds(embedded.load_s),
        "prompt_eval_count": embedded.tokens,
    }
    if embedded.truncated_tokens:
        answer |= {"truncated": True, "truncated_tokens": embedded.truncated_tokens}
    return reply(answer)


async def embeddings(call: Call) -> Response:
    """A text as a vector, of whatever length it has."""
    prompt = call.body.get("prompt") or ""
    embedded = await embed_texts(
        call.state.models,
        call.body["model"],
        [prompt] if prompt else [],
        arrived_s=call.started_s,
        truncate=True,
        keep_alive_s=keep_alive_of(call),
        is_normalized=False,
    )
    return reply({"embedding": embedded.vectors[0] if embedded.vectors else []})
