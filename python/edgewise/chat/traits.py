"""What a template takes, found by trying it: templates do not say, and refuse or drop what they do not know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from edgewise.chat.template import ChatTemplate, Message

_USER: Message = {"role": "user", "content": "needle-user"}
_ANSWER: Message = {"role": "assistant", "content": "needle-answer"}
_TOOL = {
    "type": "function",
    "function": {
        "name": "needle_tool",
        "description": "needle",
        "parameters": {"type": "object", "properties": {"needle_key": {"type": "string", "description": "needle"}}},
    },
}
_RESULT: Message = {"role": "tool", "name": "needle_tool", "tool_call_id": "needle001", "content": "needle-result"}


@dataclass(frozen=True)
class Traits:
    """What a template takes.

    Args:
        takes_tools: it shows the tools that it is given.
        takes_calls: it shows the calls in an assistant's message.
        takes_parallel_calls: also several in one message.
        takes_results: it shows messages of the role `tool`.
        takes_system: it shows system messages.
        takes_repeated_roles: it does not insist that user and assistant alternate.
        takes_missing_content: an assistant's message with calls may lack content.
        takes_only_parts: content has to be a list of parts.
        needs_short_ids: ids of calls must have nine letters.
        knows_developer: it has a meaning for the role `developer`.
        arguments: whether it wants the arguments of a call as an object or as text.
    """

    takes_tools: bool = False
    takes_calls: bool = False
    takes_parallel_calls: bool = False
    takes_results: bool = False
    takes_system: bool = True
    takes_repeated_roles: bool = True
    takes_missing_content: bool = True
    takes_only_parts: bool = False
    needs_short_ids: bool = False
    knows_developer: bool = False
    arguments: Literal["object", "text"] = "object"


def find_traits(template: ChatTemplate) -> Traits:
    """The traits of a template."""
    only_parts = not _shows(template, "needle-user", [_USER]) and _shows(template, "needle-user", [_parts(_USER)])
    trial = _Trial(template, only_parts)
    arguments: Literal["object", "text"] = "object"
    if not trial.shows_call({"needle_key": "needle-value"}) and trial.shows_call('{"needle_key": "needle-value"}'):
        arguments = "text"
    given: Any = {"needle_key": "needle-value"} if arguments == "object" else '{"needle_key": "needle-value"}'
    takes_calls = trial.shows_call(given)
    system: Message = {"role": "system", "content": "needle-system"}
    # A second question after the answer tells templates that repair a conversation from those that take it.
    return Traits(
        takes_tools="needle_tool" in trial.render([_USER], tools=[_TOOL]),
        takes_calls=takes_calls,
        takes_parallel_calls=takes_calls and trial.shows_call(given, count=2),
        takes_results=takes_calls and "needle-result" in trial.render([_USER, _call(given), _RESULT], tools=[_TOOL]),
        takes_system=_has(trial.render([system, _USER]), "needle-system", "needle-user"),
        takes_repeated_roles=_has(trial.render([_USER, {**_USER, "content": "needle-2"}]), "needle-user", "needle-2"),
        takes_missing_content=not takes_calls or trial.shows_call(given, content=None),
        takes_only_parts=only_parts,
        needs_short_ids=takes_calls and not trial.shows_call(given, id_="call_needle0001"),
        knows_developer="developer" in template.source,
        arguments=arguments,
    )


class _Trial:
    """Renders conversations; those that the template refuses are empty."""

    def __init__(self, template: ChatTemplate, only_parts: bool) -> None:
        self._template = template
        self._only_parts = only_parts

    def render(self, messages: list[Message], tools: list[dict[str, Any]] | None = None) -> str:
        return _render(self._template, [_parts(one) for one in messages] if self._only_parts else messages, tools)

    def shows_call(self, arguments: Any, *, count: int = 1, content: str | None = "", id_: str = "needle001") -> bool:
        message = _call(arguments, count, content, id_)
        prompt = self.render([_USER, message, {**_RESULT, "tool_call_id": id_}], tools=[_TOOL])
        # Python's own way to write a dict, or JSON within JSON, is not what the model has seen.
        is_odd = "{'needle_key'" in prompt or '\\"needle_key' in prompt
        return prompt.count("needle-value") >= count and not is_odd


def _call(arguments: Any, count: int = 1, content: str | None = "", id_: str = "needle001") -> Message:
    call = {"id": id_, "type": "function", "function": {"name": "needle_tool", "arguments": arguments}}
    message: Message = {"role": "assistant", "tool_calls": [call] * count}
    return message if content is None else {**message, "content": content}


def _parts(message: Message) -> Message:
    content = message.get("content")
    return {**message, "content": [{"type": "text", "text": content}]} if isinstance(content, str) else message


def _shows(template: ChatTemplate, needle: str, messages: list[Message]) -> bool:
    return needle in _render(template, messages, None)


def _has(text: str, *needles: str) -> bool:
    return all(needle in text for needle in needles)


def _render(template: ChatTemplate, messages: list[Message], tools: list[dict[str, Any]] | None) -> str:
    try:
        return template.render(messages, tools=tools)
    except InvalidArgument:
        return ""
