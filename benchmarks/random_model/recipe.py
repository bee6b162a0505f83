"""Which format each matrix of a model gets: the same one everywhere, or the mix that llama.cpp's quantizer makes."""

import re
from collections.abc import Callable

from random_model.blocks import FORMATS
from random_model.shape import Shape

Recipe = Callable[[str], str]
"""From the name of a matrix to the name of its format."""

# Mix -> the format of all matrices that have no rule below.
_BULK = {
    "q2_k": "q2_k",
    "q3_k_m": "q3_k",
    "q4_k_s": "q4_k",
    "q4_k_m": "q4_k",
    "q5_k_s": "q5_k",
    "q5_k_m": "q5_k",
    **{name: name for name in FORMATS if name not in ("q2_k", "q3_k", "q4_k", "q5_k")},
}
MIXES = tuple(_BULK)

FALLBACKS = {
    "q2_k": "q4_0",
    "q3_k": "q4_0",
    "q4_k": "q5_0",
    "q5_k": "q5_1",
    "q6_k": "q8_0",
    "iq4_xs": "iq4_nl",
}
"""Instead of a format whose blocks of 256 do not fit the columns of a matrix."""


def uniform(name: str) -> Recipe:
    """Every matrix in one format."""
    if name not in FORMATS:
        raise ValueError(f"no format {name!r}; there are {', '.join(FORMATS)}")
    return lambda tensor: name


def mix(name: str, shape: Shape) -> Recipe:
    """The formats of a file that llama.cpp's quantizer makes without an importance matrix.

    The output (or the embedding where it is the output) is at least q6_k; attn_v and ffn_down get more bits on the
    first and last eighth of the blocks and on every third one between.

    Raises:
        ValueError: if `name` is not one of `MIXES`.
    """
    if name not in _BULK:
        raise ValueError(f"no mix {name!r}; there are {', '.join(MIXES)}")
    bulk = _BULK[name]

    def choose(tensor: str) -> str:
        if tensor == ("token_embd.weight" if shape.is_tied else "output.weight"):
            return bulk if bulk in ("f32", "f16", "bf16", "q8_0") else "q6_k"
        block = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", tensor)
        return _block_format(name, block[2], int(block[1]), shape) or bulk if block else bulk

    return choose


def _block_format(name: str, part: str, index: int, shape: Shape) -> str | None:
    """The format of one matrix of a block where the mix has a rule for it."""
    count, group = shape.block_count, shape.head_count // shape.head_count_kv
    sensitive = part in ("attn_v", "ffn_down")
    eighth = count // 8
    if name in ("q4_k_m", "q5_k_m"):
        if part == "attn_qkv":
            return "q5_k" if name == "q4_k_m" else "q6_k"
        has_more_bits = index < eighth or index >= 7 * count // 8 or (index - eighth) % 3 == 2
        return "q6_k" if sensitive and has_more_bits else None
    if name == "q3_k_m":
        if part in ("attn_output", "attn_qkv"):
            return "q4_k"
        first = 2 if part == "attn_v" else count // 16
        return ("q5_k" if index < first else "q4_k") if sensitive else None
    if name == "q2_k":
        if part == "attn_v" and group >= 4:
            return "q4_k"
        return "q3_k" if sensitive or part == "attn_output" else None
    if name == "q4_k_s":
        return "q5_k" if sensitive and index < (4 if part == "attn_v" else eighth) else None
    if name in ("iq4_nl", "iq4_xs"):
        return "q5_k" if (part == "attn_v" and group >= 4) or (part == "ffn_down" and index < eighth) else None
    return None
