"""What arguments may be: argparse calls these, and makes their errors wrong usage."""

from __future__ import annotations

import argparse
import re

from edgewise.errors import InvalidArgument
from edgewise.quantize.mixes import named_format

_LARGEST = 2**31 - 1
_SEEDS = range(-(2**63), 2**64)


def whole(text: str) -> int:
    """A whole number of 32 bits; which of them make sense is the option's own matter."""
    number = int(text)
    if abs(number) > _LARGEST:
        raise argparse.ArgumentTypeError(f"{text:.30} is out of range; at most {_LARGEST}")
    return number


def seed(text: str) -> int:
    """A whole number of 64 bits."""
    number = int(text)
    if number not in _SEEDS:
        raise argparse.ArgumentTypeError(f"{text:.30} is out of range; a seed has at most 64 bits")
    return number


def size_bytes(text: str) -> int:
    """A number of bytes such as 2GB, 700M (powers of 1000) or 1.5GiB (powers of 1024)."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *(?:([kMGT])(i?)B?|B)?", text, flags=re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text:.30} is no size; write 2GB, 700MB or 1.5GiB")
    number, prefix, binary = found.groups()
    power = "kmgt".index(prefix.lower()) + 1 if prefix else 0
    return int(float(number) * (1024 if binary else 1000) ** power)


def nats(text: str) -> float:
    """A divergence: a number above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text:.30} is no divergence; it is a number above 0, such as 0.02")
    return number


def tensor_format(text: str) -> str:
    """A format that tensors can be written in."""
    try:
        return named_format(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(f"{error.message}; {error.hint}") from error


def pattern_and_format(text: str) -> tuple[str, str]:
    """A regular expression for names of tensors, and a format: attn_v=q8_0."""
    pattern, equals, name = text.rpartition("=")
    if not pattern or not equals:
        raise argparse.ArgumentTypeError(f"{text:.60} is no PATTERN=FORMAT, such as attn_v=q8_0")
    try:
        re.compile(pattern)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{pattern:.60} is no regular expression: {error}") from error
    return pattern, tensor_format(name)


def utf8(text: str) -> str:
    """A text; bytes that are no UTF-8 reach Python as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError("is not UTF-8") from error
    return text


# argparse says "invalid whole value" by these.
whole.__name__ = seed.__name__ = "int"
nats.__name__ = "float"
