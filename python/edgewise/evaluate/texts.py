"""The text that models are measured on, cut as llama.cpp's tools cut it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.errors import InvalidArgument, SystemRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.engine.native import NativeEngine

LEAST_CONTEXT = 4


def read_text(path: str) -> bytes:
    """The bytes of a text file, without a line break at its end.

    Raises:
        SystemRefused: if it cannot be read.
    """
    try:
        return Path(path).read_bytes().removesuffix(b"\n")
    except OSError as error:
        raise SystemRefused(f"{path}: {error.strerror or error}") from error


def tokens_of(engine: NativeEngine, text: bytes) -> list[int]:
    """The text as tokens, special tokens added as the model wants them, those in the text taken for text."""
    return engine.tokenize(text)


def chunks_of(tokens: Sequence[int], context: int, most: int | None) -> list[Sequence[int]]:
    """Whole chunks of tokens, one behind the other; what is left at the end is not used.

    Args:
        tokens: of the text.
        context: tokens of a chunk.
        most: how many chunks to give at most; all if None.

    Raises:
        InvalidArgument: if a number is out of its range or the text too short for a single chunk.
    """
    if context < LEAST_CONTEXT:
        raise InvalidArgument(f"a context of {context} tokens is too short; at least {LEAST_CONTEXT} are needed")
    if most is not None and most < 1:
        raise InvalidArgument(f"{most} chunks are too few; at least 1 is needed")
    if len(tokens) < context:
        raise InvalidArgument(
            f"the text has {len(tokens)} tokens, a chunk takes {context}",
            hint="give a longer text, or a smaller --context",
        )
    count = min(len(tokens) // context, most or len(tokens))
    return [tokens[start : start + context] for start in range(0, count * context, context)]


def inputs_of(engine: NativeEngine, chunk: Sequence[int]) -> list[int]:
    """What the model reads of a chunk: a token that it begins texts with takes the place of the first one."""
    bos = engine.tokenizer.bos
    first = bos if bos is not None and engine.tokenizer.adds_bos else chunk[0]
    return [first, *chunk[1:]]
