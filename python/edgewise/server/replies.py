"""Answers to requests: JSON in one piece, or pieces as they come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from edgewise.errors import EdgewiseError
from edgewise.server.refusals import refusal_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from edgewise.server.refusals import Refusal

NDJSON = "application/x-ndjson"
SSE = "text/event-stream"


def dumps(value: object) -> bytes:
    """A value as JSON in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON value."""
    given = dict(headers) if headers else None
    return Response(dumps(value), status, given, media_type="application/json; charset=utf-8")


class Pieces(Response):
    """An answer in pieces.

    Args:
        chunks: the pieces. The generator is closed, however the answer ends, so what it holds is given back.
        media_type: `NDJSON` or `SSE`.
        headers: further ones.
    """

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        # No proxy may hold pieces back.
        given = {"cache-control": "no-cache", "x-accel-buffering": "no", **(headers or {})}
        super().__init__(None, 200, given, media_type=media_type)
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the pieces."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for chunk in self._chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self._chunks.aclose()


async def begin(
    chunks: AsyncGenerator[bytes, None],
    media_type: str,
    failed: Callable[[Refusal], bytes],
    headers: Mapping[str, str] | None = None,
) -> Pieces:
    """Waits for the first piece, so that what goes wrong before it gets a status of its own.

    Args:
        chunks: the pieces.
        media_type: see `Pieces`.
        failed: the last piece of an answer that can not go on.
        headers: see `Pieces`.
    """
    try:
        first = await anext(chunks)
    except BaseException:
        await chunks.aclose()
        raise
    return Pieces(_after(first, chunks, failed), media_type, headers)


async def _after(
    first: bytes, chunks: AsyncGenerator[bytes, None], failed: Callable[[Refusal], bytes]
) -> AsyncGenerator[bytes, None]:
    try:
        yield first
        async for chunk in chunks:
            yield chunk
    except Exception as error:
        yield failed(refusal_of(error))
        if not isinstance(error, EdgewiseError):
            raise
    finally:
        await chunks.aclose()


def event(name: str | None, data: Any) -> bytes:
    """A server-sent event.

    Args:
        name: its type; None for a plain message.
        data: a JSON value, or a text as it is.
    """
    text = data.encode() if isinstance(data, str) else dumps(data)
    return (b"" if name is None else b"event: " + name.encode() + b"\n") + b"data: " + text + b"\n\n"
