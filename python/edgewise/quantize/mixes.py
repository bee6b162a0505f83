"""What the names mean: `q4_k_m` is a format for most matrices, and exceptions that `recipe` knows.

Source: llama.cpp's list of file types, whose numbers `general.file_type` carries.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgewise import _core
from edgewise.errors import InvalidArgument

FLOATS = frozenset({"f32", "f16", "bf16"})
"""Formats without blocks: each number for itself."""


@dataclass(frozen=True)
class Mix:
    """A named choice of formats.

    Args:
        name: as users write it, in lower case.
        format: of matrices that no exception concerns.
        file_type: what `general.file_type` says of such a file.
    """

    name: str
    format: str
    file_type: int


MIXES: dict[str, Mix] = {
    mix.name: mix
    for mix in (
        Mix("f32", "f32", 0),
        Mix("f16", "f16", 1),
        Mix("bf16", "bf16", 32),
        Mix("q8_0", "q8_0", 7),
        Mix("q6_k", "q6_k", 18),
        Mix("q5_k_m", "q5_k", 17),
        Mix("q5_k_s", "q5_k", 16),
        Mix("q5_1", "q5_1", 9),
        Mix("q5_0", "q5_0", 8),
        Mix("q4_k_m", "q4_k", 15),
        Mix("q4_k_s", "q4_k", 14),
        Mix("iq4_nl", "iq4_nl", 25),
        Mix("iq4_xs", "iq4_xs", 30),
        Mix("q4_1", "q4_1", 3),
        Mix("q4_0", "q4_0", 2),
        Mix("q3_k_l", "q3_k", 13),
        Mix("q3_k_m", "q3_k", 12),
        Mix("q3_k_s", "q3_k", 11),
        Mix("q2_k", "q2_k", 10),
    )
}

_ALIASES = {"q5_k": "q5_k_m", "q4_k": "q4_k_m", "q3_k": "q3_k_m"}


def named_mix(name: str) -> Mix:
    """The mix of a name, in any case.

    Raises:
        InvalidArgument: if there is none.
    """
    lower = name.lower()
    mix = MIXES.get(_ALIASES.get(lower, lower))
    if mix is None:
        raise InvalidArgument(f"no mix of formats is called {name!r}", hint=f"known: {', '.join(MIXES)}")
    return mix


def named_format(name: str) -> str:
    """A format that tensors can be written in, by its name in any case.

    Raises:
        InvalidArgument: if there is none.
    """
    lower = name.lower()
    if lower not in FORMATS:
        raise InvalidArgument(f"no format is called {name!r}", hint=f"known: {', '.join(FORMATS)}")
    return lower


FORMATS: tuple[str, ...] = tuple(dict.fromkeys(mix.format for mix in MIXES.values()))
"""What a tensor can be written in, most bits first."""


def row_bytes(name: str, columns: int) -> int | None:
    """Bytes of a row in a format; None if its columns are not whole blocks."""
    values, size = _core.block_size(name)
    return columns // values * size if columns % values == 0 else None
