"""`/v1/embeddings`."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any

from edgewise.server.embedding import embed as embed_texts
from edgewise.server.replies import reply
from edgewise.server.timings import embedding_timings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from edgewise.server.endpoint import Call


async def embed(call: Call) -> Response:
    """Texts as vectors of length one."""
    body = call.body
    embedded = await embed_texts(call, _texts(body["input"]), truncate=bool(body.get("truncate")))
    form = _base64 if body.get("encoding_format") == "base64" else _numbers
    return reply(
        {
            "object": "list",
            "model": body["model"],
            "data": [
                {"object": "embedding", "index": index, "embedding": form(vector)}
                for index, vector in enumerate(embedded.vectors)
            ],
            "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
            "timings": embedding_timings(embedded),
        }
    )


def _texts(given: Any) -> list[str | list[int]]:
    if isinstance(given, str):
        return [given]
    if isinstance(given[0], str):
        return list(given)
    if isinstance(given[0], list):
        return [[int(token) for token in one] for one in given]
    return [[int(token) for token in given]]


def _numbers(vector: Sequence[float]) -> list[float]:
    return list(vector)


def _base64(vector: Sequence[float]) -> str:
    """Little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
