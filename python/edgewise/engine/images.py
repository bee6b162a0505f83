"""Images in prompts: untrusted bytes, of which nothing is decoded here before their header was judged."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Literal

from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_IMAGES = "the native engine sees no images"
ImageKind = Literal["png", "jpeg", "gif"]

MOST_IMAGES = 32
"""How many images a prompt may have."""
MOST_BYTES = 20 << 20
"""How many bytes an image may have."""
MOST_PIXELS = 1 << 25
"""How many pixels an image may have: decoded, each takes three bytes."""
MOST_PIXELS_TOGETHER = 1 << 26
"""How many pixels all images of a prompt may have: they are decoded at once."""

_TAKEN = "PNG, JPEG and GIF are"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PNG_PASSES = ((8, 8, 0, 0), (8, 8, 4, 0), (4, 8, 0, 4), (4, 4, 2, 0), (2, 4, 0, 2), (2, 2, 1, 0), (1, 2, 0, 1))
_JPEG_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive: those that llama.cpp decodes
_JPEG_OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_JPEG_SEGMENTS = (0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE)  # tables, applications' data, comments
_MOST_MARKERS = 10_000
_INFLATED_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Image:
    """An image that llama.cpp can be given; made by `read_image`.

    Args:
        data: the file's bytes.
        kind: its format.
        width: in pixels.
        height: in pixels.
    """

    data: bytes = field(repr=False)
    kind: ImageKind
    width: int
    height: int


@dataclass(frozen=True)
class ImagePrompt:
    """A prompt with images in it: a text, an image, a text, an image, ..., a text.

    Args:
        texts: what is before, between and behind the images; special tokens in them are read as such.
        images: one less than texts.

    Raises:
        InvalidArgument: if there are too many images, or they have too many pixels together.
    """

    texts: tuple[str, ...]
    images: tuple[Image, ...]

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.images) + 1:
            raise InvalidArgument(f"{len(self.images)} images stand between {len(self.texts)} texts")
        if len(self.images) > MOST_IMAGES:
            raise InvalidArgument(f"{len(self.images)} images; a prompt may have {MOST_IMAGES}")
        pixels = sum(image.width * image.height for image in self.images)
        if pixels > MOST_PIXELS_TOGETHER:
            raise InvalidArgument(
                f"the images have {pixels} pixels together, a prompt's may have {MOST_PIXELS_TOGETHER}",
                hint="smaller images: models scale them down anyway",
            )


def read_image(data: bytes) -> Image:
    """Judges an image by its header, without decoding it; of a PNG, what its data inflate to is counted as well.

    Raises:
        InvalidArgument: if it is none of the formats that llama.cpp decodes, is cut off, or is too large.
    """
    if len(data) > MOST_BYTES:
        raise InvalidArgument(f"the image has {len(data)} bytes, at most {MOST_BYTES} are allowed")
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        image = _png(data)
    elif data.startswith(b"\xff\xd8\xff"):
        image = _jpeg(data)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        _need(data, 10)
        image = Image(data, "gif", int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        raise InvalidArgument(f"WebP images are not decoded by llama.cpp; {_TAKEN}")
    else:
        raise InvalidArgument(f"this is no image that llama.cpp decodes; {_TAKEN}")
    _require_size(image.width, image.height)
    return image


def _png(data: bytes) -> Image:
    _need(data, 33)
    if data[8:16] != b"\0\0\0\rIHDR":
        raise InvalidArgument("the PNG image does not begin with its header")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    depth, colour, interlaced = data[24], data[25], data[28]
    if colour not in _PNG_CHANNELS or depth not in (1, 2, 4, 8, 16) or interlaced > 1:
        raise InvalidArgument("the PNG image's header names a form that PNG does not have")
    _require_size(width, height)
    bits = depth * _PNG_CHANNELS[colour]
    passes = _PNG_PASSES if interlaced else ((1, 1, 0, 0),)
    sizes = [(-(-(width - x) // across), -(-(height - y) // down)) for across, down, x, y in passes]
    expected = sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)
    inflating, inflated = zlib.decompressobj(), 0
    try:
        for part in _png_data(data):
            rest, size = part, _INFLATED_AT_ONCE
            while rest or size == _INFLATED_AT_ONCE:
                size = len(inflating.decompress(rest, _INFLATED_AT_ONCE))
                rest = inflating.unconsumed_tail
                inflated += size
                if inflated > expected:
                    raise InvalidArgument(f"the PNG image inflates to more than its {width} x {height} pixels")
    except zlib.error as error:
        raise InvalidArgument(f"the PNG image's data are damaged: {error}") from None
    if inflated < expected:
        raise InvalidArgument("the PNG image ends early")
    return Image(data, "png", width, height)


def _png_data(data: bytes) -> Iterator[bytes]:
    """The compressed data, chunk by chunk."""
    at = 33
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"IEND" and size == 0:
            return
        if at + 12 + size > len(data):
            break
        if kind == b"IDAT":
            yield data[at + 8 : at + 8 + size]
        at += 12 + size
    raise InvalidArgument("the PNG image ends early")


def _jpeg(data: bytes) -> Image:
    at = 2
    for _ in range(_MOST_MARKERS):
        at = data.find(b"\xff", at)  # as llama.cpp's decoder does, whatever stands between two segments is skipped
        if at < 0:
            break
        _need(data, at + 4)
        marker = data[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif marker in _JPEG_FRAMES:
            _need(data, at + 9)
            height, width = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            scan = data.find(b"\xff\xda", at + 9)
            if scan < 0 or data.find(b"\xff\xd9", scan) < 0:  # llama.cpp would see whatever memory holds
                raise InvalidArgument("the JPEG image ends early")
            return Image(data, "jpeg", width, height)
        elif marker in _JPEG_SEGMENTS:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
        elif marker in _JPEG_OTHER_FRAMES:
            raise InvalidArgument("the JPEG image is of a form (lossless or arithmetic) that llama.cpp does not decode")
        else:
            break
    raise InvalidArgument("the JPEG image is damaged: no header of a frame is where it should be")


def _need(data: bytes, size: int) -> None:
    if len(data) < size:
        raise InvalidArgument("the image ends within its header")


def _require_size(*sides: int) -> None:
    if 0 in sides:
        raise InvalidArgument("the image has no pixels")
    if prod(sides) > MOST_PIXELS:
        raise InvalidArgument(
            f"the image has {' x '.join(map(str, sides))} pixels, at most {MOST_PIXELS} are allowed",
            hint="a smaller image: models scale them down anyway",
        )
