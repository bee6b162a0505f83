"""The server's description of itself: the OpenAPI document, and a page for people. Both come from the endpoints."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

from edgewise._core import VERSION
from edgewise.server.replies import NDJSON
from edgewise.server.schema import ANYTHING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgewise.server.endpoint import Endpoint, Surface

_REASONS = {
    400: "the request is not valid, or does not fit the context",
    401: "no valid API key",
    403: "a Host or Origin that is not allowed",
    404: "no such model, or nothing at this path",
    405: "another method is needed",
    413: "the body is too long",
    500: "an internal error",
    501: "not offered by this server",
    503: "the queue is full, or a model is being loaded: try again later",
    504: "it took too long",
}
_OF_EVERY_REQUEST = (401, 403, 405)
_OF_BODIES = (400, 404, 413, 500, 503, 504)


def document(surfaces: Sequence[Surface]) -> dict[str, Any]:
    """The OpenAPI document of all endpoints."""
    paths: dict[str, dict[str, Any]] = {}
    for surface in surfaces:
        for endpoint in surface.endpoints:
            path = re.sub(r"\{(\w+):\w+\}", r"{\1}", endpoint.path)
            for method in endpoint.methods:
                paths.setdefault(path, {})[method.lower()] = _operation(surface, endpoint, method)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Edgewise", "version": VERSION, "description": "Language models on this device."},
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
            "schemas": {f"{surface.name}_error": _published(surface.error_shape) for surface in surfaces},
        },
        "security": [{}, {"bearer": []}, {"key": []}],
    }


def _operation(surface: Surface, endpoint: Endpoint, method: str) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if endpoint.media_type:
        shape = endpoint.reply if endpoint.reply is not None else {"type": "string"}
        content[endpoint.media_type] = {"schema": _published(shape)}
    if endpoint.stream:
        content[endpoint.stream] = {
            "schema": _published(endpoint.reply or ANYTHING) if endpoint.stream == NDJSON else {}
        }
    answers: dict[str, Any] = {"200": {"description": "the answer"}}
    if content and method != "HEAD":
        answers["200"]["content"] = content
    errors = {*_OF_EVERY_REQUEST, *endpoint.errors, *(_OF_BODIES if endpoint.is_long or endpoint.body else ())}
    for status in sorted(errors):
        if status == 201:
            answers["201"] = {"description": "made"}
            continue
        answers[str(status)] = {
            "description": _REASONS[status],
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{surface.name}_error"}}},
        }
        if method == "HEAD":
            del answers[str(status)]["content"]
    name = re.sub(r"\W+", "_", f"{method.lower()}{endpoint.path}").strip("_")
    operation: dict[str, Any] = {
        "operationId": name, "tags": [surface.name], "summary": endpoint.summary, "responses": answers
    }  # fmt: skip
    names = re.findall(r"\{(\w+)(?::\w+)?\}", endpoint.path)
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if endpoint.body is not None:
        shape = _published(endpoint.body)
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": shape}}}
    elif endpoint.reads_body:
        body = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _published(shape: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(shape))  # type: ignore[no-any-return]


_STYLE = """\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; border-left: 3px solid #8888; padding-left: 1rem; }
summary { cursor: pointer; padding: .3rem 0; }
b { display: inline-block; min-width: 4rem; }
"""


def page(surfaces: Sequence[Surface]) -> str:
    """The same for people: one page, without scripts, that loads nothing from elsewhere."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        f"<title>Edgewise {VERSION}</title><style>{_STYLE}</style>",
        f"<h1>Edgewise {VERSION}</h1>",
        '<p>What this server offers. For programs: <a href="/openapi.json">openapi.json</a>.</p>',
    ]
    for surface in surfaces:
        parts.append(f"<h2>{html.escape(surface.name)}</h2>")
        parts += [_entry(endpoint) for endpoint in surface.endpoints]
    return "".join(parts) + "</html>"


def _entry(endpoint: Endpoint) -> str:
    methods = " ".join(endpoint.methods)
    head = f"<b>{methods}</b> <code>{html.escape(endpoint.path)}</code> {html.escape(endpoint.summary)}"
    if endpoint.body is None:
        return f"<p>{head}</p>"
    shape = json.dumps(_published(endpoint.body), indent=2, ensure_ascii=False)
    return f"<details><summary>{head}</summary><pre>{html.escape(shape)}</pre></details>"
