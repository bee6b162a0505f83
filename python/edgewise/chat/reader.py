"""Reads an answer as it comes: words, reasoning, calls of tools."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from edgewise.chat.call_readers import Verdict
from edgewise.chat.events import Event, ReasoningDelta, TextDelta, ToolCall
from edgewise.chat.reasoning import TAGS, ReasoningSplitter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgewise.chat.call_readers import CallReader
    from edgewise.chat.calls import Call
    from edgewise.chat.dialects import Dialect
    from edgewise.chat.tools import Tool

# Text in which a call was looked for in vain is searched again, if it is not longer than this many characters: text of
# nothing but opening marks would be searched for each of them.
_LONGEST_SECOND_LOOK = 4096


class AnswerReader:
    """Turns the text of an answer into events; where the text is cut changes nothing.

    Args:
        dialect: how the model writes calls; see `dialect_of`.
        tools: those that the request offers. Without any, nothing is read as a call.
        tags: what opens reasoning and what closes it; see `reasoning.tags_of`. None leaves it in the text.
        is_thinking: the prompt opened the reasoning already.
    """

    def __init__(
        self,
        dialect: Dialect,
        tools: Sequence[Tool] = (),
        *,
        tags: tuple[str, str] | None = TAGS[0],
        is_thinking: bool = False,
    ) -> None:
        self._splitter = ReasoningSplitter(tags, is_open=is_thinking) if tags is not None else None
        self._calls = _CallFinder(dialect, {tool.name: tool for tool in tools}) if tools else None
        self._count = 0

    def push(self, text: str) -> list[Event]:
        """Takes more of the answer, gives the events that are sure."""
        if self._splitter is None:
            return self._read(text)
        events: list[Event] = []
        for part in self._splitter.push(text):
            events += [ReasoningDelta(part.text)] if part.is_reasoning else self._read(part.text)
        return events

    def finish(self) -> list[Event]:
        """Gives what was held back, as the answer ends here: an unfinished call is text."""
        events: list[Event] = []
        for part in self._splitter.finish() if self._splitter else ():
            events += [ReasoningDelta(part.text)] if part.is_reasoning else self._read(part.text)
        return events + (self._events(self._calls.finish()) if self._calls else [])

    def _read(self, text: str) -> list[Event]:
        if self._calls is None:
            return [TextDelta(text)] if text else []
        return self._events(self._calls.push(text))

    def _events(self, found: list[str | Call]) -> list[Event]:
        events: list[Event] = []
        text = ""
        for one in [*found, None]:
            if isinstance(one, str):
                text += one
                continue
            if text:
                events.append(TextDelta(text))
                text = ""
            if one is not None:
                events.append(ToolCall(self._count, *one))
                self._count += 1
        return events


class _CallFinder:
    """Finds calls in text. Blanks around calls belong to nothing; all other text comes out again."""

    def __init__(self, dialect: Dialect, tools: Mapping[str, Tool]) -> None:
        self._dialect = dialect
        self._tools = tools
        self._pending: deque[str] = deque()  # characters that are to be looked at, again or for the first time
        self._blanks = ""  # may turn out to stand before a call
        self._held = ""  # may turn out to open one, or did
        self._reader: CallReader | None = None
        self._is_begin = True  # nothing but blanks and calls so far
        self._has_call = False

    def push(self, text: str) -> list[str | Call]:
        """Takes more text, gives text and calls that are sure."""
        self._pending.extend(text)
        found: list[str | Call] = []
        while self._pending:
            character = self._pending.popleft()
            found += self._seek(character) if self._reader is None else self._follow(self._reader, character)
        return found

    def finish(self) -> list[str | Call]:
        """Gives what was held back."""
        reader, self._reader = self._reader, None
        if reader is not None and reader.end():
            return list(reader.calls)
        text = self._blanks + self._held
        is_behind_call = self._has_call and self._is_begin and not self._held
        self._blanks = self._held = ""
        return [text] if text and not is_behind_call else []

    def _seek(self, character: str) -> list[str | Call]:
        if not self._held and character.isspace():
            self._blanks += character
            return []
        self._held += character
        bare = self._dialect.bare.get(self._held) if self._is_begin else None
        make = bare or self._dialect.openings.get(self._held)
        if make is not None:
            self._reader = make(self._tools)
            if bare is not None:
                self._held = ""
                return self._follow(self._reader, character)
        elif not any(opening.startswith(self._held) for opening in self._dialect.openings):
            return self._give_up()
        return []

    def _follow(self, reader: CallReader, character: str) -> list[str | Call]:
        self._held += character
        verdict = reader.feed(character)
        if verdict is Verdict.MORE:
            return []
        self._reader = None
        if verdict is Verdict.NONE:
            return self._give_up()
        if verdict is Verdict.PASSED:
            self._pending.extendleft(reversed(reader.leftover))
        self._blanks = self._held = ""
        self._is_begin = self._has_call = True
        return list(reader.calls)

    def _give_up(self) -> list[str | Call]:
        """What is held is no call: its first character is text, the others may still open one."""
        sure = 1 if len(self._held) <= _LONGEST_SECOND_LOOK else len(self._held)
        text = self._blanks + self._held[:sure]
        self._pending.extendleft(reversed(self._held[sure:]))
        self._blanks = self._held = ""
        self._is_begin = False
        return [text]
