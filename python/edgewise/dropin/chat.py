"""Chat completions as llama-cpp-python shapes them: a prompt from messages, and completions as chat dicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewise.chat import formats
from edgewise.chat.rendering import ChatPrompts, token_text
from edgewise.chat.template import source_in
from edgewise.errors import InvalidArgument, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgewise.chat.reader import AnswerReader
    from edgewise.chat.rendering import ChatPrompt
    from edgewise.dropin.types import (
        ChatCompletion,
        ChatCompletionChunk,
        ChatDelta,
        Completion,
        FinishReason,
        Logprobs,
    )
    from edgewise.engine.protocol import Engine

FILE_TEMPLATE = "chat_template.default"


@dataclass(frozen=True)
class Asked:
    """Messages as a prompt.

    Args:
        text: the prompt.
        has_special: it begins with the special tokens that it needs.
        stop: what ends the answer, beside the end tokens.
        prompt: what else is known of it, where it comes from a template of the file.
    """

    text: str
    has_special: bool
    stop: str | None
    prompt: ChatPrompt | None = None

    def reader(self) -> AnswerReader | None:
        """Reads calls in the answer, where tools were offered."""
        return self.prompt.reader() if self.prompt is not None and self.prompt.tools else None


def default_format(metadata: Mapping[str, object]) -> str:
    """The format to use where the caller names none: the file's own template, else Llama 2's."""
    return FILE_TEMPLATE if "tokenizer.chat_template" in metadata else "llama-2"


def template_source(metadata: Mapping[str, object], chat_format: str) -> str | None:
    """The template that the file holds under this name; None if it holds none."""
    key = "tokenizer.chat_template" if chat_format == FILE_TEMPLATE else f"tokenizer.chat_template.{chat_format}"
    return source_in(metadata, key)


def ask(
    messages: Sequence[Mapping[str, Any]],
    engine: Engine,
    chat_format: str,
    tools: Sequence[Mapping[str, Any]] = (),
) -> Asked:
    """The prompt for these messages.

    Args:
        messages: dicts with `role` and `content`.
        engine: that answers.
        chat_format: `chat_template.default` for the file's own template, or a name that `chat.formats` knows.
        tools: that the answer may call.

    Raises:
        InvalidArgument: if a message is not a dict with a role, or the template refuses the messages.
        ModelFileError: if the file's template is no text.
        UnsupportedError: if no format has that name, or there are tools, but no template of the file.
    """
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidArgument(f"messages must be dicts with a role and content, got {message!r}")
    source = template_source(engine.metadata, chat_format)
    if source is not None:
        prompts = ChatPrompts(engine, None if chat_format == FILE_TEMPLATE else source)
        prompt = prompts.render(messages, tools=tools)
        return Asked(prompt.text, has_special=True, stop=token_text(engine, "eos") or None, prompt=prompt)
    if tools:
        raise UnsupportedError(
            f"tools need the chat template of the model's file, chat_format {chat_format!r} has no words for them"
        )
    named = formats.named(chat_format)
    return Asked(named.render(messages), has_special=False, stop=named.stop)


def to_chat(completion: Completion) -> ChatCompletion:
    """A whole completion as an answer."""
    choice = completion["choices"][0]
    return {
        "id": "chat" + completion["id"],
        "object": "chat.completion",
        "created": completion["created"],
        "model": completion["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": choice["text"]},
                "logprobs": _chat_logprobs(choice["logprobs"]),
                "finish_reason": choice["finish_reason"],
            }
        ],
        "usage": completion["usage"],
    }


def to_chat_chunks(chunks: Iterator[Completion]) -> Iterator[ChatCompletionChunk]:
    """Chunks of a completion as chunks of an answer; the first names the role."""
    is_first = True
    for chunk in chunks:
        if is_first:
            yield chat_chunk(chunk, {"role": "assistant"}, None)
            is_first = False
        choice = chunk["choices"][0]
        delta: ChatDelta = {"content": choice["text"]} if choice["finish_reason"] is None else {}
        yield chat_chunk(chunk, delta, choice["finish_reason"], _chat_logprobs(choice["logprobs"]))


def chat_chunk(
    chunk: Completion, delta: ChatDelta, reason: FinishReason | None, logprobs: dict[str, Any] | None = None
) -> ChatCompletionChunk:
    """A chunk of an answer that belongs to a chunk of a completion.

    Args:
        chunk: the completion's.
        delta: what it adds to the answer.
        reason: why the answer ends, if it does.
        logprobs: of its token.
    """
    return {
        "id": "chat" + chunk["id"],
        "model": chunk["model"],
        "created": chunk["created"],
        "object": "chat.completion.chunk",
        "choices": [
            {
                "index": 0,
                "delta": delta,
                "logprobs": logprobs,
                "finish_reason": reason,
            }
        ],
    }


def _chat_logprobs(logprobs: Logprobs | None) -> dict[str, Any] | None:
    if logprobs is None:
        return None
    rows = zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True)
    return {
        "content": [
            {
                "token": token,
                "bytes": None,
                "logprob": logprob,
                "top_logprobs": [
                    {"token": other, "logprob": value, "bytes": None} for other, value in (top or {}).items()
                ],
            }
            for token, logprob, top in rows
        ],
        "refusal": None,
    }
