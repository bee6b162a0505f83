"""Chat completions as llama-cpp-python shapes them: a prompt from messages, and completions as chat dicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewise.chat import formats
from edgewise.chat.template import ChatTemplate, source_in
from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgewise.dropin.types import ChatCompletion, ChatCompletionChunk, ChatDelta, Completion, Logprobs

FILE_TEMPLATE = "chat_template.default"


@dataclass(frozen=True)
class ChatPrompt:
    """Messages as a prompt.

    Args:
        text: the prompt.
        has_special: it begins with the special tokens that it needs.
        stop: what ends the answer, beside the end tokens.
    """

    text: str
    has_special: bool
    stop: str | None


def default_format(metadata: Mapping[str, object]) -> str:
    """The format to use where the caller names none: the file's own template, else Llama 2's."""
    return FILE_TEMPLATE if "tokenizer.chat_template" in metadata else "llama-2"


def template_source(metadata: Mapping[str, object], chat_format: str) -> str | None:
    """The template that the file holds under this name; None if it holds none."""
    key = "tokenizer.chat_template" if chat_format == FILE_TEMPLATE else f"tokenizer.chat_template.{chat_format}"
    return source_in(metadata, key)


def prompt_for(
    messages: Sequence[Mapping[str, Any]], metadata: Mapping[str, object], chat_format: str, bos: str, eos: str
) -> ChatPrompt:
    """The prompt for these messages.

    Args:
        messages: dicts with `role` and `content`.
        metadata: of the model file.
        chat_format: `chat_template.default` for the file's own template, or a name that `chat.formats` knows.
        bos: text of the beginning-of-sequence token.
        eos: text of the end-of-sequence token.

    Raises:
        InvalidArgument: if a message is not a dict with a role, or the template refuses the messages.
        ModelFileError: if the file's template is no text.
        UnsupportedError: if no format has that name.
    """
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidArgument(f"messages must be dicts with a role and content, got {message!r}")
    source = template_source(metadata, chat_format)
    if source is not None:
        return ChatPrompt(ChatTemplate(source, bos, eos).render(messages), has_special=True, stop=eos or None)
    named = formats.named(chat_format)
    return ChatPrompt(named.render(messages), has_special=False, stop=named.stop)


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
            yield _chunk(chunk, {"role": "assistant"}, with_reason=False)
            is_first = False
        choice = chunk["choices"][0]
        yield _chunk(chunk, {"content": choice["text"]} if choice["finish_reason"] is None else {}, with_reason=True)


def _chunk(chunk: Completion, delta: ChatDelta, *, with_reason: bool) -> ChatCompletionChunk:
    choice = chunk["choices"][0]
    return {
        "id": "chat" + chunk["id"],
        "model": chunk["model"],
        "created": chunk["created"],
        "object": "chat.completion.chunk",
        "choices": [
            {
                "index": 0,
                "delta": delta,
                "logprobs": _chat_logprobs(choice["logprobs"]) if with_reason else None,
                "finish_reason": choice["finish_reason"] if with_reason else None,
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
