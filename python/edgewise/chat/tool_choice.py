"""Answers that have to be calls: `tool_choice` as a constraint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.chat.json_text import shown
from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.chat.dialects import Dialect
    from edgewise.chat.grammar import GrammarConstraint, Grammars
    from edgewise.chat.rendering import ChatPrompt
    from edgewise.chat.tools import Tool

_MOST_CALLS = 8  # in one answer


def chosen_tools(tools: Sequence[Tool], choice: Any) -> tuple[Tool, ...] | None:
    """Which tools an answer has to call one of; None if it need not call any.

    Args:
        tools: those that the request offers.
        choice: OpenAI's `tool_choice`: None, `none`, `auto`, `required`, or a function, `{"function": {"name": ...}}`.

    Raises:
        InvalidArgument: if the choice is none of these, names no tool, or requires one where none is offered.
    """
    if choice is None or choice in ("auto", "none"):
        return None
    if choice == "required":
        if not tools:
            raise InvalidArgument("tool_choice: required, but there are no tools")
        return tuple(tools)
    function = choice.get("function", choice) if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise InvalidArgument(f"tool_choice: none, auto, required or a function by name, got {shown(choice)}")
    named = tuple(tool for tool in tools if tool.name == name)
    if not named:
        raise InvalidArgument(f"tool_choice: there is no tool {name!r}")
    return named


def constraint_for(
    grammars: Grammars, prompt: ChatPrompt, choice: Any, *, is_parallel: bool = True
) -> GrammarConstraint | None:
    """What makes the answer to a prompt a call, or several; None if `choice` asks for none.

    The model may reason first if the prompt opened that. Its calls have the form of its dialect, so that the prompt's
    `reader` reads them.

    Args:
        grammars: of the engine.
        prompt: with the tools.
        choice: see `chosen_tools`.
        is_parallel: more than one call may be in an answer.

    Raises:
        InvalidArgument: as `chosen_tools`, or naming the tool whose parameters cannot be served.
    """
    tools = chosen_tools(prompt.tools, choice)
    if tools is None:
        return None
    lines = _calls(grammars, prompt.dialect, tools, is_parallel=is_parallel)
    if prompt.is_thinking:
        lines += ["start: thought calls", grammars.thought(prompt.tags[1])]
    else:
        lines += ["start: calls"]
    return grammars.written("\n".join(lines) + "\n")


def _calls(grammars: Grammars, dialect: Dialect, tools: Sequence[Tool], *, is_parallel: bool) -> list[str]:
    """Rules whose `calls` is one call or more."""
    layout = dialect.layout
    lines = [f"one{index}: {_one(grammars, dialect, tool)}" for index, tool in enumerate(tools)]
    one = " | ".join(f"one{index}" for index in range(len(tools)))
    opening, closing, between = (grammars.literal(text) for text in (layout.opening, layout.closing, layout.between))
    if layout.is_list:
        more = f'(", " one){{0,{_MOST_CALLS - 1}}}' if is_parallel else ""
        return [*lines, f"one: {one}", f'calls: {opening} "[" one {more} "]" {closing}']
    more = f"({between} one){{0,{_MOST_CALLS - 1}}}" if is_parallel else ""
    return [*lines, f"one: {opening} ({one}) {closing}", f"calls: one {more}"]


def _one(grammars: Grammars, dialect: Dialect, tool: Tool) -> str:
    schema = {**tool.schema, "type": "object"}
    try:
        # Alone first, so that a fault is that of its tool.
        grammars.json_schema(schema)
        before, after = dialect.around(tool.name)
        return " ".join(filter(None, (grammars.literal(before), grammars.embedded(schema), grammars.literal(after))))
    except InvalidArgument as error:
        raise InvalidArgument(f"the parameters of {tool.name}: {error.message}", hint=error.hint) from error
