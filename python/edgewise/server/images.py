"""Images in requests: found in messages, where a mark takes their place until the prompt is written."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewise.engine.protocol import Pictured
from edgewise.server.schema import WrongField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Image:
    """An image of a request.

    Args:
        field: of the request, in which it came.
        mark: text that stands for it in a message; nobody can guess it.
        data: the bytes of its file.
    """

    field: str
    mark: str
    data: bytes


def image(text: str, field: str) -> Image:
    """An image that came as base64, or as a `data:` URL of such.

    Args:
        text: of the field.
        field: where it came from.

    Raises:
        WrongField: if it is neither. Addresses are not followed: who asks could reach what only this machine can.
    """
    head, separator, rest = text.partition(",")
    if separator and head.startswith("data:") and head.endswith(";base64"):
        text = rest
    elif re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", text):
        raise WrongField(field, f"{field}: images come as base64 or as `data:` URLs; addresses are not followed")
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise WrongField(field, f"{field}: the image is no base64") from None
    if not data:
        raise WrongField(field, f"{field}: the image is empty")
    return Image(field, f"<image {secrets.token_hex(16)}>", data)


def image_in(part: Mapping[str, Any], field: str) -> Image:
    """The image of a part of a message, in OpenAI's forms or in Anthropic's.

    Raises:
        WrongField: if there is none that can be read.
    """
    source = part.get("image_url", part.get("source"))
    if isinstance(source, dict):
        source = source.get("url", source.get("data"))
    if not isinstance(source, str):
        raise WrongField(field, f"{field}: there is no image in it, as base64 or `data:` URL")
    return image(source, field)


def pictured(text: str, images: Sequence[Image]) -> Pictured:
    """A prompt with images where their marks stand."""
    by_mark = {one.mark: one.data for one in images}
    marks = "|".join(map(re.escape, by_mark))
    parts = [by_mark.get(part, part) for part in re.split(f"({marks})", text)]
    return Pictured(tuple(part for part in parts if part))
