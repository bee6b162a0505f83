"""`/api/generate` and `/api/chat`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from edgewise.chat.events import ReasoningDelta, TextDelta, ToolCall
from edgewise.errors import InvalidArgument
from edgewise.server.ask import Ask, Format
from edgewise.server.images import images_in, with_images
from edgewise.server.models import speech_of
from edgewise.server.parameters import OLLAMA_DEFAULTS, sampling
from edgewise.server.replies import NDJSON, begin, dumps, reply
from edgewise.server.settings import keep_alive_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from starlette.responses import Response

    from edgewise.engine.protocol import Piece
    from edgewise.server.answering import Cost, Delta, Prepared, Reply
    from edgewise.server.endpoint import Call
    from edgewise.server.refusals import Refusal


async def generate(call: Call) -> Response:
    """An answer to a prompt; without one, the model is loaded or unloaded."""
    body = call.body
    prompt = body.get("prompt") or ""
    if not (prompt or body.get("suffix") or body.get("context") or body.get("images")):
        return await _load(call, {"response": ""})
    raw, system, template = bool(body.get("raw")), body.get("system"), body.get("template")
    if raw and (system or template or body.get("context")):
        raise InvalidArgument("raw mode does not support template, system, or context")
    shape = _Generated(call)
    if raw or body.get("suffix"):
        given = with_images("", body.get("images") or (), "images")
        images = tuple(images_in([{"content": given}]))
        ask = _ask(call, prompt=prompt, suffix=body.get("suffix") or None, images=images)
    else:
        messages = [{"role": "system", "content": system}] if system else []
        content = with_images(prompt, body.get("images") or (), "images")
        ask = _ask(call, messages=[*messages, {"role": "user", "content": content}], template=template or None)
    if body.get("context"):
        if body.get("images"):
            raise InvalidArgument("images: a context of tokens has no place for them", hint="/api/chat has")
        ask = await _continued(call, ask)
    return await _answer(call, ask, shape)


async def chat(call: Call) -> Response:
    """An answer to a conversation; without one, the model is loaded or unloaded."""
    messages = call.body.get("messages") or []
    if not messages:
        return await _load(call, {"message": {"role": "assistant", "content": ""}})
    messages = [_with_images(one, f"messages[{index}].images") for index, one in enumerate(messages)]
    ask = _ask(call, messages=messages, tools=call.body.get("tools") or ())
    return await _answer(call, ask, _Chatted(call))


def failed(refusal: Refusal) -> bytes:
    """The last line of an answer that can not go on."""
    return dumps(error(refusal)) + b"\n"


def error(refusal: Refusal) -> dict[str, Any]:
    """A refusal in Ollama's form, and in its words where clients look for them."""
    if refusal.kind == "overloaded":
        return {"error": f"server busy, please try again.  maximum pending requests exceeded: {refusal.message}"}
    return {"error": refusal.message}


def keep_alive_of(call: Call) -> float | None:
    """How long a request wants its model to stay."""
    value = call.body.get("keep_alive")
    return None if value is None else keep_alive_seconds(value)


def context_of(call: Call) -> int | None:
    """How many tokens of context a request wants."""
    return int((call.body.get("options") or {}).get("num_ctx") or 0) or None


def now() -> str:
    """The time as RFC 3339 has it."""
    return datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")


def nanoseconds(seconds: float) -> int:
    """Ollama's unit of time."""
    return round(seconds * 1e9)


def metrics(cost: Cost) -> dict[str, Any]:
    """What the last line says of an answer's cost; `prompt_eval_duration` is that of tokens that were not cached."""
    found = {
        "total_duration": nanoseconds(cost.total_s),
        "load_duration": nanoseconds(cost.load_s),
        "prompt_eval_count": cost.prompt_tokens,
        "prompt_eval_cached_count": cost.cached_tokens,
        "prompt_eval_duration": nanoseconds(cost.prefill_s),
        "eval_count": cost.generated_tokens,
        "eval_duration": max(1, nanoseconds(_eval_s(cost))),
        "queue_duration": nanoseconds(cost.queue_s),
        "time_to_first_token": nanoseconds(cost.time_to_first_token_s),
        "inter_token_p50": nanoseconds(cost.inter_token_p50_s),
        "inter_token_p95": nanoseconds(cost.inter_token_p95_s),
    }
    if cost.truncated_tokens:
        found |= {"truncated": True, "truncated_tokens": cost.truncated_tokens}
    return found


def _eval_s(cost: Cost) -> float:
    """The time of all tokens that count, the first among them: it takes as long as the others do on average.

    Where there are no others to tell, it is that of the step that gave it, the prompt's: no rate is too high then.
    """
    others = cost.generated_tokens - 1
    return cost.decode_s * (others + 1) / others if others > 0 and cost.decode_s > 0 else cost.prefill_s


def _ask(call: Call, **what: Any) -> Ask:
    body = call.body
    given = sampling(body.get("options") or {})
    if body.get("logprobs"):
        given |= {"logprobs": True, "top_logprobs": int(body.get("top_logprobs") or 0)}
    if body.get("shift"):
        given["context_shift"] = True
    return Ask(
        model=body["model"],
        format=_format(body.get("format")),
        think=body.get("think"),
        sampling=given,
        defaults=OLLAMA_DEFAULTS,
        context_length=context_of(call),
        truncate=bool(body.get("truncate")),
        remedy='a longer context (options.num_ctx), a shorter prompt, or "truncate": true',
        keep_alive_s=keep_alive_of(call),
        namespace=call.namespace,
        arrived_s=call.started_s,
        **what,
    )


def _with_images(message: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    images = message.get("images")
    if not images:
        return message
    return {**message, "images": None, "content": with_images(message.get("content") or "", images, where)}


def _format(given: str | Mapping[str, Any] | None) -> Format | None:
    if not given:
        return None
    return Format("json_object") if isinstance(given, str) else Format("json_schema", given)


async def _continued(call: Call, ask: Ask) -> Ask:
    """The tokens of an earlier answer, and the new prompt behind them."""
    async with call.state.models.lease(ask.model, context_length=ask.context_length) as lease:
        model, earlier = lease.model, [int(token) for token in call.body["context"]]
        speech = await speech_of(model)
        prompt = await asyncio.to_thread(speech.render, ask.messages or (), ask)
        tokens = prompt.tokens or []
        bos = model.engine.metadata.get("tokenizer.ggml.bos_token_id")
        return replace(ask, messages=None, template=None, prompt=earlier + tokens[int(tokens[:1] == [bos]) :])


async def _load(call: Call, empty: Mapping[str, Any]) -> Response:
    keep_alive_s = keep_alive_of(call)
    name = call.body["model"]
    reason = "load"
    if keep_alive_s == 0:
        await call.state.models.unload(name)
        reason = "unload"
    else:
        async with call.state.models.lease(name, keep_alive_s=keep_alive_s, context_length=context_of(call)):
            pass
    return reply({"model": name, "created_at": now(), **empty, "done": True, "done_reason": reason})


class _Shape(ABC):
    """How deltas look in one of the two protocols."""

    def __init__(self, call: Call) -> None:
        self.model = call.body["model"]
        self.has_logprobs = bool(call.body.get("logprobs"))

    @abstractmethod
    def content(self, text: str, thinking: str, calls: Sequence[ToolCall]) -> dict[str, Any]:
        """What an answer says."""

    def end(self, prepared: Prepared, answer: Reply) -> dict[str, Any]:
        return {}

    def line(self, content: Mapping[str, Any], logprobs: Sequence[Any] = ()) -> dict[str, Any]:
        more = {"logprobs": list(logprobs)} if logprobs else {}
        return {"model": self.model, "created_at": now(), **content, "done": False, **more}


class _Generated(_Shape):
    def content(self, text: str, thinking: str, calls: Sequence[ToolCall]) -> dict[str, Any]:
        return {"response": text, **({"thinking": thinking} if thinking else {})}

    def end(self, prepared: Prepared, answer: Reply) -> dict[str, Any]:
        if prepared.ask.suffix is not None or prepared.ask.has_images:  # images are no tokens
            return {}
        return {"context": [*prepared.spoken.tokens, *answer.tokens]}


class _Chatted(_Shape):
    def content(self, text: str, thinking: str, calls: Sequence[ToolCall]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if thinking:
            message["thinking"] = thinking
        if calls:
            message["tool_calls"] = [
                {"function": {"index": one.index, "name": one.name, "arguments": one.arguments}} for one in calls
            ]
        return {"message": message}


async def _answer(call: Call, ask: Ask, shape: _Shape) -> Response:
    if call.body.get("stream") is not False:
        return await begin(_lines(call, ask, shape), NDJSON, failed)
    text = thinking = ""
    calls: list[ToolCall] = []
    logprobs: list[Any] = []
    async with call.state.answers.prepare(ask) as prepared, prepared.start() as answer:
        async for delta in answer:
            text += delta.event.text if isinstance(delta.event, TextDelta) else ""
            thinking += delta.event.text if isinstance(delta.event, ReasoningDelta) else ""
            calls += [delta.event] if isinstance(delta.event, ToolCall) else []
            logprobs += _logprobs(prepared, delta, shape)
        last = _last(call, prepared, answer, shape)
    return reply({**shape.line(shape.content(text, thinking, calls), logprobs), **last})


async def _lines(call: Call, ask: Ask, shape: _Shape) -> AsyncGenerator[bytes, None]:
    async with call.state.answers.prepare(ask) as prepared, prepared.start() as answer:
        async for delta in answer:
            logprobs = _logprobs(prepared, delta, shape)
            if delta.event is not None or logprobs:
                yield dumps(shape.line(_content(shape, delta), logprobs)) + b"\n"
        yield dumps({**shape.line(shape.content("", "", ())), **_last(call, prepared, answer, shape)}) + b"\n"


def _content(shape: _Shape, delta: Delta) -> dict[str, Any]:
    event = delta.event
    if isinstance(event, ToolCall):
        return shape.content("", "", [event])
    if isinstance(event, ReasoningDelta):
        return shape.content("", event.text, ())
    return shape.content(event.text if event is not None else "", "", ())


def _last(call: Call, prepared: Prepared, answer: Reply, shape: _Shape) -> dict[str, Any]:
    """What the last line has beside its content."""
    cost = answer.cost
    call.notes |= {
        "model": prepared.lease.model.installed.name,
        "prompt": cost.prompt_tokens,
        "answer": cost.generated_tokens,
    }
    return {"done": True, "done_reason": answer.finish_reason, **shape.end(prepared, answer), **metrics(cost)}


def _logprobs(prepared: Prepared, delta: Delta, shape: _Shape) -> list[dict[str, Any]]:
    return [_logprob(prepared, piece) for piece in delta.pieces] if shape.has_logprobs else []


def _logprob(prepared: Prepared, piece: Piece) -> dict[str, Any]:
    def entry(token: int, logprob: float | None) -> dict[str, Any]:
        data = prepared.lease.model.engine.detokenize([token], special=True) if token >= 0 else b""
        return {"token": data.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(data)}

    top = [entry(token, logprob) for token, logprob in piece.top_logprobs]
    return {**entry(piece.token, piece.logprob), **({"top_logprobs": top} if top else {})}
