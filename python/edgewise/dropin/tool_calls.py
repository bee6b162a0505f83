"""Calls of tools in chat completions, as OpenAI shapes them."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from edgewise.chat.events import ReasoningDelta, TextDelta, ToolCall
from edgewise.dropin.chat import chat_chunk, to_chat, to_chat_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgewise.chat.events import Event
    from edgewise.chat.reader import AnswerReader
    from edgewise.dropin.types import ChatCompletion, ChatCompletionChunk, ChatDelta, Completion


def to_answer(
    completion: Completion | Iterator[Completion], reader: AnswerReader | None
) -> ChatCompletion | Iterator[ChatCompletionChunk]:
    """A completion, whole or in chunks, as an answer of the same kind; a reader reads the calls in it."""
    if isinstance(completion, dict):
        return to_chat(completion) if reader is None else to_chat_with_calls(completion, reader)
    return to_chat_chunks(completion) if reader is None else to_chunks_with_calls(completion, reader)


def to_chat_with_calls(completion: Completion, reader: AnswerReader) -> ChatCompletion:
    """A whole completion as an answer whose calls are read."""
    answer = to_chat(completion)
    choice = answer["choices"][0]
    events = [*reader.push(completion["choices"][0]["text"]), *reader.finish()]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    reasoning = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    calls = [_call(event) for event in events if isinstance(event, ToolCall)]
    choice["message"]["content"] = text or None if calls else text
    if reasoning:
        choice["message"]["reasoning_content"] = reasoning
    if calls:
        choice["message"]["tool_calls"] = calls
        choice["finish_reason"] = "tool_calls"
    return answer


def to_chunks_with_calls(chunks: Iterator[Completion], reader: AnswerReader) -> Iterator[ChatCompletionChunk]:
    """Chunks of a completion as chunks of an answer whose calls are read; a call comes whole."""
    is_first, has_calls = True, False
    for chunk in chunks:
        if is_first:
            yield chat_chunk(chunk, {"role": "assistant"}, None)
            is_first = False
        choice = chunk["choices"][0]
        is_last = choice["finish_reason"] is not None
        for event in [*reader.push(choice["text"]), *(reader.finish() if is_last else [])]:
            has_calls = has_calls or isinstance(event, ToolCall)
            yield chat_chunk(chunk, _delta(event), None)
        if is_last:
            yield chat_chunk(chunk, {}, "tool_calls" if has_calls else choice["finish_reason"])


def _delta(event: Event) -> ChatDelta:
    if isinstance(event, TextDelta):
        return {"content": event.text}
    if isinstance(event, ReasoningDelta):
        return {"reasoning_content": event.text}
    return {"tool_calls": [{"index": event.index, **_call(event)}]}


def _call(event: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(event.arguments, ensure_ascii=False)
    function = {"name": event.name, "arguments": arguments}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}
