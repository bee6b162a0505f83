"""`/v1/chat/completions`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgewise.chat.events import ReasoningDelta, TextDelta, ToolCall
from edgewise.server.answering import Delta
from edgewise.server.content import messages_of
from edgewise.server.openai.errors import failed
from edgewise.server.openai.forms import DONE, FINGERPRINT, logprobs, new_id, now, tool_call, usage
from edgewise.server.openai.requests import answer_format, ask, chosen_tools, sampling, think
from edgewise.server.replies import SSE, begin, event, reply
from edgewise.server.several import several, starts
from edgewise.server.timings import timings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from starlette.responses import Response

    from edgewise.engine.protocol import Engine
    from edgewise.server.answering import Cost, Reply
    from edgewise.server.ask import Ask
    from edgewise.server.endpoint import Call


async def complete(call: Call) -> Response:
    """An answer to a conversation."""
    asked = _ask(call)
    if call.body.get("stream"):
        return await begin(_chunks(call, asked), SSE, failed)
    choices = [_Choice(index, bool(call.body.get("logprobs"))) for index in range(_count(call))]
    async with call.state.answers.prepare(asked) as prepared:
        engine, slots = prepared.lease.model.engine, prepared.lease.model.slots
        one_call = call.body.get("parallel_tool_calls") is False
        async for index, said in several(starts(prepared, len(choices)), slots, only_one_call=one_call):
            choices[index].hear(said, engine)
        note(call, prepared.lease.model.installed.name, [choice.cost for choice in choices])
    reasoning_tokens = sum(choice.reasoning_tokens for choice in choices)
    return reply(
        {
            **_head(call, new_id("chatcmpl-"), "chat.completion"),
            "choices": [choice.whole() for choice in choices],
            "usage": usage([choice.cost for choice in choices], reasoning_tokens),
            "timings": timings(choices[0].cost),
        }
    )


def note(call: Call, model: str, costs: list[Cost]) -> None:
    """Tells the log what a request was about."""
    call.notes |= {
        "model": model,
        "prompt": costs[0].prompt_tokens if costs else 0,
        "answer": sum(cost.generated_tokens for cost in costs),
    }


def _ask(call: Call) -> Ask:
    body = call.body
    given = sampling(body)
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if limit is not None:
        given["max_tokens"] = int(limit)
    if body.get("logprobs"):
        given |= {"logprobs": True, "top_logprobs": int(body.get("top_logprobs") or 0)}
    tools, tool_choice = chosen_tools(body.get("tools") or (), body.get("tool_choice"))
    return ask(
        call,
        messages=[_with_tools(one) for one in messages_of(body["messages"])],
        tools=tools,
        tool_choice=tool_choice,
        has_parallel_calls=body.get("parallel_tool_calls") is not False,
        format=answer_format(body),
        think=think(body),
        sampling=given,
        variables=body.get("chat_template_kwargs") or {},
    )


def _with_tools(message: dict[str, Any]) -> dict[str, Any]:
    """Functions are what OpenAI called tools before: a message of today's form."""
    if message["role"] == "function":
        return {**message, "role": "tool"}
    called = message.get("function_call")
    if not called:
        return message
    return {**message, "function_call": None, "tool_calls": [{"type": "function", "function": called}]}


def _count(call: Call) -> int:
    return int(call.body.get("n") or 1)


def _head(call: Call, answer_id: str, kind: str) -> dict[str, Any]:
    return {
        "id": answer_id,
        "object": kind,
        "created": now(),
        "model": call.body["model"],
        "system_fingerprint": FINGERPRINT,
    }


@dataclass
class _Choice:
    """One of the answers, as far as it was heard.

    Args:
        index: which one.
        has_logprobs: whether they are wanted.
    """

    index: int
    has_logprobs: bool
    text: str = ""
    reasoning: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    reasoning_tokens: int = 0
    is_reasoning: bool = False
    answer: Reply = field(init=False)

    @property
    def cost(self) -> Cost:
        """What it cost."""
        return self.answer.cost

    @property
    def finish_reason(self) -> str:
        """Why it ended."""
        return "tool_calls" if self.answer.called_tools else self.answer.finish_reason

    def hear(self, said: Delta | Reply, engine: Engine) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Takes what was said; gives what is new, as a delta and its log-probabilities."""
        if not isinstance(said, Delta):
            self.answer = said
            return {}, []
        delta: dict[str, Any] = {}
        heard = said.event
        if heard is not None:
            self.is_reasoning = isinstance(heard, ReasoningDelta)
        self.reasoning_tokens += len(said.pieces) if self.is_reasoning else 0
        if isinstance(heard, TextDelta):
            self.text += heard.text
            delta = {"content": heard.text}
        elif isinstance(heard, ReasoningDelta):
            self.reasoning += heard.text
            delta = {"reasoning": heard.text, "reasoning_content": heard.text}
        elif isinstance(heard, ToolCall):
            called = tool_call(heard, new_id("call_", 8))
            self.calls.append(called)
            delta = {"tool_calls": [{"index": len(self.calls) - 1, **called}]}
        found = logprobs(engine, said.pieces) if self.has_logprobs else []
        self.logprobs += found
        return delta, found

    def whole(self) -> dict[str, Any]:
        """All of it."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text or (None if self.calls else "")}
        if self.reasoning:
            message |= {"reasoning": self.reasoning, "reasoning_content": self.reasoning}
        if self.calls:
            message["tool_calls"] = self.calls
        return {
            "index": self.index,
            "message": message,
            "logprobs": {"content": self.logprobs, "refusal": None} if self.has_logprobs else None,
            "finish_reason": self.finish_reason,
        }


async def _chunks(call: Call, asked: Ask) -> AsyncGenerator[bytes, None]:
    head = _head(call, new_id("chatcmpl-"), "chat.completion.chunk")
    has_usage = bool((call.body.get("stream_options") or {}).get("include_usage"))
    choices = [_Choice(index, bool(call.body.get("logprobs"))) for index in range(_count(call))]
    begun: set[int] = set()

    def chunk(index: int, delta: Mapping[str, Any], more: Mapping[str, Any], **beside: Any) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        return event(None, {**head, "choices": [choice], **({"usage": None} if has_usage else {}), **beside})

    async with call.state.answers.prepare(asked) as prepared:
        engine, slots = prepared.lease.model.engine, prepared.lease.model.slots
        one_call = call.body.get("parallel_tool_calls") is False
        async for index, said in several(starts(prepared, len(choices)), slots, only_one_call=one_call):
            if index not in begun:
                begun.add(index)
                yield chunk(index, {"role": "assistant", "content": ""}, {})
            delta, found = choices[index].hear(said, engine)
            if not isinstance(said, Delta):
                more = {"finish_reason": choices[index].finish_reason}
                yield chunk(index, {}, more, timings=timings(choices[index].cost))
            elif delta or found:
                yield chunk(index, delta, {"logprobs": {"content": found, "refusal": None}} if found else {})
        costs = [choice.cost for choice in choices]
        note(call, prepared.lease.model.installed.name, costs)
    if has_usage:
        reasoning_tokens = sum(choice.reasoning_tokens for choice in choices)
        yield event(None, {**head, "choices": [], "usage": usage(costs, reasoning_tokens)})
    yield DONE
