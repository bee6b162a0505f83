"""`/v1/responses`, without a memory: nothing is kept, each request brings the whole conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.chat.events import ReasoningDelta
from edgewise.server.answering import Delta
from edgewise.server.ask import Format
from edgewise.server.openai import response_input
from edgewise.server.openai.chat import note
from edgewise.server.openai.errors import error
from edgewise.server.openai.forms import logprobs, new_id, now
from edgewise.server.openai.requests import ask, chosen_tools, sampling, think
from edgewise.server.openai.response_output import Output
from edgewise.server.openai.shapes import CONTENT, EFFORT, MODEL, SAMPLING
from edgewise.server.replies import SSE, begin, event, reply
from edgewise.server.schema import ANYTHING, FLAG, TEXT, WrongField, either, fields, listing, mapping, one_of, whole
from edgewise.server.several import several, starts
from edgewise.server.timings import timings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from starlette.responses import Response

    from edgewise.engine.protocol import Engine
    from edgewise.server.answering import Cost, Prepared, Reply
    from edgewise.server.ask import Ask
    from edgewise.server.endpoint import Call
    from edgewise.server.refusals import Refusal


async def create(call: Call) -> Response:
    """An answer to a conversation."""
    asked = _ask(call)
    answer = _Answer(call)
    if call.body.get("stream"):
        return await begin(_events(call, asked, answer), SSE, answer.failed)
    async with call.state.answers.prepare(asked) as prepared:
        async for _, said in several(starts(prepared, 1), 1, only_one_call=answer.has_one_call):
            answer.hear(said, prepared)
    return reply(answer.form())


async def input_tokens(call: Call) -> Response:
    """How many tokens a conversation has as a prompt."""
    count = await call.state.answers.count(_ask(call))
    return reply({"object": "response.input_tokens", "input_tokens": count})


def _ask(call: Call) -> Ask:
    body = call.body
    for name in ("previous_response_id", "conversation", "prompt"):
        if body.get(name) is not None:
            raise WrongField(name, f"{name}: nothing is kept between requests; send the whole conversation as input")
    if body.get("background"):
        raise WrongField("background", "background: an answer is there once it was waited for, or not at all")
    given = sampling(body)
    if body.get("max_output_tokens") is not None:
        given["max_tokens"] = int(body["max_output_tokens"])
    if _has_logprobs(body):
        given |= {"logprobs": True, "top_logprobs": int(body.get("top_logprobs") or 0)}
    tools = response_input.as_chat_tools(response_input.offered(body.get("tools") or ()))
    tools, tool_choice = chosen_tools(tools, body.get("tool_choice"))
    return ask(
        call,
        messages=response_input.messages(body.get("input") or "", body.get("instructions")),
        tools=tools,
        tool_choice=tool_choice,
        has_parallel_calls=body.get("parallel_tool_calls") is not False,
        format=_format(body),
        think=think(body),
        sampling=given,
        truncate=body.get("truncation") == "auto",
        remedy='a shorter input, or "truncation": "auto"',
    )


def _has_logprobs(body: Mapping[str, Any]) -> bool:
    return "message.output_text.logprobs" in (body.get("include") or ())


def _format(body: Mapping[str, Any]) -> Format | None:
    wanted = (body.get("text") or {}).get("format") or {"type": "text"}
    if wanted["type"] == "json_schema":
        if wanted.get("schema") is None:
            raise WrongField("text.format.schema", "text.format.schema is required")
        return Format("json_schema", wanted["schema"])
    return Format("json_object") if wanted["type"] == "json_object" else None


class _Answer:
    """A response in the making."""

    def __init__(self, call: Call) -> None:
        body = call.body
        self._call = call
        self._tools = response_input.offered(body.get("tools") or ())
        self._output = Output(response_input.custom_names(self._tools))
        self._has_logprobs = _has_logprobs(body)
        self._head = {"id": new_id("resp_"), "object": "response", "created_at": now()}
        self._status = "in_progress"
        self._why: dict[str, str] | None = None
        self._error: dict[str, str] | None = None
        self._cost: Cost | None = None
        self._reasoning_tokens = 0
        self._is_reasoning = False
        self._number = 0
        self.has_one_call = body.get("parallel_tool_calls") is False

    def hear(self, said: Delta | Reply, prepared: Prepared) -> list[bytes]:
        """Takes what was said, and gives the events that tell of it."""
        if not isinstance(said, Delta):
            return self._end(said, prepared)
        if said.event is not None:
            self._is_reasoning = isinstance(said.event, ReasoningDelta)
        self._reasoning_tokens += len(said.pieces) if self._is_reasoning else 0
        engine: Engine = prepared.lease.model.engine
        found = logprobs(engine, said.pieces) if self._has_logprobs else []
        return [self.told(**one) for one in self._output.hear(said.event, found)]

    def told(self, **data: Any) -> bytes:
        """An event, with its number."""
        self._number += 1
        return event(data["type"], {**data, "sequence_number": self._number - 1})

    def failed(self, refusal: Refusal) -> bytes:
        """The last events of a response that can not go on."""
        about = error(refusal)["error"]
        self._status = "failed"
        # Clients know two codes: theirs to mend is what is not `server_error`.
        self._error = {"code": "server_error", "message": about["message"]}
        return self.told(type="response.failed", response=self.form())

    def form(self) -> dict[str, Any]:
        """The response as it is now."""
        body = self._call.body
        more = {"timings": timings(self._cost)} if self._cost is not None else {}
        return {
            **self._head,
            "status": self._status,
            "completed_at": now() if self._status == "completed" else None,
            "error": self._error,
            "incomplete_details": self._why,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "metadata": body.get("metadata") or {},
            "model": body["model"],
            "output": [dict(item) for item in self._output.items],
            "parallel_tool_calls": not self.has_one_call,
            "previous_response_id": None,
            "reasoning": {"effort": (body.get("reasoning") or {}).get("effort"), "summary": None},
            "store": False,
            "temperature": body.get("temperature"),
            "text": {"format": (body.get("text") or {}).get("format") or {"type": "text"}},
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": self._tools,
            "top_p": body.get("top_p"),
            "truncation": body.get("truncation") or "disabled",
            "usage": self._usage(),
            "user": body.get("user"),
            **more,
        }

    def _end(self, answer: Reply, prepared: Prepared) -> list[bytes]:
        self._cost = answer.cost
        note(self._call, prepared.lease.model.installed.name, [answer.cost])
        is_cut = answer.finish_reason == "length" and not answer.called_tools
        self._status = "incomplete" if is_cut else "completed"
        self._why = {"reason": "max_output_tokens"} if is_cut else None
        events = [self.told(**one) for one in self._output.close(self._status)]
        return [*events, self.told(type=f"response.{self._status}", response=self.form())]

    def _usage(self) -> dict[str, Any] | None:
        cost = self._cost
        if cost is None:
            return None
        return {
            "input_tokens": cost.prompt_tokens,
            "input_tokens_details": {"cached_tokens": cost.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": cost.generated_tokens,
            "output_tokens_details": {"reasoning_tokens": self._reasoning_tokens},
            "total_tokens": cost.prompt_tokens + cost.generated_tokens,
        }


async def _events(call: Call, asked: Ask, answer: _Answer) -> AsyncGenerator[bytes, None]:
    async with call.state.answers.prepare(asked) as prepared:
        is_begun = False
        async for _, said in several(starts(prepared, 1), 1, only_one_call=answer.has_one_call):
            if not is_begun:
                is_begun = True
                yield answer.told(type="response.created", response=answer.form())
                yield answer.told(type="response.in_progress", response=answer.form())
            for one in answer.hear(said, prepared):
                yield one


_ITEM = fields(
    type=TEXT,
    id=TEXT,
    role=one_of("user", "assistant", "system", "developer"),
    content=CONTENT,
    summary=listing(fields(text=TEXT)),
    call_id=TEXT,
    name=TEXT,
    arguments=TEXT,
    input=TEXT,
    output=CONTENT,
)
_PROMPT = {
    "input": either(TEXT, listing(_ITEM)),
    "instructions": TEXT,
    "tools": listing(
        fields({"type": TEXT}, name=TEXT, description=TEXT, parameters=mapping(ANYTHING), strict=FLAG), most=128
    ),
    "tool_choice": either(one_of("none", "auto", "required"), fields({"type": TEXT}, name=TEXT)),
    "parallel_tool_calls": FLAG,
    "text": fields(
        format=fields({"type": one_of("text", "json_object", "json_schema")}, name=TEXT, schema=mapping(ANYTHING))
    ),
    "reasoning": fields(effort=EFFORT),
    "truncation": one_of("auto", "disabled"),
    "previous_response_id": TEXT,
    "conversation": either(TEXT, mapping(ANYTHING)),
}
REQUEST = fields(
    {"model": MODEL},
    stream=FLAG,
    max_output_tokens=whole(1, 2**31 - 1),
    include=listing(TEXT),
    top_logprobs=whole(0, 20),
    metadata=mapping(ANYTHING),
    background=FLAG,
    user=TEXT,
    **_PROMPT,
    **SAMPLING,
)
COUNT = fields({"model": MODEL}, **_PROMPT)
COUNTED = fields({"object": one_of("response.input_tokens"), "input_tokens": whole(0)})
RESPONSE = fields(
    {
        "id": TEXT,
        "object": one_of("response"),
        "created_at": whole(0),
        "status": one_of("completed", "incomplete"),
        "model": TEXT,
        "output": listing(fields({"type": TEXT, "id": TEXT, "status": TEXT})),
    },
    usage=mapping(ANYTHING),
)
