"""From the input of a Responses request to messages, and from its tools to those of chat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.server.content import as_content
from edgewise.server.schema import WrongField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_INPUT_OF_CUSTOM_TOOL = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def messages(given: str | Sequence[Mapping[str, Any]], instructions: str | None) -> list[dict[str, Any]]:
    """The conversation, in the form of chat completions.

    Args:
        given: a text, or items: messages, calls, their results, reasoning.
        instructions: what comes before all of it.

    Raises:
        WrongField: if an item is none that can be read here.
    """
    found: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(given, str):
        return [*found, {"role": "user", "content": given}]
    reasoning = ""
    for index, item in enumerate(given):
        where = f"input[{index}]"
        if item.get("type") == "reasoning":
            reasoning = _reasoning(item, where)
            continue
        message = _message(item, where)
        if message["role"] == "assistant" and reasoning:
            message["reasoning_content"], reasoning = reasoning, ""
        last = found[-1] if found else {}
        if "tool_calls" in message and last.get("role") == "assistant":  # calls of one turn
            last["tool_calls"] = [*last.get("tool_calls", ()), *message["tool_calls"]]
        else:
            found.append(message)
    return found


def custom_names(tools: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Names of tools whose input is a text."""
    return frozenset(str(tool.get("name")) for tool in tools if tool["type"] == "custom")


def offered(tools: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Tools that the client runs. Those that OpenAI runs there is nobody for here, so the model is not told of them."""
    return [tool for tool in tools if tool["type"] in ("function", "custom")]


def as_chat_tools(tools: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The same tools in the form of chat completions.

    Raises:
        WrongField: if one has no name.
    """
    found: list[Mapping[str, Any]] = []
    for index, tool in enumerate(tools):
        if not tool.get("name"):
            raise WrongField(f"tools[{index}].name", f"tools[{index}].name is required")
        parameters = _INPUT_OF_CUSTOM_TOOL if tool["type"] == "custom" else tool.get("parameters")
        function = {"name": tool["name"], "description": tool.get("description") or "", "parameters": parameters}
        found.append({"type": "function", "function": function})
    return found


def _message(item: Mapping[str, Any], where: str) -> dict[str, Any]:
    kind = item.get("type") or "message"
    if kind == "message":
        if item.get("role") is None:
            raise WrongField(f"{where}.role", f"{where}.role is required")
        return {"role": item["role"], "content": as_content(item.get("content"), f"{where}.content")}
    if kind in ("function_call", "custom_tool_call"):
        return {"role": "assistant", "content": "", "tool_calls": [_call(item, where)]}
    if kind in ("function_call_output", "custom_tool_call_output"):
        content = as_content(item.get("output"), f"{where}.output")
        return {"role": "tool", "tool_call_id": item.get("call_id") or "", "content": content}
    hint = "; nothing is kept between requests" if kind == "item_reference" else ""
    raise WrongField(f"{where}.type", f"{where}: items of the type {kind!r:.40} can not be read here{hint}")


def _call(item: Mapping[str, Any], where: str) -> dict[str, Any]:
    if not item.get("name"):
        raise WrongField(f"{where}.name", f"{where}.name is required")
    arguments = {"input": item.get("input") or ""} if item["type"] == "custom_tool_call" else item.get("arguments")
    return {
        "id": item.get("call_id") or "",
        "type": "function",
        "function": {"name": item["name"], "arguments": arguments or {}},
    }


def _reasoning(item: Mapping[str, Any], where: str) -> str:
    parts = [*(item.get("content") or ()), *(item.get("summary") or ())]
    return "\n".join(str(part.get("text") or "") for part in parts)
