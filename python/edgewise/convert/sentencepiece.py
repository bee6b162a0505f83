"""tokenizer.model: a vocabulary as SentencePiece stores it, a protocol buffer.

Only the few fields that matter are read, straight from the wire format: every length is checked against the bytes that
are left, and fields that nobody here knows are skipped.

Source: sentencepiece_model.proto; https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgewise.errors import ModelFileError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

Field: TypeAlias = tuple[int, int | memoryview]
"""Number of a field and its value: an integer, or bytes."""

_BPE = 2  # TrainerSpec.ModelType
_TYPES = range(1, 7)


@dataclass(frozen=True)
class Piece:
    """A token: its text, its score, and its type, numbered as in GGUF."""

    text: str
    score: float
    type: int


@dataclass(frozen=True)
class SentencePieceModel:
    """What a tokenizer.model holds.

    Attributes:
        pieces: the tokens, in the order of their ids.
        adds_blank: whether a blank goes before a text.
        special: ids of the tokens `unk`, `bos`, `eos` and `pad`, where there are such.
    """

    pieces: list[Piece]
    adds_blank: bool
    special: dict[str, int]


def read_model(data: bytes, source: str) -> SentencePieceModel:
    """Reads a tokenizer.model.

    Args:
        data: the file.
        source: its name, for messages.

    Raises:
        ModelFileError: if it is no such file.
        UnsupportedError: if its tokens are not found by byte-pair encoding.
    """
    pieces: list[Piece] = []
    kind, adds_blank = 1, True
    special = {"unk": 0, "bos": 1, "eos": 2, "pad": -1}
    ids = {40: "unk", 41: "bos", 42: "eos", 43: "pad"}
    try:
        for number, value in _fields(memoryview(data)):
            if number == 1 and isinstance(value, memoryview):
                pieces.append(_piece(value))
            elif number == 2 and isinstance(value, memoryview):
                for inner, setting in _fields(value):
                    if inner == 3 and isinstance(setting, int):
                        kind = setting
                    elif inner in ids and isinstance(setting, int):
                        special[ids[inner]] = _signed(setting)
            elif number == 3 and isinstance(value, memoryview):
                for inner, setting in _fields(value):
                    if inner == 3:
                        adds_blank = bool(setting)
    except (ValueError, struct.error) as error:
        raise ModelFileError(f"{source} is no SentencePiece model: {error}") from error
    if not pieces:
        raise ModelFileError(f"{source} is no SentencePiece model: it has no tokens")
    if kind != _BPE:
        raise UnsupportedError(f"{source} is not a byte-pair encoding, which is the only kind that is converted")
    return SentencePieceModel(
        pieces, adds_blank, {name: token for name, token in special.items() if 0 <= token < len(pieces)}
    )


def _piece(data: memoryview) -> Piece:
    text, score, kind = "", 0.0, 1
    for number, value in _fields(data):
        if number == 1 and isinstance(value, memoryview):
            text = bytes(value).decode()
        elif number == 2 and isinstance(value, memoryview):
            (score,) = struct.unpack("<f", value)
        elif number == 3 and isinstance(value, int):
            kind = value
    if kind not in _TYPES or not math.isfinite(score):
        raise ValueError(f"token {text!r:.40} has type {kind} and score {score}")
    return Piece(text, score, kind)


def _fields(data: memoryview) -> Iterator[Field]:
    """The fields of a message; fixed-size numbers as their bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            integer, at = _varint(data, at)
            yield number, integer
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if length > len(data) - at:
            raise ValueError(f"a field of {length} bytes, and {len(data) - at} are left")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError(f"a number without an end at byte {at}")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
