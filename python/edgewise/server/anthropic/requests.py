"""From the bodies of Anthropic's requests to an `Ask`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.server.ask import Ask, Format
from edgewise.server.content import as_content, as_text, part_of
from edgewise.server.replies import dumps
from edgewise.server.schema import WrongField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgewise.server.endpoint import Call

# What Anthropic's clients expect where they say nothing.
DEFAULTS: Mapping[str, Any] = {"temperature": 1.0, "top_p": 1.0, "top_k": 40, "min_p": 0.0}


def ask(call: Call) -> Ask:
    """A request for an answer.

    Raises:
        WrongField: if a part of it is not what can be served here.
    """
    body = call.body
    tools, tool_choice = _tools(body)
    messages = conversation(body)
    return Ask(
        model=body["model"],
        messages=messages,
        tools=tools,
        tool_choice=tool_choice,
        has_parallel_calls=not has_one_call(body),
        format=_format(body),
        think=_think(body),
        insists_on_thinking=False,
        sampling=_sampling(body),
        defaults=DEFAULTS,
        truncate=bool(body.get("truncate")),
        remedy='a shorter prompt, or "truncate": true',
        namespace=call.namespace,
        arrived_s=call.started_s,
        continues=messages[-1]["role"] == "assistant" and not messages[-1].get("tool_calls"),
    )


def has_one_call(body: Mapping[str, Any]) -> bool:
    """Whether the answer may call one tool at most."""
    return bool((body.get("tool_choice") or {}).get("disable_parallel_tool_use"))


def conversation(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages, in OpenAI's form."""
    messages: list[dict[str, Any]] = []
    if body.get("system"):
        messages.append({"role": "system", "content": as_text(body["system"], "system")})
    for index, message in enumerate(body["messages"]):
        where = f"messages[{index}].content"
        if isinstance(message["content"], str):
            messages.append({"role": message["role"], "content": message["content"]})
        elif message["role"] == "assistant":
            messages.append(_assistant(message["content"], where))
        else:
            messages += _user(message["role"], message["content"], where)
    return messages


def _user(role: str, blocks: Sequence[Mapping[str, Any]], where: str) -> list[dict[str, Any]]:
    """A turn of the user: results of tools are messages of their own, before the words."""
    results, words = [], []
    for index, block in enumerate(blocks):
        if block["type"] == "tool_result":
            results.append(_result(block, f"{where}[{index}]"))
        else:
            words.append(part_of(block, f"{where}[{index}]"))
    return [*results, {"role": role, "content": _joined(words)}] if words or not results else results


def _joined(parts: Sequence[Mapping[str, Any]]) -> str | list[Mapping[str, Any]]:
    """Blocks of text stand apart; where there are images, these do that."""
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join(part["text"] for part in parts)
    return list(parts)


def _result(block: Mapping[str, Any], where: str) -> dict[str, Any]:
    call_id = block.get("tool_use_id")
    if not isinstance(call_id, str):
        raise WrongField(f"{where}.tool_use_id", f"{where}.tool_use_id is required")
    content = block.get("content")
    if content is not None and not isinstance(content, str | list):
        raise WrongField(f"{where}.content", f"{where}.content must be a text or a list of blocks")
    words = as_content(_blocks(content, f"{where}.content"), f"{where}.content")
    if block.get("is_error"):
        words = f"Error: {words}" if isinstance(words, str) else [{"type": "text", "text": "Error: "}, *words]
    return {"role": "tool", "tool_call_id": call_id, "content": words}


def _blocks(content: Any, where: str) -> Any:
    for index, block in enumerate(content if isinstance(content, list) else ()):
        if not isinstance(block, dict):
            raise WrongField(f"{where}[{index}]", f"{where}[{index}] must be an object")
    return content


def _assistant(blocks: Sequence[Mapping[str, Any]], where: str) -> dict[str, Any]:
    words, thoughts = "", ""
    calls = []
    for index, block in enumerate(blocks):
        kind = block["type"]
        if kind == "thinking":
            thoughts += str(block.get("thinking") or "")
        elif kind == "tool_use":
            calls.append(_call(block, f"{where}[{index}]"))
        elif kind != "redacted_thinking":
            words += as_text([block], f"{where}[{index}]")
    message: dict[str, Any] = {"role": "assistant", "content": words}
    if thoughts:
        message["reasoning_content"] = thoughts
    if calls:
        message["tool_calls"] = calls
    return message


def _call(block: Mapping[str, Any], where: str) -> dict[str, Any]:
    for name, kind in (("id", str), ("name", str), ("input", dict)):
        if not isinstance(block.get(name), kind):
            raise WrongField(f"{where}.{name}", f"{where}.{name} is required")
    function = {"name": block["name"], "arguments": dumps(block["input"]).decode()}
    return {"id": block["id"], "type": "function", "function": function}


def _tools(body: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], str | Mapping[str, Any] | None]:
    """The tools in OpenAI's form, and which of them the answer must call: see `Ask.tool_choice`."""
    tools: list[Mapping[str, Any]] = []
    names = []
    for index, tool in enumerate(body.get("tools") or ()):
        if tool.get("type") not in (None, "custom"):
            raise WrongField(
                f"tools[{index}].type",
                f"tools[{index}]: {tool['type']!r:.40} would have to run on this server; it only knows the client's",
            )
        function = {"name": tool["name"], "description": tool.get("description") or ""}
        names.append(tool["name"])
        tools.append({"type": "function", "function": {**function, "parameters": tool.get("input_schema")}})
    choice = body.get("tool_choice") or {"type": "auto"}
    if choice["type"] == "none":
        return [], None
    if choice["type"] == "auto":
        return tools, None
    if not tools:
        raise WrongField("tool_choice", "tool_choice: there is no tool that could be called")
    if choice["type"] == "any":
        return tools, "required"
    if choice.get("name") not in names:
        raise WrongField("tool_choice.name", f"tool_choice: there is no tool {choice.get('name')!r} among the tools")
    return tools, {"type": "function", "function": {"name": choice["name"]}}


def _think(body: Mapping[str, Any]) -> bool | str | None:
    kind = (body.get("thinking") or {}).get("type")
    if kind in ("enabled", "disabled"):
        return bool(kind == "enabled")
    return None  # the model decides


def _format(body: Mapping[str, Any]) -> Format | None:
    wanted = (body.get("output_config") or {}).get("format")
    return None if wanted is None else Format("json_schema", wanted["schema"])


def _sampling(body: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: body[name] for name in ("temperature", "top_p") if body.get(name) is not None}
    if body.get("top_k") is not None:
        given["top_k"] = int(body["top_k"])
    if body.get("max_tokens") is not None:
        given["max_tokens"] = int(body["max_tokens"])
    if body.get("stop_sequences"):
        given["stop"] = tuple(text for text in body["stop_sequences"] if text)
    return given
