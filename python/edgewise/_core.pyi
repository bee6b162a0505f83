"""The compiled half of Edgewise: conversions around the Rust core, nothing else."""

from typing import Final

__all__ = ["VERSION", "dequantize"]

VERSION: Final[str]
"""Version of the core and of the package."""

def dequantize(format_name: str, data: bytes) -> bytes:
    """The values of whole blocks, as little-endian f32.

    Args:
        format_name: a format's name, `q4_k`.
        data: blocks as they lie in the file.

    Raises:
        ValueError: if there is no such format, the core does not compute with it, or `data` is not whole blocks.
    """
