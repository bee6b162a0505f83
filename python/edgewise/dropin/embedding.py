"""Embeddings as llama-cpp-python gives them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgewise.engine.native import NativeEngine
from edgewise.errors import InvalidArgument, UnsupportedError

if TYPE_CHECKING:
    from edgewise.dropin.types import Embeddings
    from edgewise.engine.protocol import Engine

Vector = list[float]

# llama.cpp's numbers for how the vectors of a text's tokens become one.
POOLING = {-1: "none", 0: "none", 1: "mean", 2: "first", 3: "last"}


def pooling_name(pooling_type: int) -> str:
    """The core's name of a pooling.

    Raises:
        UnsupportedError: if the core does not pool that way.
    """
    if pooling_type not in POOLING:
        raise UnsupportedError(f"pooling_type={pooling_type} is not supported", hint=f"known: {sorted(POOLING)}")
    return POOLING[pooling_type]


def resolved(pooling_type: int, engine: Engine | None) -> int:
    """The number of the pooling in use: -1 leaves it to the file, and where that says nothing there is none."""
    if pooling_type >= 0:
        return pooling_type
    own = engine.default_pooling if isinstance(engine, NativeEngine) else None
    return next((number for number, name in POOLING.items() if number >= 0 and name == own), 0)


def embed(
    engine: NativeEngine, texts: list[str], *, pooling: str, batch: int, normalize: bool, truncate: bool
) -> tuple[list[list[Vector]], int]:
    """The vectors of each text, one or one per token, and how many tokens the texts have.

    Raises:
        InvalidArgument: if a text has more tokens than `batch` and may not be cut.
    """
    token_lists = [engine.tokenize(text) for text in texts]
    if truncate:
        token_lists = [tokens[:batch] for tokens in token_lists]
    longest = max(map(len, token_lists), default=0)
    if longest > batch:
        raise InvalidArgument(f"Requested tokens ({longest}) exceed batch size of {batch}")
    vectors = engine.embed(token_lists, pooling)
    if normalize:
        vectors = [[_unit(row) for row in rows] for rows in vectors]
    return vectors, sum(map(len, token_lists))


def embeddings(vectors: list[list[Vector]], total: int, model: str, *, is_pooled: bool) -> Embeddings:
    """Vectors in OpenAI's shape."""
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "embedding": rows[0] if is_pooled else rows, "index": index}
            for index, rows in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": total, "total_tokens": total},
    }


def _unit(vector: Vector) -> Vector:
    norm = math.sqrt(sum(x * x for x in vector))
    return [x / norm for x in vector] if norm > 0 else vector
