"""Rows of one block format into rows of another, through the binding."""

from __future__ import annotations

import random
import struct

import pytest

from edgewise import _core
from edgewise.errors import InvalidArgument, UnsupportedError


def floats(count: int) -> bytes:
    draw = random.Random(count)
    return struct.pack(f"<{count}f", *(draw.gauss(0, 0.02) for _ in range(count)))


@pytest.mark.parametrize("format_name", _core.encodable_formats())
def test_rows_come_back_within_the_error_that_is_reported(format_name: str) -> None:
    source = floats(512 * 8)
    rows, (error, squares) = _core.encode(source, "f32", format_name, 512, threads=2)
    values, size = _core.block_size(format_name)
    assert len(rows) == 512 * 8 // values * size
    x = struct.unpack(f"<{512 * 8}f", source)
    y = struct.unpack(f"<{512 * 8}f", _core.dequantize(format_name, rows))
    assert sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) == pytest.approx(error, rel=1e-4)
    assert sum(a * a for a in x) == pytest.approx(squares, rel=1e-4)
    assert error < 0.1 * squares


def test_every_instruction_set_makes_the_same_bytes() -> None:
    source = floats(1024)
    made = {_core.encode(source, "f32", "q4_k", 512, threads=1, isa=isa)[0] for isa in _core.instruction_sets()}
    assert len(made) == 1


def test_importance_is_given_per_column() -> None:
    source = floats(1024)
    importance = struct.pack("<512f", *range(512))
    assert (
        _core.encode(source, "f32", "q4_k", 512, importance=importance, threads=1)[0]
        != _core.encode(source, "f32", "q4_k", 512, threads=1)[0]
    )
    for wrong in (importance[:-4], importance[:-3], struct.pack("<512f", *[float("nan")] * 512)):
        with pytest.raises(InvalidArgument):
            _core.encode(source, "f32", "q4_k", 512, importance=wrong, threads=1)


def test_a_weight_that_is_no_number_is_named_by_its_row_in_the_tensor() -> None:
    source = floats(256) + struct.pack("<256f", *[0.0] * 9, float("nan"), *[0.0] * 246)
    with pytest.raises(InvalidArgument, match="row 41, column 9 is NaN"):
        _core.encode(source, "f32", "q6_k", 256, threads=1, first_row=40)


def test_formats_and_sizes_that_do_not_fit_are_refused() -> None:
    for source, from_format, to_format, columns in (
        (floats(64), "f32", "q4_k", 64),
        (floats(64), "f32", "q9_z", 64),
        (floats(64)[:-1], "f32", "q8_0", 64),
    ):
        with pytest.raises(InvalidArgument):
            _core.encode(source, from_format, to_format, columns, threads=1)
    with pytest.raises(UnsupportedError, match="no quantizer"):
        _core.encode(floats(256), "f32", "iq1_s", 256, threads=1)
    with pytest.raises(InvalidArgument):
        _core.block_size("q9_z")
