"""`/v1/messages`, and how many tokens a request has."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from edgewise.chat.events import ReasoningDelta, TextDelta, ToolCall
from edgewise.server.answering import Delta
from edgewise.server.anthropic.errors import failed
from edgewise.server.anthropic.requests import ask, has_one_call
from edgewise.server.replies import SSE, begin, dumps, event, reply
from edgewise.server.several import several, starts
from edgewise.server.timings import timings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from starlette.responses import Response

    from edgewise.chat.events import Event
    from edgewise.server.answering import Cost, Prepared, Reply
    from edgewise.server.ask import Ask
    from edgewise.server.endpoint import Call


async def create(call: Call) -> Response:
    """An answer to a conversation."""
    asked = ask(call)
    if call.body.get("stream"):
        return await begin(_events(call, asked), SSE, failed)
    blocks: list[dict[str, Any]] = []
    async with call.state.answers.prepare(asked) as prepared:
        async for _, said in several(starts(prepared, 1), 1, only_one_call=has_one_call(call.body)):
            if isinstance(said, Delta):
                _extend(blocks, said.event)
            else:
                _note(call, prepared, said.cost)
                end = {**_end(said, prepared), "usage": _usage(said.cost), "timings": timings(said.cost)}
    return reply({**_message(call), "content": blocks, **end})


async def count_tokens(call: Call) -> Response:
    """How many tokens a conversation has as a prompt."""
    return reply({"input_tokens": await call.state.answers.count(ask(call))})


def _message(call: Call) -> dict[str, Any]:
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": call.body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _usage(cost: Cost) -> dict[str, int]:
    """Cached tokens are counted apart from the others."""
    return {
        "input_tokens": cost.prompt_tokens - cost.cached_tokens,
        "cache_read_input_tokens": cost.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": cost.generated_tokens,
    }


def _note(call: Call, prepared: Prepared, cost: Cost) -> None:
    name = prepared.lease.model.installed.name
    call.notes |= {"model": name, "prompt": cost.prompt_tokens, "answer": cost.generated_tokens}


def _end(answer: Reply, prepared: Prepared) -> dict[str, Any]:
    """Why an answer ended."""
    if answer.called_tools:
        return {"stop_reason": "tool_use", "stop_sequence": None}
    if answer.finish_reason == "length":
        return {"stop_reason": "max_tokens", "stop_sequence": None}
    stop = _stop_text(answer, prepared)
    return {"stop_reason": "end_turn" if stop is None else "stop_sequence", "stop_sequence": stop}


def _stop_text(answer: Reply, prepared: Prepared) -> str | None:
    """Which of the texts that end an answer did."""
    stops = prepared.ask.sampling.get("stop")
    if not stops:
        return None
    text = prepared.lease.model.engine.detokenize(answer.tokens).decode("utf-8", "replace")
    found = [(text.index(stop), stop) for stop in stops if stop in text]
    return min(found)[1] if found else None


def _extend(blocks: list[dict[str, Any]], said: Event | None) -> None:
    """Puts what was said into the block at hand, or into one more."""
    if isinstance(said, ToolCall):
        blocks.append(_opened(said) | {"input": said.arguments})
    elif said is not None:
        if not blocks or blocks[-1]["type"] != _kind(said):
            blocks.append(_opened(said))
        blocks[-1][_kind(said)] += said.text


def _kind(said: Event) -> str:
    kinds = {TextDelta: "text", ReasoningDelta: "thinking", ToolCall: "tool_use"}
    return kinds[type(said)]


def _opened(said: Event) -> dict[str, Any]:
    """A block at its beginning."""
    if isinstance(said, ToolCall):
        return {"type": "tool_use", "id": f"toolu_{secrets.token_hex(12)}", "name": said.name, "input": {}}
    if isinstance(said, ReasoningDelta):
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _deltas(said: Event) -> Sequence[dict[str, str]]:
    if isinstance(said, ToolCall):
        return [{"type": "input_json_delta", "partial_json": dumps(said.arguments).decode()}]
    if isinstance(said, ReasoningDelta):
        return [{"type": "thinking_delta", "thinking": said.text}]
    return [{"type": "text_delta", "text": said.text}]


async def _events(call: Call, asked: Ask) -> AsyncGenerator[bytes, None]:
    """The events in the order that clients rely on: blocks one after the other, each opened and closed."""

    def said_as(kind: str, **data: Any) -> bytes:
        return event(kind, {"type": kind, **data})

    async with call.state.answers.prepare(asked) as prepared:
        index, open_kind = -1, ""
        is_begun = False
        async for _, said in several(starts(prepared, 1), 1, only_one_call=has_one_call(call.body)):
            if not is_begun:
                is_begun = True
                usage = {"input_tokens": len(prepared.spoken.tokens), "output_tokens": 0}
                yield said_as("message_start", message={**_message(call), "usage": usage})
                yield said_as("ping")
            if not isinstance(said, Delta):
                _note(call, prepared, said.cost)
                if open_kind:
                    yield _closed(index, open_kind)
                yield said_as(
                    "message_delta", delta=_end(said, prepared), usage=_usage(said.cost), timings=timings(said.cost)
                )
            elif said.event is not None:
                if _kind(said.event) != open_kind or isinstance(said.event, ToolCall):
                    if open_kind:
                        yield _closed(index, open_kind)
                    index, open_kind = index + 1, _kind(said.event)
                    yield said_as("content_block_start", index=index, content_block=_opened(said.event))
                for delta in _deltas(said.event):
                    yield said_as("content_block_delta", index=index, delta=delta)
    yield said_as("message_stop")


def _closed(index: int, kind: str) -> bytes:
    """The end of a block; clients keep a block of reasoning only with a signature, though there is nobody to sign."""
    end = event("content_block_stop", {"type": "content_block_stop", "index": index})
    if kind != "thinking":
        return end
    delta = {"type": "signature_delta", "signature": ""}
    return event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}) + end
