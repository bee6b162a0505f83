"""What arguments may be: argparse calls these, and makes their errors wrong usage."""

from __future__ import annotations

import argparse

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


def utf8(text: str) -> str:
    """A text; bytes that are no UTF-8 reach Python as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError("is not UTF-8") from error
    return text


# argparse says "invalid whole value" by these.
whole.__name__ = seed.__name__ = "int"
