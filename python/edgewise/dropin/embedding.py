"""Embeddings as llama-cpp-python gives them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgewise.errors import InvalidArgument, UnsupportedError

if TYPE_CHECKING:
    from edgewise.dropin.types import Embeddings
    from edgewise.engine.native import NativeEngine

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


def embed(
    engine: NativeEngine, texts: list[str], *, pooling: str, batch: int, normalize: bool, truncate: bool
) -> tuple[list[list[Vector]], int]:
    """The vectors of each text, one or one per token, and how many tokens the texts have.

    Raises:
        InvalidArgument: if a text has more tokens than `batch` and may not be cut.
    """
    vectors: list[list[Vector]] = []
    total = 0
    for text in texts:
        tokens = engine.tokenize(text)
        tokens = tokens[:batch] if truncate else tokens
        total += len(tokens)
        if len(tokens) > batch:
            raise InvalidArgument(f"Requested tokens ({len(tokens)}) exceed batch size of {batch}")
        with engine.exclusive() as session:
            rows = session.embed(tokens, pooling)
        vectors.append([_unit(row) for row in rows] if normalize else rows)
    return vectors, total


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
