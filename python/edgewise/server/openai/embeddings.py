"""`/v1/embeddings`."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any

from edgewise.server.embedding import embed as embed_texts
from edgewise.server.replies import reply
from edgewise.server.timings import milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from edgewise.server.endpoint import Call


async def embed(call: Call) -> Response:
    """Texts as vectors of length one."""
    body = call.body
    embedded = await embed_texts(
        call.state.models,
        body["model"],
        _texts(body["input"]),
        arrived_s=call.started_s,
        truncate=False,
        dimensions=int(body["dimensions"]) if body.get("dimensions") is not None else None,
    )
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
            "timings": {"load_ms": milliseconds(embedded.load_s), "total_ms": milliseconds(embedded.total_s)},
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
