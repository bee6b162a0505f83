"""The ASGI application: finds the endpoint, checks the request, and sees that every one gets an answer."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path

from edgewise.server import schema
from edgewise.server.endpoint import Call
from edgewise.server.guard import Guard
from edgewise.server.refusals import Refusal, Refused, refusal_of
from edgewise.server.replies import reply

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence

    from starlette.convertors import Convertor
    from starlette.types import Message, Receive, Scope, Send

    from edgewise.server.endpoint import Endpoint, Surface
    from edgewise.server.state import State

_LINGER_S = 1.0
_CHECKERS = 2  # long bodies that are checked at once: each competes with the event loop for the interpreter

Methods = dict[str, tuple["Surface", "Endpoint"]]


class Frame:
    """Serves the endpoints of surfaces.

    Args:
        state: what handlers work with.
        surfaces: what is served; where no path fits, the first one with a fitting prefix says so.
    """

    def __init__(self, state: State, surfaces: Sequence[Surface]) -> None:
        self.state = state
        self._surfaces = surfaces
        self._guard = Guard(state.config)
        self._checkers = ThreadPoolExecutor(_CHECKERS, "edgewise-checking")
        self._paths: dict[str, Methods] = {}
        for surface in surfaces:
            for endpoint in surface.endpoints:
                methods = self._paths.setdefault(endpoint.path, {})
                methods.update(dict.fromkeys(endpoint.methods, (surface, endpoint)))
        self._patterns: list[tuple[re.Pattern[str], Mapping[str, Convertor[Any]], Methods]] = [
            (*_compiled(path), methods) for path, methods in self._paths.items() if "{" in path
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the life of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.state.start()
                except Exception as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    raise
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.state.close()
                self._checkers.shutdown(wait=False)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        request = Request(scope, receive)
        methods, parameters = self._find(scope["path"])
        scope["path_params"] = parameters
        surface, endpoint = methods.get(scope["method"], (self._surface_of(scope["path"]), None))
        call = Call(self.state, surface, request, {}, started_s=started_s)
        outgoing = _Outgoing(send, request.headers, self._guard)
        try:
            call.namespace = self._guard.namespace(request.headers)
            refusal = self._refusal(call, endpoint, methods)
            if refusal is not None:
                await self._refuse(call, refusal, receive, outgoing, methods)
            elif endpoint is None:
                await Response(status_code=204)(scope, receive, outgoing)  # a preflight: the headers say it all
            elif endpoint.is_long and not endpoint.reads_body:
                await self._answer_while_heard(call, endpoint, receive, outgoing)
            else:
                await self._answer(call, endpoint, receive, outgoing)
        except ClientDisconnect:
            call.notes["cancelled"] = True
        except Exception as error:  # a bug
            self.state.log.error("failed", error, path=scope["path"][:200])
            call.notes["error"] = "internal"
            if outgoing.status:
                raise  # what the client gets is cut off
            outgoing = _Outgoing(send, request.headers, None)
            await self._refuse(call, refusal_of(error), receive, outgoing)
        finally:
            self._note(call, endpoint, outgoing)

    def _refusal(self, call: Call, endpoint: Endpoint | None, methods: Methods) -> Refusal | None:
        method, headers = call.request.method, call.request.headers
        is_preflight = method == "OPTIONS" and "access-control-request-method" in headers
        refusal = self._guard.refusal(headers, is_open=is_preflight or (endpoint is not None and endpoint.is_open))
        if refusal is not None or is_preflight or endpoint is not None:
            return refusal
        path = call.request.url.path
        if methods:
            return Refusal(
                "method_not_allowed", f"{path} can not be asked with {method}; it knows {', '.join(methods)}"
            )
        return Refusal("not_found", f"there is nothing at {path[:200]}")

    async def _answer(self, call: Call, endpoint: Endpoint, receive: Receive, send: Send) -> None:
        try:
            if endpoint.body is not None:
                call.body = await self._body(call.request, endpoint)
            response = await endpoint.handle(call)
        except (ClientDisconnect, asyncio.CancelledError):
            raise
        except Exception as error:
            refusal = refusal_of(error)
            if refusal.kind == "internal":
                self.state.log.error("failed", error, path=call.request.url.path)
            await self._refuse(call, refusal, receive, send)
            return
        await response(call.request.scope, receive, send)

    async def _answer_while_heard(self, call: Call, endpoint: Endpoint, receive: Receive, send: Send) -> None:
        """Answers, and stops when the client is gone."""
        inbox = _Inbox(receive)
        call.request = Request(call.request.scope, inbox)
        work = asyncio.ensure_future(self._answer(call, endpoint, inbox, send))
        watch = asyncio.ensure_future(inbox.gone())
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                call.notes["cancelled"] = True
        finally:
            watch.cancel()
            work.cancel()
            results = await asyncio.gather(work, watch, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]

    async def _body(self, request: Request, endpoint: Endpoint) -> dict[str, Any]:
        data = await self._read(request)
        if not data.strip():
            raise Refused("invalid_request", "missing request body")
        if not schema.is_long(data):
            return _checked(data, endpoint)
        return await asyncio.get_running_loop().run_in_executor(self._checkers, _checked, data, endpoint)

    async def _read(self, request: Request) -> bytes:
        limit = self.state.config.request_bytes
        announced = request.headers.get("content-length", "")
        too_long = Refused("too_large", f"the request's body is longer than {limit} bytes")
        if announced.isdecimal() and int(announced) > limit:
            raise too_long
        parts: list[bytes] = []
        length = 0
        deadline_s = time.monotonic() + self.state.config.read_s + limit / 1e5
        chunks = request.stream()
        while True:
            try:
                wait_s = min(self.state.config.read_s, deadline_s - time.monotonic())
                chunk = await asyncio.wait_for(anext(chunks), wait_s)
            except StopAsyncIteration:
                return b"".join(parts)
            except asyncio.TimeoutError:
                raise Refused("timeout", "the request's body did not come in time") from None
            length += len(chunk)
            if length > limit:
                raise too_long
            parts.append(chunk)

    async def _refuse(
        self, call: Call, refusal: Refusal, receive: Receive, send: Send, methods: Methods | None = None
    ) -> None:
        headers = {}
        if refusal.retry_after_s is not None:
            headers["retry-after"] = str(max(1, math.ceil(refusal.retry_after_s)))
        if refusal.kind == "method_not_allowed":
            headers["allow"] = ", ".join(methods or ())
        if refusal.kind == "unauthorized":
            headers["www-authenticate"] = "Bearer"
        call.notes["error"] = refusal.message if refusal.kind == "internal" else refusal.kind
        if refusal.kind in ("too_large", "timeout", "unauthorized", "forbidden"):
            headers["connection"] = "close"
            send = _Lingering(send, receive)
        await reply(call.surface.error(refusal), refusal.status, headers)(call.request.scope, receive, send)

    def _find(self, path: str) -> tuple[Methods, dict[str, Any]]:
        if path in self._paths and "{" not in path:
            return self._paths[path], {}
        for pattern, convertors, methods in self._patterns:
            match = pattern.match(path)
            if match is not None:
                return methods, {name: convertors[name].convert(value) for name, value in match.groupdict().items()}
        return {}, {}

    def _surface_of(self, path: str) -> Surface:
        fitting = [one for one in self._surfaces if any(path.startswith(prefix) for prefix in one.prefixes)]
        return fitting[0] if fitting else self._surfaces[-1]

    def _note(self, call: Call, endpoint: Endpoint | None, outgoing: _Outgoing) -> None:
        took_s = time.perf_counter() - call.started_s
        path = endpoint.path if endpoint is not None else "other"
        metrics = self.state.metrics
        metrics.count(
            "edgewise_requests_total", surface=call.surface.name, path=path, status=str(outgoing.status or "none")
        )
        metrics.observe("edgewise_request_seconds", took_s, path=path)
        if call.notes.get("cancelled") or not outgoing.is_complete:
            call.notes["cancelled"] = True
            metrics.count("edgewise_requests_cancelled_total")
        method, shown = call.request.method, call.request.url.path
        self.state.log.write(
            "request", method=method, path=shown[:200], status=outgoing.status, took_s=took_s, **call.notes
        )


class _Outgoing:
    """What goes out: adds the headers for browsers, if there is a guard, and remembers how far the answer got."""

    def __init__(self, send: Send, headers: Headers, guard: Guard | None) -> None:
        self._send = send
        self._headers = headers
        self._guard = guard
        self.status = 0
        self.is_complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            host = self._headers.get("host")
            origin = self._headers.get("origin")
            if origin is not None and self._guard is not None and self._guard.allows_origin(origin, host):
                more = self._guard.cors_headers(
                    self._headers, is_preflight="access-control-request-method" in self._headers
                )
                message["headers"] = [*message.get("headers", ()), *more]
            self.status = message["status"]
        elif not message.get("more_body"):
            self.is_complete = True
        await self._send(message)


class _Lingering:
    """Sends an answer, and reads what still comes for a moment before its end is told.

    A connection that is closed while the other side sends is reset, and the answer may be lost with it.
    """

    def __init__(self, send: Send, receive: Receive) -> None:
        self._send = send
        self._receive = receive

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" or message.get("more_body"):
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._read_on(), _LINGER_S)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _read_on(self) -> None:
        while (message := await self._receive())["type"] != "http.disconnect" and message.get("more_body"):
            pass


class _Inbox:
    """What comes in, for the handler that reads the body and for the watch that waits for the client's end."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_read = asyncio.Event()

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            self._is_read.set()
        return message

    async def gone(self) -> None:
        """Returns when the client has left."""
        await self._is_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _checked(data: bytes, endpoint: Endpoint) -> dict[str, Any]:
    value = schema.parse(data)
    schema.check(value, endpoint.body or schema.ANYTHING)
    if not isinstance(value, dict):
        raise Refused("invalid_request", "the body must be an object")
    return value


def _compiled(path: str) -> tuple[re.Pattern[str], Mapping[str, Convertor[Any]]]:
    pattern, _, convertors = compile_path(path)
    return pattern, convertors
