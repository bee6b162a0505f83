"""Embeddings as llama-cpp-python gives them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

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


class Embedding:
    """What `Llama` says about embeddings."""

    model_path: str
    n_batch: int
    _embedding: bool
    _pooling_type: int
    _engine: Engine | None

    if TYPE_CHECKING:

        @property
        def _native(self) -> NativeEngine: ...

    def embed(
        self, input: str | list[str], normalize: bool = False, truncate: bool = True, return_count: bool = False
    ) -> Any:
        """The embedding of a text, or of each text of a list; without pooling one vector per token.

        Args:
            input: what to embed.
            normalize: scale vectors to length 1.
            truncate: cut texts at n_batch tokens instead of refusing them.
            return_count: return a pair with the number of tokens.

        Raises:
            RuntimeError: if the model was not created with embedding=True.
        """
        vectors, total = self._embed([input] if isinstance(input, str) else input, normalize, truncate)
        rows = [one[0] if self._pooling_type else one for one in vectors]
        output = rows[0] if isinstance(input, str) else rows
        return (output, total) if return_count else output

    def create_embedding(self, input: str | list[str], model: str | None = None) -> Embeddings:
        """The embeddings of texts, in OpenAI's shape."""
        vectors, total = self._embed([input] if isinstance(input, str) else input, normalize=False, truncate=True)
        name = self.model_path if model is None else model
        return embeddings(vectors, total, name, is_pooled=self._pooling_type != 0)

    def n_embd(self) -> int:
        """Width of the hidden state."""
        return self._engine.model.embedding_length if isinstance(self._engine, NativeEngine) else 0

    def pooling_type(self) -> int:
        """How `embed` makes one vector of a text."""
        return self._pooling_type

    def _embed(self, texts: list[str], normalize: bool, truncate: bool) -> tuple[list[list[Vector]], int]:
        if not self._embedding:
            raise RuntimeError("Llama model must be created with embedding=True to call this method")
        pooling = pooling_name(self._pooling_type)
        return embed(self._native, texts, pooling=pooling, batch=self.n_batch, normalize=normalize, truncate=truncate)


def _unit(vector: Vector) -> Vector:
    norm = math.sqrt(sum(x * x for x in vector))
    return [x / norm for x in vector] if norm > 0 else vector
