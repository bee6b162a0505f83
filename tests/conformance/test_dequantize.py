"""The core's dequantizers give the bits of the `gguf` package's."""

import numpy as np
import numpy.typing as npt
import pytest
from gguf import GGML_QUANT_SIZES
from gguf.quants import dequantize

from edgewise import _core
from random_model.blocks import FORMATS, QUANTIZED_FORMATS, Bytes, Floats, RandomBytes, format_type, random_rows

# Where each format keeps its f16 scales.
F16_OFFSETS = {
    "q4_0": (0,), "q4_1": (0, 2), "q5_0": (0,), "q5_1": (0, 2), "q8_0": (0,), "q2_k": (80, 82), "q3_k": (108,),
    "q4_k": (0, 2), "q5_k": (0, 2), "q6_k": (208,), "iq4_nl": (0,), "iq4_xs": (0,), "mxfp4": (),
}  # fmt: skip
# Zeros of both signs, the smallest and largest subnormal, the smallest normal, one, and the largest, of both signs.
EDGE_SCALES = (0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x8400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF)


def block_bytes(name: str) -> int:
    return GGML_QUANT_SIZES[format_type(name)][1]


def core_values(name: str, blocks: Bytes) -> Floats:
    return np.frombuffer(_core.dequantize(name, blocks.tobytes()), dtype="<f4")


def reference_values(name: str, blocks: Bytes) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        if name == "f32":
            return np.asarray(blocks.reshape(-1).view("<f4"), dtype=np.float32)
        if name == "f16":
            return np.asarray(blocks.reshape(-1).view("<f2"), dtype=np.float32)
        return np.asarray(dequantize(blocks, format_type(name)), dtype=np.float32).reshape(-1)


def assert_same_bits(name: str, blocks: Bytes) -> None:
    found, expected = core_values(name, blocks), reference_values(name, blocks)
    is_nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), is_nan)
    np.testing.assert_array_equal(found.view(np.uint32)[~is_nan], expected.view(np.uint32)[~is_nan])


def with_scales(name: str, blocks: Bytes, scales: npt.NDArray[np.uint16]) -> Bytes:
    changed: Bytes = blocks.copy()
    for offset in F16_OFFSETS[name]:
        changed[:, offset : offset + 2] = scales.astype("<u2").view(np.uint8).reshape(-1, 2)
    return changed


@pytest.mark.parametrize("name", FORMATS)
def test_random_weights_dequantize_to_the_same_bits(name: str) -> None:
    assert_same_bits(name, random_rows(RandomBytes(1, name), name, 64, 1024, 0.1))


@pytest.mark.parametrize("name", QUANTIZED_FORMATS)
def test_blocks_of_random_bits_with_finite_scales_dequantize_to_the_same_bits(name: str) -> None:
    stream = RandomBytes(2, name)
    blocks = stream.draw(2048 * block_bytes(name)).reshape(2048, -1)
    scales = stream.draw(2 * 2048).view("<u2") & np.uint16(0xBFFF)  # exponents below that of infinity
    assert_same_bits(name, with_scales(name, blocks, scales))


@pytest.mark.parametrize("name", QUANTIZED_FORMATS)
def test_edge_scales_dequantize_to_the_same_bits(name: str) -> None:
    for first in EDGE_SCALES:
        blocks = RandomBytes(first, name).draw(64 * block_bytes(name)).reshape(64, -1)
        assert_same_bits(name, with_scales(name, blocks, np.full(64, first, dtype=np.uint16)))


@pytest.mark.parametrize("fill", [0x00, 0xFF, 0x0F, 0xF0, 0x7F, 0x80])
@pytest.mark.parametrize("name", QUANTIZED_FORMATS)
def test_blocks_of_one_repeated_byte_dequantize_to_the_same_bits(name: str, fill: int) -> None:
    blocks = np.full((len(EDGE_SCALES), block_bytes(name)), fill, dtype=np.uint8)
    assert_same_bits(name, with_scales(name, blocks, np.array(EDGE_SCALES, dtype=np.uint16)))


def test_every_exponent_of_mxfp4_dequantizes_to_the_same_bits() -> None:
    blocks = RandomBytes(3, "mxfp4").draw(256 * block_bytes("mxfp4")).reshape(256, -1).copy()
    blocks[:, 0] = np.arange(256)
    assert_same_bits("mxfp4", blocks)


@pytest.mark.parametrize("name", ["f16", "bf16"])
def test_every_16_bit_float_dequantizes_to_the_same_bits(name: str) -> None:
    assert_same_bits(name, np.arange(1 << 16, dtype="<u2").view(np.uint8).reshape(256, -1))


@pytest.mark.parametrize("name", FORMATS)
def test_a_cut_block_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        _core.dequantize(name, bytes(2 * block_bytes(name) - 1))


def test_a_format_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="q9_z"):
        _core.dequantize("q9_z", b"")
