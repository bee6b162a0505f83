"""The content of messages: texts, and parts of other kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.server.images import image_part
from edgewise.server.replies import dumps
from edgewise.server.schema import WrongField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEXTS = ("text", "input_text", "output_text")
_IMAGES = ("image", "image_url", "input_image")


def messages_of(messages: Sequence[Mapping[str, Any]], where: str = "messages") -> list[dict[str, Any]]:
    """Messages whose content is a text, or where there are images a list of texts and images.

    Args:
        messages: in OpenAI's form.
        where: the field that they came in.

    Raises:
        WrongField: if a part is something else.
    """
    return [
        {**message, "content": as_content(message.get("content"), f"{where}[{index}].content")}
        if message.get("content") is not None
        else dict(message)
        for index, message in enumerate(messages)
    ]


def as_content(content: str | Sequence[Mapping[str, Any]] | None, where: str) -> str | list[dict[str, Any]]:
    """A message's content: a text, or where there are images a list of texts and images.

    Raises:
        WrongField: if a part of it is neither.
    """
    if content is None or isinstance(content, str) or all(part.get("type") not in _IMAGES for part in content):
        return as_text(content, where)
    return [part_of(part, f"{where}[{index}]") for index, part in enumerate(content)]


def part_of(part: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A part of a message's content: a text, or an image.

    Raises:
        WrongField: if it is something else.
    """
    return image_part(part, where) if part.get("type") in _IMAGES else {"type": "text", "text": _text(part, where)}


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
        raise WrongField(where, f"{where}: images can not be seen here, only text can be read")
    raise WrongField(where, f"{where}: content of the type {kind!r:.40} can not be read here, only text")
