"""The content of messages: texts, and parts of other kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.server.replies import dumps
from edgewise.server.schema import WrongField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEXTS = ("text", "input_text", "output_text")
_IMAGES = ("image", "image_url", "input_image")


def messages_as_text(messages: Sequence[Mapping[str, Any]], images: list[str]) -> list[dict[str, Any]]:
    """Messages whose content is a text.

    Args:
        messages: in OpenAI's form.
        images: gets the fields that hold images.

    Raises:
        WrongField: if a part is neither text nor image.
    """
    return [
        {**message, "content": as_text(message.get("content"), f"messages[{index}].content", images)}
        if message.get("content") is not None
        else dict(message)
        for index, message in enumerate(messages)
    ]


def as_text(content: str | Sequence[Mapping[str, Any]] | None, where: str, images: list[str] | None = None) -> str:
    """The words of a message's content.

    Args:
        content: a text, or parts.
        where: the field that it came in.
        images: gets the fields that hold images; None where there may be none.

    Raises:
        WrongField: if a part of it is neither text nor image.
    """
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(block_text(part, f"{where}[{index}]", images) for index, part in enumerate(content))


def block_text(part: Mapping[str, Any], where: str, images: list[str] | None) -> str:
    """The words of one part; see `as_text`."""
    kind = part.get("type")
    if kind in _TEXTS:
        if not isinstance(part.get("text"), str):
            raise WrongField(f"{where}.text", f"{where}.text is required")
        return str(part["text"])
    if kind == "refusal":
        return str(part.get("refusal") or "")
    if kind == "input_json":
        return dumps(part.get("data")).decode()
    if kind in _IMAGES and images is not None:
        images.append(where)
        return ""
    raise WrongField(where, f"{where}: content of the type {kind!r:.40} can not be read here, only text")
