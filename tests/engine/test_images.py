"""Images are judged before anything decodes them."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import pytest

from edgewise.engine.images import MOST_BYTES, MOST_IMAGES, MOST_PIXELS, ImagePrompt, read_image
from edgewise.errors import InvalidArgument
from pictures import RED, chunk, gif, png, png_of

JPEG_HEAD = b"\xff\xd8\xff\xe0\x00\x04\x00\x00"


JPEG_SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + bytes(9) + b"\xff\xd9"


def jpeg(width: int, height: int, marker: int = 0xC0) -> bytes:
    return JPEG_HEAD + jpeg_frame(width, height, marker) + JPEG_SCAN


def jpeg_frame(width: int, height: int, marker: int = 0xC0) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"


def refusal(data: bytes) -> str:
    with pytest.raises(InvalidArgument) as caught:
        read_image(data)
    return str(caught.value)


def test_a_header_tells_format_and_size() -> None:
    found = [read_image(data) for data in (RED, gif(3, 2), jpeg(70, 50))]
    assert [(one.kind, one.width, one.height) for one in found] == [("png", 40, 30), ("gif", 3, 2), ("jpeg", 70, 50)]


def test_images_of_other_programs_are_read() -> None:
    pillow: Any = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    picture = pillow.effect_noise((37, 23), 80)
    for kind, mode, options in (
        ("png", "RGB", {}),
        ("png", "RGBA", {}),
        ("png", "1", {}),
        ("png", "P", {}),
        ("png", "I;16", {}),
        ("jpeg", "RGB", {"quality": 60}),
        ("jpeg", "L", {"progressive": True}),
        ("gif", "P", {}),
    ):
        file = io.BytesIO()
        picture.convert(mode).save(file, kind, **options)
        image = read_image(file.getvalue())
        assert (image.kind, image.width, image.height) == (kind, 37, 23)


@pytest.mark.parametrize(
    ("width", "height", "passes"),
    [
        (1, 1, [(1, 1)]),
        (3, 2, [(1, 1), (1, 1), (1, 1), (3, 1)]),
        (8, 8, [(1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4)]),
    ],
)
def test_the_seven_passes_of_an_interlaced_image_are_counted(
    width: int, height: int, passes: list[tuple[int, int]]
) -> None:
    data = b"".join(bytes(rows * (1 + 3 * columns)) for columns, rows in passes)
    assert read_image(png_of(width, height, data, interlaced=1)).width == width
    assert "ends early" in refusal(png_of(width, height, data[:-1], interlaced=1))
    assert "inflates to more" in refusal(png_of(width, height, data + b"\0", interlaced=1))


def test_what_llama_cpp_does_not_decode_is_refused_by_name() -> None:
    assert "WebP" in refusal(b"RIFF\x24\0\0\0WEBPVP8 ")
    assert "PNG, JPEG and GIF are" in refusal(b"RIFF\x24\0\0\0WAVEfmt ")
    assert "PNG, JPEG and GIF are" in refusal(b"BM" + bytes(60))
    assert "PNG, JPEG and GIF are" in refusal(b"")
    assert "lossless or arithmetic" in refusal(jpeg(4, 4, 0xC9))


def test_an_image_that_decodes_to_more_than_memory_should_hold_is_refused() -> None:
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0))
    assert f"60000 x 60000 pixels, at most {MOST_PIXELS}" in refusal(huge)
    assert "pixels" in refusal(jpeg(65_535, 65_535))
    assert "pixels" in refusal(b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0))
    assert "inflates to more than its 40 x 30 pixels" in refusal(png_of(40, 30, bytes(50_000_000)))
    assert "bytes" in refusal(RED + bytes(MOST_BYTES))


def test_an_image_without_pixels_is_refused() -> None:
    assert "no pixels" in refusal(png_of(0, 30, b""))
    assert "no pixels" in refusal(jpeg(10, 0))
    assert "no pixels" in refusal(b"GIF87a" + bytes(7))


@pytest.mark.parametrize("whole", [png(lambda x, y: (x, y, 0), 5, 4), jpeg(7, 5), gif()[:10]])
def test_an_image_cut_anywhere_is_refused(whole: bytes) -> None:
    read_image(whole)
    for size in range(len(whole)):
        refusal(whole[:size])


def test_headers_without_end_cost_no_time() -> None:
    assert "damaged" in refusal(b"\xff\xd8" + b"\xff" * 1_000_000)
    assert "damaged" in refusal(b"\xff\xd8" + b"\xff\xe0\x00\x00" * 250_000)


def test_a_prompt_bounds_its_images_together(tmp_path: Path) -> None:
    image = read_image(RED)
    with pytest.raises(InvalidArgument, match=f"a prompt may have {MOST_IMAGES}"):
        ImagePrompt(("",) * (MOST_IMAGES + 2), (image,) * (MOST_IMAGES + 1))
    large = read_image(jpeg(8000, 4000))
    with pytest.raises(InvalidArgument, match="pixels together"):
        ImagePrompt(("",) * 4, (large,) * 3)
    with pytest.raises(InvalidArgument, match="between 1 texts"):
        ImagePrompt(("",), (image,))
