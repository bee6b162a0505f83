"""Small images, whole or malformed, written without a library."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

Colour = tuple[int, int, int]


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG image."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, data: bytes, *, depth: int = 8, colour: int = 2, interlaced: int = 0) -> bytes:
    """A PNG image with this header and these data, which need not fit each other."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png(paint: Callable[[int, int], Colour], width: int = 40, height: int = 30) -> bytes:
    """A PNG image whose pixels have the colours that `paint` says."""
    rows = [b"\0" + b"".join(bytes(paint(x, y)) for x in range(width)) for y in range(height)]
    return png_of(width, height, b"".join(rows))


def gif(width: int = 2, height: int = 2) -> bytes:
    """A GIF image: a dark square, in codes of three bits that never grow as each pixel follows a clear code."""
    bits = "".join(f"{code:03b}"[::-1] for _ in range(width * height) for code in (4, 1)) + f"{5:03b}"[::-1]
    codes = bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))
    palette = bytes([255, 255, 255, 9, 9, 9, 0, 0, 0, 0, 0, 0])
    screen = struct.pack("<HHBBB", width, height, 0b1000_0001, 0, 0)
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0)
    return b"GIF89a" + screen + palette + frame + bytes([2, len(codes)]) + codes + b"\0;"


RED = png(lambda x, y: (255, 0, 0))
STRIPES = png(lambda x, y: (x * 6 % 256, y * 8 % 256, 0))
