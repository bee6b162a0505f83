"""What an answer is made of, as it comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class TextDelta:
    """Words for the reader."""

    text: str


@dataclass(frozen=True)
class ReasoningDelta:
    """Words of the model to itself."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """A function that the model wants to be called.

    Args:
        index: how many came before it in this answer.
        name: of the function.
        arguments: by name.
    """

    index: int
    name: str
    arguments: dict[str, Any]


Event = TextDelta | ReasoningDelta | ToolCall


def joined(events: Iterable[Event]) -> list[Event]:
    """The same with neighbouring pieces of one kind as one."""
    result: list[Event] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            result[-1] = TextDelta(last.text + event.text)
        elif isinstance(event, ReasoningDelta) and isinstance(last, ReasoningDelta):
            result[-1] = ReasoningDelta(last.text + event.text)
        else:
            result.append(event)
    return result
