"""From the bodies of OpenAI's requests to an `Ask`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.errors import InvalidArgument
from edgewise.server.ask import Ask, Format
from edgewise.server.schema import WrongField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgewise.server.endpoint import Call

# What OpenAI's clients expect where they say nothing.
DEFAULTS: Mapping[str, Any] = {"temperature": 1.0, "top_p": 1.0, "top_k": 40, "min_p": 0.0}

_SAME = (
    "temperature",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
)
_EFFORTS: Mapping[str, bool | str] = {"none": False, "minimal": "low", "xhigh": "high", "max": "high"}


def sampling(body: Mapping[str, Any]) -> dict[str, Any]:
    """A request's options by the names of `GenerateOptions`."""
    given = {name: body[name] for name in _SAME if body.get(name) is not None}
    for name in ("top_k", "seed"):
        if body.get(name) is not None:
            given[name] = int(body[name])
    if body.get("stop"):
        stop = body["stop"]
        given["stop"] = tuple(text for text in ([stop] if isinstance(stop, str) else stop) if text)
    if body.get("logit_bias"):
        given["logit_bias"] = {_token_id(token): float(bias) for token, bias in body["logit_bias"].items()}
    return given


def ask(call: Call, **what: Any) -> Ask:
    """A request for an answer, with what all of OpenAI's requests may say."""
    shortening = {"truncate": bool(call.body.get("truncate")), "remedy": 'a shorter prompt, or "truncate": true'}
    return Ask(
        model=call.body["model"],
        defaults=DEFAULTS,
        namespace=call.namespace,
        arrived_s=call.started_s,
        insists_on_thinking=False,
        **{**shortening, **what},
    )


def answer_format(body: Mapping[str, Any]) -> Format | None:
    """The form that the answer is to have."""
    wanted = body.get("response_format") or {"type": "text"}
    for name in ("grammar", "guided_grammar"):
        if body.get(name):
            return Format("gbnf", body[name])
    if body.get("guided_regex"):
        return Format("regex", body["guided_regex"])
    if wanted["type"] in ("regex", "lark", "gbnf"):
        field = "pattern" if wanted["type"] == "regex" else "grammar"
        if not wanted.get(field):
            raise WrongField(f"response_format.{field}", f"response_format.{field} is required")
        return Format(wanted["type"], wanted[field])
    if wanted["type"] == "json_object":
        return Format("json_object")
    if wanted["type"] == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema")
        return Format("json_object") if schema is None else Format("json_schema", schema)
    return None


def think(body: Mapping[str, Any]) -> bool | str | None:
    """Whether to reason first, and how hard."""
    effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
    return None if effort is None else _EFFORTS.get(effort, effort)


def chosen_tools(
    tools: Sequence[Mapping[str, Any]], choice: str | Mapping[str, Any] | None
) -> tuple[list[Mapping[str, Any]], str | Mapping[str, Any] | None]:
    """Which tools the answer may call, and what of it it must: see `Ask.tool_choice`.

    Args:
        tools: in the form of chat completions.
        choice: the request's `tool_choice`, in that form or in that of responses.

    Raises:
        WrongField: if a tool is chosen that is not offered.
    """
    offered = list(tools)
    if choice is None or choice == "auto":
        return offered, None
    if choice == "none":
        return [], None
    if isinstance(choice, str):  # "required": the shape of the body lets nothing else through
        return _not_empty(offered), choice
    if choice["type"] == "allowed_tools":
        allowed = choice.get("allowed_tools") or choice
        names = {(tool.get("function") or tool).get("name") for tool in allowed.get("tools") or ()}
        offered = [tool for tool in offered if tool["function"]["name"] in names]
        return _not_empty(offered), "required" if allowed.get("mode") == "required" else None
    name = (choice.get("function") or choice).get("name")
    if name not in [tool["function"]["name"] for tool in offered]:
        raise WrongField("tool_choice", f"tool_choice: there is no tool {name!r} among the tools")
    return offered, named(str(name))


def named(tool: str) -> Mapping[str, Any]:
    """The choice of one tool."""
    return {"type": "function", "function": {"name": tool}}


def _not_empty(tools: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if not tools:
        raise WrongField("tool_choice", "tool_choice: there is no tool that could be called")
    return tools


def _token_id(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise InvalidArgument(f"logit_bias: {text!r:.40} is no token id")
    return int(text)
