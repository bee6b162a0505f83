"""Images in requests: found in their parts, and put where the prompt has them."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgewise.engine.images import MOST_IMAGES, Image, ImagePrompt, read_image
from edgewise.errors import InvalidArgument
from edgewise.server.schema import WrongField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEPT_OUT = "this server fetches nothing: send the image itself, as base64"


@dataclass(frozen=True)
class GivenImage:
    """An image as a request has it, not looked at yet.

    Args:
        where: the field that it came in.
        encoded: its bytes in base64.
    """

    where: str
    encoded: str = field(repr=False)

    def read(self) -> Image:
        """The image. To judge it takes moments, so this belongs into a thread.

        Raises:
            WrongField: if it is none that can be taken.
        """
        try:
            return read_image(base64.b64decode("".join(self.encoded.split()), validate=True))
        except (binascii.Error, ValueError) as error:
            if isinstance(error, InvalidArgument):
                reason = error.message if error.hint is None else f"{error.message} ({error.hint})"
            else:
                reason = "it is no base64"
            raise WrongField(self.where, f"{self.where}: {reason}") from None


def image_part(part: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A part of a message that is an image, in the one form that this server has for it.

    Args:
        part: of OpenAI's form (`image_url`, `input_image`) or Anthropic's (`image`).
        where: the field that it came in.

    Raises:
        WrongField: if the image is not in it.
    """
    if part["type"] == "image":
        return _part(f"{where}.source", _anthropic(part.get("source"), f"{where}.source"))
    url = part.get("image_url")
    where = f"{where}.image_url"
    if part["type"] == "image_url" and isinstance(url, dict):
        url, where = url.get("url"), f"{where}.url"
    if not isinstance(url, str):
        raise WrongField(where, f"{where} is required, as a data: URL")
    head, comma, encoded = url.partition(",")
    if not head.startswith("data:"):
        raise WrongField(where, f"{where}: {_KEPT_OUT}, in a data: URL")
    if not comma or not head.endswith(";base64"):
        raise WrongField(where, f"{where}: a data: URL of an image looks like data:image/png;base64,...")
    return _part(where, encoded)


def with_images(text: str, encoded: Sequence[str], where: str) -> str | list[dict[str, Any]]:
    """Ollama's form: images beside a text, seen before it."""
    if not encoded:
        return text
    images = [_part(f"{where}[{index}]", one) for index, one in enumerate(encoded)]
    return [*images, {"type": "text", "text": text}]


def images_in(messages: Sequence[Mapping[str, Any]]) -> list[GivenImage]:
    """All images of messages."""
    return [part["image"] for one in messages for part in _parts(one) if isinstance(part.get("image"), GivenImage)]


class Marks:
    """Stand for images while a template renders the messages around them.

    Each is random, so that no text of a user is mistaken for one.
    """

    def __init__(self) -> None:
        self._name = f"IMAGE{secrets.token_hex(12)}N"
        self._images: list[GivenImage] = []

    def put(self, messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The messages with a mark in place of each image; their content is text then."""
        return [
            {**one, "content": "".join(self._text(part) for part in one["content"])} if images_in([one]) else one
            for one in messages
        ]

    def texts(self, text: str) -> tuple[str, ...]:
        """What is before, between and behind the marks in a text."""
        return tuple(self._split(text)[::2])

    def prompt(self, text: str) -> ImagePrompt:
        """The prompt that a rendered text becomes.

        Raises:
            InvalidArgument: if the template shows no images, or they can not be taken.
        """
        split = self._split(text)
        places = [int(index) for index in split[1::2]]
        if not places:
            raise InvalidArgument("the model's chat template leaves these images away")
        if len(places) > MOST_IMAGES:
            raise InvalidArgument(f"{len(places)} images; a prompt may have {MOST_IMAGES}")
        return ImagePrompt(tuple(split[::2]), tuple(self._images[place].read() for place in places))

    def _split(self, text: str) -> list[str]:
        return re.split(rf"{self._name}(\d+)E", text)

    def _text(self, part: Mapping[str, Any]) -> str:
        image = part.get("image")
        if not isinstance(image, GivenImage):
            return str(part.get("text") or "")
        self._images.append(image)
        return f"{self._name}{len(self._images) - 1}E"


def _anthropic(source: Any, where: str) -> str:
    if not isinstance(source, dict):
        raise WrongField(where, f"{where} is required")
    if source.get("type") != "base64":
        raise WrongField(f"{where}.type", f"{where}.type: {_KEPT_OUT}")
    if not isinstance(source.get("data"), str):
        raise WrongField(f"{where}.data", f"{where}.data is required")
    return str(source["data"])


def _part(where: str, encoded: str) -> dict[str, Any]:
    return {"type": "image", "image": GivenImage(where, encoded)}


def _parts(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    content = message.get("content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
