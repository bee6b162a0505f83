"""Random weights in every storage format, with a given standard deviation.

Quantized formats are not quantized from floats: the codes of a block are random bits, so that every code occurs, its
sub-scales are drawn from the upper two thirds of their range, as quantizers use it, and its float scales follow.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import IQ4_NL, MXFP4

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

FLOAT_FORMATS = ("f32", "f16", "bf16")
QUANTIZED_FORMATS = (
    "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "mxfp4",
)  # fmt: skip
FORMATS = FLOAT_FORMATS + QUANTIZED_FORMATS

Finish = Callable[[Bytes, "RandomBytes", float], None]
"""Gives blocks of random bits the scales that make a standard deviation."""

# Standard deviation of the sum of four random bytes, and the root mean square of the factor in `_scales`.
_FOUR_BYTES_DEVIATION = (4 * (256**2 - 1) / 12) ** 0.5
_SCALE_RMS = 1.037


class RandomBytes:
    """A stream of random bytes that is the same on every platform and for every version of numpy."""

    def __init__(self, seed: int, name: str) -> None:
        self._generator = np.random.PCG64([seed, *name.encode()])

    def draw(self, count: int) -> Bytes:
        """The next `count` bytes; a draw always starts at a fresh 64-bit word."""
        words = np.asarray(self._generator.random_raw(-(-count // 8)), dtype="<u8")
        drawn: Bytes = words.view(np.uint8)[:count]
        return drawn


def format_type(name: str) -> GGMLQuantizationType:
    """The GGUF type of a format named as in `FORMATS`."""
    return GGMLQuantizationType[name.upper()]


def random_floats(stream: RandomBytes, count: int, deviation: float, mean: float = 0.0) -> Floats:
    """Nearly normal values: sums of four random bytes, scaled."""
    parts = stream.draw(4 * count).reshape(4, count)
    total = parts.astype(np.int16).sum(axis=0, dtype=np.int16) - np.int16(510)
    values: Floats = total.astype(np.float32) * np.float32(deviation / _FOUR_BYTES_DEVIATION) + np.float32(mean)
    return values


def random_rows(stream: RandomBytes, name: str, rows: int, columns: int, deviation: float) -> Bytes:
    """Weights as stored: (rows, bytes per row).

    Args:
        stream: where the randomness comes from.
        name: one of `FORMATS`.
        rows: how many rows.
        columns: values per row, a multiple of the block size of the format.
        deviation: the standard deviation of the dequantized values, to within a few percent; mxfp4, whose scales are
            powers of two, has it to within a half.

    Raises:
        ValueError: if a row is not whole blocks.
    """
    if name in FLOAT_FORMATS:
        return _stored(random_floats(stream, rows * columns, deviation), name).reshape(rows, -1)
    values_per_block, bytes_per_block = GGML_QUANT_SIZES[format_type(name)]
    if columns % values_per_block:
        raise ValueError(f"{name} rows hold a multiple of {values_per_block} values, not {columns}")
    count = rows * columns // values_per_block
    blocks = stream.draw(count * bytes_per_block).reshape(count, bytes_per_block).copy()
    _FINISH[name](blocks, stream, deviation)
    return np.reshape(blocks, (rows, -1))


def _stored(values: Floats, name: str) -> Bytes:
    if name == "f16":
        return values.astype("<f2").view(np.uint8)
    if name == "bf16":
        bits = values.view(np.uint32)
        rounded = np.right_shift(bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)), np.uint32(16))
        return np.asarray(rounded, dtype="<u2").view(np.uint8)
    return values.astype("<f4").view(np.uint8)


def _scales(stream: RandomBytes, count: int, unit: float) -> Floats:
    """Positive block scales between 0.5 and 1.5 units."""
    factor = (stream.draw(count) >> 1).astype(np.float32) + np.float32(64)
    scales: Floats = factor * np.float32(unit / 128 / _SCALE_RMS)
    return scales


def _put_f16(blocks: Bytes, offset: int, values: Floats) -> None:
    blocks[:, offset : offset + 2] = values.astype("<f2").view(np.uint8).reshape(-1, 2)


def _signed(values: Floats, stream: RandomBytes) -> Floats:
    return np.where(stream.draw(values.size) & 1, -values, values)


def _symmetric(offset: int, code_rms: float) -> Finish:
    """Finish for w = d * code: one f16 scale, of either sign, at `offset`."""

    def finish(blocks: Bytes, stream: RandomBytes, deviation: float) -> None:
        _put_f16(blocks, offset, _signed(_scales(stream, len(blocks), deviation / code_rms), stream))

    return finish


def _affine(levels: int) -> Finish:
    """Finish for w = d * code + m: the minimum makes the mean of a block zero."""

    def finish(blocks: Bytes, stream: RandomBytes, deviation: float) -> None:
        scales = _scales(stream, len(blocks), deviation / _rms(_centred(levels)))
        _put_f16(blocks, 0, scales)
        _put_f16(blocks, 2, scales * np.float32(-(levels - 1) / 2))

    return finish


def _finish_q2_k(blocks: Bytes, stream: RandomBytes, deviation: float) -> None:
    """W = d * scale * code - dmin * minimum: scale in the low and minimum in the high four bits of 16 bytes."""
    sub_scales = _sub_scales(stream, len(blocks), 16, range(5, 16))
    blocks[:, :16] = sub_scales | (_near(sub_scales, stream, 15) << 4)
    scales = _scales(stream, len(blocks), deviation / (_rms(range(5, 16)) * _rms(_centred(4))))
    _put_f16(blocks, 80, scales)
    _put_f16(blocks, 82, scales * np.float32(1.5))


def _finish_q3_k(blocks: Bytes, stream: RandomBytes, deviation: float) -> None:
    """W = d * (scale - 32) * code: sixteen 6-bit scales, four low bits in 8 bytes, then two high bits in 4."""
    sub_scales = _either_sign(_sub_scales(stream, len(blocks), 16, range(10, 32)), stream, 32)
    blocks[:, 96:104] = (sub_scales[:, :8] & 15) | ((sub_scales[:, 8:] & 15) << 4)
    high = (sub_scales >> 4).reshape(-1, 4, 4)
    blocks[:, 104:108] = high[:, 0] | (high[:, 1] << 2) | (high[:, 2] << 4) | (high[:, 3] << 6)
    _symmetric(108, _rms(range(10, 32)) * _rms(range(-4, 4)))(blocks, stream, deviation)


def _scale_min_k(levels: int) -> Finish:
    """Finish for Q4_K and Q5_K: eight 6-bit scales and minima, packed into 12 bytes after the two f16 scales."""

    def finish(blocks: Bytes, stream: RandomBytes, deviation: float) -> None:
        sub_scales = _sub_scales(stream, len(blocks), 8, range(20, 64))
        minima = _near(sub_scales, stream, 63)
        low_scales, high_scales = sub_scales[:, :4], sub_scales[:, 4:]
        low_minima, high_minima = minima[:, :4], minima[:, 4:]
        blocks[:, 4:8] = low_scales | ((high_scales >> 4) << 6)
        blocks[:, 8:12] = low_minima | ((high_minima >> 4) << 6)
        blocks[:, 12:16] = (high_scales & 15) | ((high_minima & 15) << 4)
        scales = _scales(stream, len(blocks), deviation / (_rms(range(20, 64)) * _rms(_centred(levels))))
        _put_f16(blocks, 0, scales)
        _put_f16(blocks, 2, scales * np.float32((levels - 1) / 2))

    return finish


def _finish_q6_k(blocks: Bytes, stream: RandomBytes, deviation: float) -> None:
    """W = d * scale * code: sixteen signed 8-bit scales."""
    blocks[:, 192:208] = _either_sign(_sub_scales(stream, len(blocks), 16, range(40, 128)), stream, 0)
    _symmetric(208, _rms(range(40, 128)) * _rms(range(-32, 32)))(blocks, stream, deviation)


def _finish_iq4_xs(blocks: Bytes, stream: RandomBytes, deviation: float) -> None:
    """W = d * (scale - 32) * value: eight 6-bit scales, two high bits in a 16-bit word, then four low bits."""
    sub_scales = _either_sign(_sub_scales(stream, len(blocks), 8, range(10, 32)), stream, 32)
    high = (sub_scales >> 4).reshape(-1, 2, 4)
    blocks[:, 2:4] = high[:, :, 0] | (high[:, :, 1] << 2) | (high[:, :, 2] << 4) | (high[:, :, 3] << 6)
    blocks[:, 4:8] = (sub_scales[:, ::2] & 15) | ((sub_scales[:, 1::2] & 15) << 4)
    _symmetric(0, _rms(range(10, 32)) * _rms(IQ4_NL.kvalues))(blocks, stream, deviation)


def _finish_mxfp4(blocks: Bytes, stream: RandomBytes, deviation: float) -> None:
    """W = 2^(e - 128) * doubled code: two neighbouring exponents in equal parts."""
    exponent = 128 + math.floor(math.log2(deviation / _rms(MXFP4.kvalues)))
    blocks[:, 0] = exponent + (stream.draw(len(blocks)) & 1)


def _sub_scales(stream: RandomBytes, count: int, per_block: int, values: range) -> Bytes:
    """Sub-scales out of `values`: (count, per_block)."""
    draw = stream.draw(count * per_block).reshape(count, per_block)
    sub_scales: Bytes = np.uint8(values.start) + draw % np.uint8(len(values))
    return sub_scales


def _either_sign(values: Bytes, stream: RandomBytes, offset: int) -> Bytes:
    """`offset` plus or minus each value, as an unsigned byte."""
    negative = stream.draw(values.size).reshape(values.shape) & 1
    signed: Bytes = np.uint8(offset) + np.where(negative, np.uint8(0) - values, values)
    return signed


def _centred(levels: int) -> list[float]:
    """Codes 0 to `levels` - 1 less their mean."""
    return [code - (levels - 1) / 2 for code in range(levels)]


def _near(values: Bytes, stream: RandomBytes, limit: int) -> Bytes:
    """Each value moved by -1, 0 or 1 within 0..limit."""
    moved = values.astype(np.int16) + (stream.draw(values.size).reshape(values.shape) % 3) - 1
    return np.asarray(np.clip(moved, 0, limit), dtype=np.uint8)


def _rms(codes: Sequence[float]) -> float:
    return math.sqrt(sum(code * code for code in codes) / len(codes))


_FINISH: dict[str, Finish] = {
    "q4_0": _symmetric(0, _rms(range(-8, 8))),
    "q4_1": _affine(16),
    "q5_0": _symmetric(0, _rms(range(-16, 16))),
    "q5_1": _affine(32),
    "q8_0": _symmetric(0, _rms(range(-128, 128))),
    "q2_k": _finish_q2_k,
    "q3_k": _finish_q3_k,
    "q4_k": _scale_min_k(16),
    "q5_k": _scale_min_k(32),
    "q6_k": _finish_q6_k,
    "iq4_nl": _symmetric(0, _rms(IQ4_NL.kvalues)),
    "iq4_xs": _finish_iq4_xs,
    "mxfp4": _finish_mxfp4,
}
