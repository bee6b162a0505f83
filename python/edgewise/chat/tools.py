"""The tools that a request offers, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgewise.chat.json_text import shown
from edgewise.chat.messages import plain
from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ANY_OBJECT = {"type": "object"}


@dataclass(frozen=True)
class Tool:
    """A function that an answer may call.

    Args:
        name: of the function.
        description: what it does; empty if nobody says.
        schema: JSON schema of its arguments.
    """

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=lambda: _ANY_OBJECT)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters, in their order."""
        properties = self.schema.get("properties")
        return tuple(properties) if isinstance(properties, dict) else ()

    def is_text(self, parameter: str) -> bool:
        """Whether a parameter is a text and nothing else."""
        properties = self.schema.get("properties")
        about = properties.get(parameter) if isinstance(properties, dict) else None
        return isinstance(about, dict) and about.get("type") == "string"


def tools_from(given: Sequence[Mapping[str, Any]] | None) -> tuple[Tool, ...]:
    """Tools in OpenAI's form, `{"type": "function", "function": {"name", "description", "parameters"}}`.

    Raises:
        InvalidArgument: if one is not of that form, or two have one name.
    """
    tools = tuple(_tool(index, one) for index, one in enumerate(given or ()))
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise InvalidArgument(f"tools: two have the name {name!r}")
    return tools


def _tool(index: int, given: Any) -> Tool:
    function = given.get("function") if isinstance(given, dict) else None
    if not isinstance(function, dict) or given.get("type", "function") != "function":
        raise InvalidArgument(
            f'tools[{index}]: a tool is {{"type": "function", "function": {{...}}}}, got {shown(given)}'
        )
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidArgument(f"tools[{index}]: a function has a name, got {shown(name)}")
    schema = function.get("parameters")
    if schema is None:
        schema = _ANY_OBJECT
    if not isinstance(schema, dict):
        raise InvalidArgument(f"tools[{index}]: the parameters of {name} must be a JSON schema, got {shown(schema)}")
    description = function.get("description") or ""
    return Tool(name, str(description), plain(schema))
