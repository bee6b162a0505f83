"""What changes the store: `/api/create`, `/api/blobs`, `/api/copy`, `/api/delete`; and `/api/pull`, `/api/push`."""

from __future__ import annotations

import asyncio
import queue
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from edgewise.convert.for_store import workers
from edgewise.errors import InvalidArgument, NotFound
from edgewise.server.ollama.answers import failed
from edgewise.server.refusals import Refused
from edgewise.server.replies import NDJSON, begin, dumps, reply
from edgewise.store.creation import Recipe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from edgewise.server.endpoint import Call

_PROGRESS_S = 0.1
_PORTION_BYTES = 1 << 20


async def create(call: Call) -> Response:
    """Makes a model of another one, or of uploaded blobs."""
    body = call.body
    name = body.get("model") or body.get("name")
    if not name:
        raise InvalidArgument("model is required")
    recipe = _recipe(body)
    if body.get("stream") is not False:
        return await begin(_creating(call, name, recipe), NDJSON, failed)
    await call.state.make(lambda: _create(call, name, recipe, lambda *_: None))
    return reply({"status": "success"})


async def has_blob(call: Call) -> Response:
    """Whether a blob is there."""
    is_there = await asyncio.to_thread(call.state.catalog.store.has_blob, call.request.path_params["digest"])
    return Response(status_code=200 if is_there else 404)


async def upload(call: Call) -> Response:
    """Takes a blob, in pieces as they come; only if its digest is right, it is there afterwards."""
    store, digest = call.state.catalog.store, call.request.path_params["digest"]
    if await asyncio.to_thread(store.has_blob, digest):
        async for _ in _portions(call):  # who sends is not listening yet
            pass
        return Response(status_code=200)
    receiving = await asyncio.to_thread(store.upload, digest)
    try:
        async for portion in _portions(call):
            await asyncio.to_thread(receiving.write, portion)
        await asyncio.to_thread(receiving.commit)
    finally:
        await asyncio.shield(asyncio.to_thread(receiving.abort))
    return Response(status_code=201)


async def _portions(call: Call) -> AsyncGenerator[bytes, None]:
    """The body as it comes, in portions that are worth a thread's turn."""
    chunks = call.request.stream()
    portion = bytearray()
    while True:
        try:
            portion += await asyncio.wait_for(anext(chunks), call.state.config.read_s)
        except StopAsyncIteration:
            break
        except asyncio.TimeoutError:
            raise Refused("timeout", "the upload stopped") from None
        if len(portion) >= _PORTION_BYTES:
            yield bytes(portion)
            portion.clear()
    yield bytes(portion)


async def copy(call: Call) -> Response:
    """Gives a model one more name."""
    source, destination = call.body["source"], call.body["destination"]

    def work() -> None:
        model = call.state.catalog.find(source)
        if model.origin == "file":
            call.state.catalog.store.create(destination, Recipe(source=model.path))
        else:
            call.state.catalog.store.copy(source, destination)

    await asyncio.to_thread(work)
    return Response(status_code=200)


async def delete(call: Call) -> Response:
    """Takes a model away, from memory too."""
    name = call.body.get("model") or call.body.get("name")
    if not name:
        raise InvalidArgument("model is required")
    model = await asyncio.to_thread(call.state.catalog.find, name)
    if model.origin == "file":
        raise InvalidArgument(f"model '{name}' is a file that was named at the start: {model.path}; it is not removed")
    try:
        await asyncio.to_thread(call.state.catalog.store.delete, name)
    except NotFound as error:
        raise Refused("not_found", f"model '{name}' not found") from error
    await call.state.models.forget(model.digest)
    return Response(status_code=200)


async def pull(call: Call) -> Response:
    """Says that models do not come from elsewhere yet."""
    raise Refused(
        "not_implemented",
        "this server does not fetch models from elsewhere; install a file instead: `edgewise import`, "
        "or /api/blobs and /api/create",
    )


async def push(call: Call) -> Response:
    """Says that models do not go elsewhere."""
    raise Refused("not_implemented", "this server does not publish models; copy the file instead")


def _recipe(body: Mapping[str, Any]) -> Recipe:
    for field in ("draft_quantize", "draft_files", "remote_host", "renderer", "parser"):
        if body.get(field):
            raise InvalidArgument(f"{field} is not supported")
    source, files = body.get("from") or None, body.get("files") or {}
    if source is None and not files:
        raise InvalidArgument("neither 'from' or 'files' was specified")
    license_texts = body.get("license") or ()
    return Recipe(
        source=source,
        files=files,
        adapters=tuple((body.get("adapters") or {}).values()),
        template=body.get("template"),
        system=body.get("system"),
        parameters=body.get("parameters") or {},
        licenses=(license_texts,) if isinstance(license_texts, str) else tuple(license_texts),
        messages=tuple(body.get("messages") or ()),
        quantize=body.get("quantize") or body.get("quantization") or "",
    )


async def _creating(call: Call, name: str, recipe: Recipe) -> AsyncGenerator[bytes, None]:
    """Ollama's lines of progress."""
    said: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def report(status: str, done: int, total: int) -> None:
        said.put({"status": status, **({"completed": done, "total": total} if total else {})})

    work = asyncio.ensure_future(call.state.make(lambda: _create(call, name, recipe, report)))
    try:
        while True:
            await asyncio.wait({work}, timeout=_PROGRESS_S)
            is_over = work.done()
            lines: list[dict[str, Any]] = []
            while not said.empty():
                line = said.get()
                # Of many reports of one step, the newest is enough.
                if lines and lines[-1]["status"] == line["status"]:
                    lines.pop()
                lines.append(line)
            if is_over:
                work.result()
            for line in lines:
                yield dumps(line) + b"\n"
            if is_over:
                yield dumps({"status": "success"}) + b"\n"
                return
    finally:
        work.cancel()  # what has begun goes on: the model is made, and stays


def _create(call: Call, name: str, recipe: Recipe, report: Callable[[str, int, int], None]) -> None:
    catalog = call.state.catalog
    if isinstance(recipe.source, str):
        base = catalog.find(recipe.source)
        if base.origin == "file":
            recipe = replace(recipe, source=base.path)
    catalog.store.create(name, recipe, workers(report))
