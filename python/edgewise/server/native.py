"""What this server offers beside the protocols of others: health, metrics, tokens, templates, its own description."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from edgewise.errors import InvalidArgument
from edgewise.server import openapi, schema
from edgewise.server.ask import Ask
from edgewise.server.content import as_text
from edgewise.server.endpoint import Endpoint, Surface
from edgewise.server.models import speech_of
from edgewise.server.refusals import Refused
from edgewise.server.replies import reply
from edgewise.server.schema import ANYTHING, FLAG, TEXT, either, fields, listing, mapping, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgewise.engine.protocol import Engine
    from edgewise.server.endpoint import Call
    from edgewise.server.refusals import Refusal

_FUNCTION = fields({"name": TEXT}, arguments=either(TEXT, mapping(ANYTHING)))
_MESSAGE = fields(
    {"role": TEXT},
    content=either(TEXT, listing(fields({"type": TEXT}, text=TEXT))),
    tool_calls=listing(fields({"function": _FUNCTION})),
)
_TOOL = fields({"function": fields({"name": TEXT}, description=TEXT, parameters=mapping(ANYTHING))})
_TOKEN = whole(0)


def error(refusal: Refusal) -> Mapping[str, Any]:
    """A refusal in llama.cpp's form."""
    return {"error": {"code": refusal.status, "message": refusal.message, "type": f"{refusal.kind}_error"}}


ERROR = fields({"error": fields({"code": whole(), "message": TEXT, "type": TEXT})})


async def health(call: Call) -> Response:
    """Whether requests are answered without waiting for a model."""
    if not call.state.is_ready:
        raise Refused("overloaded", "Loading model", retry_after_s=1.0)
    return reply({"status": "ok"})


async def metrics(call: Call) -> Response:
    """What was counted, for Prometheus."""
    return Response(call.state.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def tokenize(call: Call) -> Response:
    """Tokens of a text."""
    body = call.body
    async with call.state.models.lease(model_of(call)) as lease:
        engine = lease.model.engine
        tokens = await asyncio.to_thread(
            engine.tokenize,
            body["content"],
            add_special=bool(body.get("add_special")),
            parse_special=body.get("parse_special") is not False,
        )
        if not body.get("with_pieces"):
            return reply({"tokens": tokens})
        pieces = [{"id": token, "piece": _piece(engine.detokenize([token], special=True))} for token in tokens]
    return reply({"tokens": pieces})


async def detokenize(call: Call) -> Response:
    """Text of tokens."""
    async with call.state.models.lease(model_of(call)) as lease:
        content = await asyncio.to_thread(_text, lease.model.engine, call.body["tokens"])
    return reply({"content": content})


async def apply_template(call: Call) -> Response:
    """The prompt that messages become."""
    ask = Ask(
        model_of(call),
        messages=[
            {**one, "content": as_text(one.get("content"), f"messages[{index}].content")}
            for index, one in enumerate(call.body["messages"])
        ],
        tools=call.body.get("tools") or (),
        variables=call.body.get("chat_template_kwargs") or {},
    )
    async with call.state.models.lease(ask.model) as lease:
        speech = await speech_of(lease.model)
        prompt = await asyncio.to_thread(lambda: speech.render(speech.messages(ask), ask))
    return reply({"prompt": prompt.text})


async def document(call: Call) -> Response:
    """This server's OpenAPI document."""
    from edgewise.server.surfaces import SURFACES

    return reply(openapi.document(SURFACES))


async def page(call: Call) -> Response:
    """A page that shows the document."""
    from edgewise.server.surfaces import SURFACES

    policy = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Response(openapi.page(SURFACES), headers=policy, media_type="text/html; charset=utf-8")


def model_of(call: Call) -> str:
    """The model that a request names, or the only one there is.

    Raises:
        InvalidArgument: if it names none, and there are several.
    """
    name = call.body.get("model")
    if name:
        return str(name)
    loaded = [model.installed.name for model in call.state.models.loaded]
    names = loaded or call.state.catalog.named
    if len(names) != 1:
        raise InvalidArgument("model is required", hint=f"there are {', '.join(names)}" if names else None)
    return names[0]


def _text(engine: Engine, given: Sequence[float]) -> str:
    tokens = [int(token) for token in given]
    unknown = next((token for token in tokens if token >= engine.vocabulary_size), None)
    if unknown is not None:
        raise InvalidArgument(f"tokens: {unknown} is not in the vocabulary of {engine.vocabulary_size}")
    return engine.detokenize(tokens, special=True).decode("utf-8", "replace")


def _piece(data: bytes) -> str | list[int]:
    """A token's text, or its bytes if they are no whole characters."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return list(data)


_TOKENIZE = fields({"content": TEXT}, model=TEXT, add_special=FLAG, parse_special=FLAG, with_pieces=FLAG)
_TEMPLATE = fields(
    {"messages": listing(_MESSAGE, least=1)},
    model=TEXT,
    tools=listing(_TOOL),
    chat_template_kwargs=mapping(ANYTHING),
)
_HEALTH = fields({"status": schema.one_of("ok")})

SURFACE = Surface(
    name="edgewise",
    prefixes=("/",),
    endpoints=(
        Endpoint(
            ("GET", "HEAD"), "/health", health, "Whether the server is ready.",
            reply=_HEALTH, errors=(503,), is_open=True,
        ),
        Endpoint(("GET",), "/v1/health", health, "The same.", reply=_HEALTH, errors=(503,), is_open=True),
        Endpoint(("GET",), "/metrics", metrics, "Counters for Prometheus.", media_type="text/plain"),
        Endpoint(
            ("POST",), "/tokenize", tokenize, "Tokens of a text.",
            body=_TOKENIZE, reply=fields({"tokens": listing(ANYTHING)}), is_long=True,
        ),
        Endpoint(
            ("POST",), "/detokenize", detokenize, "Text of tokens.",
            body=fields({"tokens": listing(_TOKEN)}, model=TEXT), reply=fields({"content": TEXT}), is_long=True,
        ),
        Endpoint(
            ("POST",), "/apply-template", apply_template, "The prompt that messages become.",
            body=_TEMPLATE, reply=fields({"prompt": text()}), is_long=True,
        ),
        Endpoint(("GET",), "/openapi.json", document, "This document.", reply=mapping(ANYTHING)),
        Endpoint(("GET",), "/docs", page, "A page that shows this document.", media_type="text/html"),
    ),
    error=error,
    error_shape=ERROR,
)  # fmt: skip
