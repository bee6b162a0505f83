"""What the server is made of: surfaces, which are tables of endpoints."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from edgewise.server.refusals import Refusal
    from edgewise.server.schema import Schema
    from edgewise.server.state import State

Method = Literal["GET", "HEAD", "POST", "DELETE"]


@dataclass(frozen=True)
class Endpoint:
    """One thing that can be asked for.

    Args:
        methods: HTTP methods that ask for it.
        path: where; `{name}` is one segment of it, `{name:path}` the rest.
        handle: gives the answer. It runs on the event loop, so what computes goes elsewhere.
        summary: one line for the document.
        body: shape of the JSON body; None if there is none.
        reply: shape of the JSON that comes back; None if it is no JSON.
        media_type: of the answer in one piece.
        stream: media type of the answer in pieces; empty if it never is.
        errors: statuses, beside those that any request may get.
        is_long: the work ends when the client leaves.
        reads_body: the handler reads the body itself, of any length.
        is_open: needs no key.
    """

    methods: tuple[Method, ...]
    path: str
    handle: Callable[[Call], Awaitable[Response]]
    summary: str
    body: Schema | None = None
    reply: Schema | None = None
    media_type: str = "application/json"
    stream: str = ""
    errors: tuple[int, ...] = ()
    is_long: bool = False
    reads_body: bool = False
    is_open: bool = False


@dataclass(frozen=True)
class Surface:
    """A protocol: its endpoints, and its form of errors.

    Args:
        name: for metrics and the document.
        prefixes: paths that begin so belong to it, also those that it does not have.
        endpoints: what it offers.
        error: the JSON object that tells a client of a refusal, before the answer has begun.
        error_shape: the shape of that object.
    """

    name: str
    prefixes: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    error: Callable[[Refusal], Mapping[str, Any]]
    error_shape: Schema


@dataclass
class Call:
    """A request on its way through a handler.

    Args:
        state: what the server has.
        surface: whose endpoint it is.
        request: the request.
        body: its JSON body, of the endpoint's shape; empty if the endpoint has none.
        namespace: sets apart what different keys send, so that nobody learns of another's prompts.
        notes: what the log and the metrics are to know of it.
    """

    state: State
    surface: Surface
    request: Request
    body: dict[str, Any]
    namespace: str = ""
    started_s: float = field(default_factory=time.perf_counter)
    notes: dict[str, Any] = field(default_factory=dict)
