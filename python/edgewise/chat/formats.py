"""Chat formats by name, for files that carry no template: `Llama(chat_format="chatml")`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewise.errors import InvalidArgument, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Format:
    """What stands around each message.

    Args:
        user: before the user's words.
        user_end: after them.
        assistant: before the assistant's words; also opens the answer.
        assistant_end: after them.
        system: the system message's line, with `{}` for its words; None drops system messages.
        default_system: the system message where none is given; None for no system line at all.
        stop: what ends an answer.
    """

    user: str
    user_end: str
    assistant: str
    assistant_end: str
    system: str | None = None
    default_system: str | None = None
    stop: str | None = None

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The prompt for these messages, up to where the answer begins."""
        roles = [message["role"] for message in messages]
        parts: list[str] = []
        if self.system is not None and self.default_system is not None and "system" not in roles:
            parts.append(self.system.replace("{}", self.default_system))
        for message in messages:
            words = text_of(message)
            if message["role"] == "system" and self.system is not None:
                parts.append(self.system.replace("{}", words))
            elif message["role"] == "user":
                parts.append(self.user + words + self.user_end)
            elif message["role"] == "assistant":
                parts.append(self.assistant + words + self.assistant_end)
        return "".join(parts) + self.assistant


@dataclass(frozen=True)
class Llama2Format:
    """Llama 2 puts the system message inside the first user message. llama-cpp-python's default format."""

    stop: str | None = None

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The prompt for these messages, up to where the answer begins."""
        system = next((text_of(message) for message in messages if message["role"] == "system"), "")
        head = f"[INST] <<SYS>>\n{system}\n<</SYS>>" if system else ""
        openers = {"user": "<s>[INST]", "assistant": "[/INST]"}
        turns = [message for message in messages if message["role"] in openers]
        parts = [head, " "]
        for index, message in enumerate(turns):
            separator = " " if index % 2 == 0 else "</s>"
            if head and index == 0:
                parts.append(text_of(message) + separator)
            else:
                parts.append(openers[message["role"]] + text_of(message) + " " + separator)
        return "".join(parts) + "[/INST]"


_CHATML = {"user_end": "<|im_end|>\n", "assistant_end": "<|im_end|>\n", "system": "<|im_start|>system\n{}<|im_end|>\n"}

FORMATS: dict[str, Format | Llama2Format] = {
    "llama-2": Llama2Format(),
    "llama-3": Format(
        user="<|start_header_id|>user<|end_header_id|>\n\n",
        user_end="<|eot_id|>",
        assistant="<|start_header_id|>assistant<|end_header_id|>\n\n",
        assistant_end="<|eot_id|>",
        system="<|start_header_id|>system<|end_header_id|>\n\n{}<|eot_id|>",
        stop="<|eot_id|>",
    ),
    "chatml": Format(
        "<|im_start|>user\n", assistant="<|im_start|>assistant\n", default_system="", stop="<|im_end|>", **_CHATML
    ),
    "qwen": Format(
        "<|im_start|>user\n",
        assistant="<|im_start|>assistant\n",
        default_system="You are a helpful assistant.",
        stop="<|endoftext|>",
        **_CHATML,
    ),
    "gemma": Format(
        user="<start_of_turn>user\n",
        user_end="<end_of_turn>\n",
        assistant="<start_of_turn>model\n",
        assistant_end="<end_of_turn>\n",
        stop="<end_of_turn>\n",
    ),
    "mistral-instruct": Format(user="[INST] ", user_end=" [/INST]", assistant="", assistant_end="</s>", stop="</s>"),
    "zephyr": Format(
        user="<|user|>\n\n",
        user_end="</s>\n",
        assistant="<|assistant|>\n\n",
        assistant_end="</s>\n",
        system="<|system|>\n{}</s>\n",
        default_system="",
        stop="</s>",
    ),
}


def named(name: str) -> Format | Llama2Format:
    """The format of that name.

    Raises:
        UnsupportedError: if no format has that name.
    """
    if name not in FORMATS:
        raise UnsupportedError(
            f"chat_format {name!r} is not supported",
            hint=f"known: {', '.join(FORMATS)}; without chat_format the file's own template is used",
        )
    return FORMATS[name]


def text_of(message: Mapping[str, Any]) -> str:
    """The words of a message, whose content is a string or a list of text parts.

    Raises:
        InvalidArgument: if a part is not text.
    """
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or any(part.get("type") != "text" for part in content):
        raise InvalidArgument("message content must be text: a string or a list of text parts")
    return "".join(part["text"] for part in content)
