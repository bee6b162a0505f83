"""The content of messages: texts, and parts of other kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.server.replies import dumps
from edgewise.server.schema import WrongField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEXTS = ("text", "input_text", "output_text")
_IMAGES = ("image", "image_url", "input_image")


def messages_as_text(messages: Sequence[Mapping[str, Any]], where: str = "messages") -> list[dict[str, Any]]:
    """Messages whose content is a text or a list of text parts.

    Args:
        messages: in OpenAI's form.
        where: the field that they came in.

    Raises:
        WrongField: if a part is something else.
    """
    return [
        {**message, "content": as_text(message.get("content"), f"{where}[{index}].content")}
        if message.get("content") is not None
        else dict(message)
        for index, message in enumerate(messages)
    ]


def as_text(content: str | Sequence[Mapping[str, Any]] | None, where: str) -> str:
    """The words of a message's content.

    Raises:
        WrongField: if a part of it is no text.
    """
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(_text(part, f"{where}[{index}]") for index, part in enumerate(content))


def _text(part: Mapping[str, Any], where: str) -> str:
    kind = part.get("type")
    if kind in _TEXTS:
        if not isinstance(part.get("text"), str):
            raise WrongField(f"{where}.text", f"{where}.text is required")
        return str(part["text"])
    if kind == "refusal":
        return str(part.get("refusal") or "")
    if kind == "input_json":
        return dumps(part.get("data")).decode()
    if kind in _IMAGES:
        raise WrongField(where, f"{where}: this model has no projector, so it can not see images")
    raise WrongField(where, f"{where}: content of the type {kind!r:.40} can not be read here, only text")
