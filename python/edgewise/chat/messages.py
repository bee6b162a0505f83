"""Messages as a template can take them. Each rule is a function; `adapt` applies those that the template needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgewise.chat.formats import text_of
from edgewise.chat.json_text import shown
from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from edgewise.chat.dialects import Dialect
    from edgewise.chat.template import Message
    from edgewise.chat.traits import Traits

# The names under which a message's reasoning is found; templates read the first.
_REASONING = ("reasoning_content", "thinking", "reasoning")
_SHORT_ID = 9  # characters of an id of Mistral's


def plain(value: Any) -> Any:
    """A copy made of nothing but JSON's types, so that a template finds no methods to call on it.

    Raises:
        InvalidArgument: if something else is in it.
    """
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise InvalidArgument(f"messages and tools are made of JSON's types, not of {type(value).__name__}")


def as_transformers_does(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """What `transformers` does before it renders: fields that are null go, and reasoning has its usual names.

    Raises:
        InvalidArgument: if a message is not a dict with a role.
    """
    result: list[Message] = []
    for given in messages:
        if not isinstance(given, Mapping) or not isinstance(given.get("role"), str):
            raise InvalidArgument(f"messages must be dicts with a role and content, got {shown(given)}")
        message = {key: plain(value) for key, value in given.items() if value is not None}
        reasoning = next((message[key] for key in _REASONING if key in message), None)
        if reasoning is not None:
            message = {"thinking": reasoning, **message, "reasoning_content": reasoning}
        result.append(message)
    return result


def adapt(messages: Sequence[Mapping[str, Any]], traits: Traits, dialect: Dialect) -> list[Message]:
    """Messages for a template with these traits.

    Args:
        messages: as a client gave them, in OpenAI's form; `tool_name` and arguments as a dict are fine too.
        traits: what the template takes.
        dialect: how the model writes calls, for templates that show none.

    Raises:
        InvalidArgument: if a message is not one, a part of it is no text, or a call's arguments are no object.
    """
    adapted = [_with_text(message, traits) for message in as_transformers_does(messages)]
    adapted = _with_whole_calls(adapted)
    if not traits.knows_developer:
        adapted = [{**one, "role": "system"} if one["role"] == "developer" else one for one in adapted]
    if not traits.takes_calls:
        adapted = [_with_written_calls(message, dialect) for message in adapted]
    elif not traits.takes_parallel_calls:
        adapted = _one_call_each(adapted)
    if not traits.takes_results:
        adapted = [_result_of_user(message) for message in adapted]
    adapted = [_with_content(message, traits) for message in adapted]
    if traits.needs_short_ids:
        adapted = _with_short_ids(adapted)
    if traits.arguments == "text":
        adapted = [_with_arguments_as_text(message) for message in adapted]
    if not traits.takes_system:
        adapted = _system_into_first_user_message(adapted)
    if not traits.takes_repeated_roles:
        adapted = _merged(adapted)
    if traits.takes_only_parts:
        adapted = [_with_parts(message) for message in adapted]
    return adapted


def _with_text(message: Message, traits: Traits) -> Message:
    """Content that is a list of text parts becomes text, unless the template takes lists and nothing else."""
    if "content" not in message or isinstance(message["content"], str) or traits.takes_only_parts:
        return message
    return {**message, "content": text_of(message)}


def _with_content(message: Message, traits: Traits) -> Message:
    """Content is there, except beside calls where the template can do without."""
    is_fine = "content" in message or (traits.takes_missing_content and "tool_calls" in message)
    return message if is_fine else {**message, "content": ""}


def _with_parts(message: Message) -> Message:
    content = message.get("content")
    return {**message, "content": [{"type": "text", "text": content}]} if isinstance(content, str) else message


def _with_whole_calls(messages: list[Message]) -> list[Message]:
    """Calls have a type, and arguments that are a dict; results have the name of what was called."""
    names: dict[str, str] = {}
    result: list[Message] = []
    for message in messages:
        if message.get("tool_calls"):
            message = {**message, "tool_calls": [_whole_call(call) for call in message["tool_calls"]]}
            names |= {call["id"]: call["function"]["name"] for call in message["tool_calls"] if "id" in call}
        elif "tool_calls" in message:
            message = {key: value for key, value in message.items() if key != "tool_calls"}
        if message["role"] == "tool" and "name" not in message:
            name = message.get("tool_name", names.get(message.get("tool_call_id", "")))
            message = message if name is None else {**message, "name": name}
        result.append(message)
    return result


def _whole_call(call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InvalidArgument(f"tool_calls: a call has a function with a name, got {shown(call)}")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            raise InvalidArgument(
                f"tool_calls: the arguments of {function['name']} are not JSON: {shown(arguments)}"
            ) from None
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise InvalidArgument(
            f"tool_calls: the arguments of {function['name']} must be an object, got {shown(arguments)}"
        )
    return {"type": "function", **call, "function": {**function, "arguments": arguments}}


def _with_arguments_as_text(message: Message) -> Message:
    if not message.get("tool_calls"):
        return message
    calls = [
        {
            **call,
            "function": {
                **call["function"],
                "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False),
            },
        }
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _with_written_calls(message: Message, dialect: Dialect) -> Message:
    """Where a template shows no calls, the assistant's words hold them, as the model would write them."""
    if not message.get("tool_calls"):
        return message
    functions = [call["function"] for call in message["tool_calls"]]
    calls = dialect.write([(function["name"], function["arguments"]) for function in functions])
    kept = {key: value for key, value in message.items() if key != "tool_calls"}
    return {**kept, "content": "\n".join(filter(None, (text_of(message), calls)))}


def _one_call_each(messages: list[Message]) -> list[Message]:
    """A turn of several calls becomes a turn for each, with its result behind it."""
    result: list[Message] = []
    index = 0
    while index < len(messages):
        message = messages[index]
        index += 1
        calls = message.get("tool_calls") or []
        if len(calls) < 2:
            result.append(message)
            continue
        answers = []
        while index < len(messages) and messages[index]["role"] == "tool":
            answers.append(messages[index])
            index += 1
        for place, call in enumerate(calls):
            result.append({**message, "tool_calls": [call], "content": text_of(message) if place == 0 else ""})
            mine = (
                [one for one in answers if one.get("tool_call_id") == call.get("id")] if "id" in call else answers[:1]
            )
            result += mine
            answers = [one for one in answers if one not in mine]
        result += answers
    return result


def _result_of_user(message: Message) -> Message:
    """Where a template knows no results of calls, the user tells them."""
    if message["role"] != "tool":
        return message
    what = f"Result of {message['name']}" if "name" in message else "Result"
    return {"role": "user", "content": f"{what}:\n{text_of(message)}"}


def _with_short_ids(messages: list[Message]) -> list[Message]:
    """Ids of nine letters and digits, which some templates insist on: kept where they are such, numbers elsewhere."""
    short: dict[str, str] = {}
    unanswered: list[str] = []
    result: list[Message] = []
    count = 0
    for message in messages:
        if message.get("tool_calls"):
            calls = []
            for call in message["tool_calls"]:
                given = call.get("id", "")
                is_short = len(given) == _SHORT_ID and given.isalnum()
                short[given] = given if is_short else f"{count:0{_SHORT_ID}d}"
                count += 1
                unanswered.append(short[given])
                calls.append({**call, "id": short[given]})
            message = {**message, "tool_calls": calls}
        if message["role"] == "tool":
            given = message.get("tool_call_id", "")
            known = short.get(given) if given else None
            chosen = known or (unanswered[0] if unanswered else f"{count:0{_SHORT_ID}d}")
            if chosen in unanswered:
                unanswered.remove(chosen)
            message = {**message, "tool_call_id": chosen}
        result.append(message)
    return result


def _system_into_first_user_message(messages: list[Message]) -> list[Message]:
    """Where a template refuses or drops system messages, the first user message begins with them."""
    system = [text_of(message) for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if not system:
        return others
    words = "\n\n".join(system)
    for index, message in enumerate(others):
        if message["role"] == "user":
            others[index] = {**message, "content": f"{words}\n\n{text_of(message)}"}
            return others
    return [{"role": "user", "content": words}, *others]


def _merged(messages: list[Message]) -> list[Message]:
    """Where a template insists that roles alternate, messages of one role in a row become one."""
    result: list[Message] = []
    for message in messages:
        last = result[-1] if result else None
        is_words = message["role"] in ("user", "assistant") and "tool_calls" not in message
        if is_words and last is not None and last["role"] == message["role"] and "tool_calls" not in last:
            result[-1] = {**last, "content": f"{text_of(last)}\n\n{text_of(message)}"}
        else:
            result.append(message)
    return result
