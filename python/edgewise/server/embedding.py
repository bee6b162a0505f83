"""Texts as vectors, for every surface."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.errors import ContextFull, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.engine.batching import Batching
    from edgewise.engine.protocol import Engine
    from edgewise.server.models import Models


@dataclass(frozen=True)
class Embedded:
    """Vectors, and what they cost.

    Args:
        vectors: one for each text.
        tokens: of all texts.
        truncated_tokens: that were left away, because a text was too long.
        load_s: the wait for the model.
        total_s: from the request's arrival.
    """

    vectors: list[list[float]]
    tokens: int
    truncated_tokens: int
    load_s: float
    total_s: float


async def embed(
    models: Models,
    name: str,
    texts: Sequence[str | Sequence[int]],
    *,
    arrived_s: float,
    truncate: bool,
    keep_alive_s: float | None = None,
    dimensions: int | None = None,
    is_normalized: bool = True,
) -> Embedded:
    """The vectors of texts.

    Args:
        models: one of which makes them.
        name: which one.
        texts: as text, or as token ids.
        arrived_s: when the request came, on `time.perf_counter`.
        truncate: shorten texts that are too long, in place of refusing them.
        keep_alive_s: how long the model stays loaded; None for the server's setting.
        dimensions: how many numbers a vector has; None for all.
        is_normalized: give them the length 1.

    Raises:
        ContextFull: if a text is too long, and was not to be shortened.
        UnsupportedError: if the model does not make vectors here.
        EdgewiseError: if the model is not there, or the queue is full.
    """
    async with models.lease(name, keep_alive_s=keep_alive_s) as lease:
        engine, batch = lease.model.engine, lease.model.batch
        tokens = await asyncio.to_thread(lambda: [_tokens(engine, text) for text in texts])
        before = sum(map(len, tokens))
        tokens = _shortened(engine, tokens) if truncate else tokens
        for index, one in enumerate(tokens):
            if len(one) > engine.context_length:
                raise ContextFull(f"input[{index}] has {len(one)} tokens, the context window {engine.context_length}")
        vectors = await _vectors(batch, tokens) if tokens else []
        if dimensions is not None and vectors and dimensions > len(vectors[0]):
            raise InvalidArgument(f"dimensions must be at most {len(vectors[0])} for this model, got {dimensions}")
        vectors = [vector[:dimensions] for vector in vectors]
        if is_normalized:
            vectors = [_normalized(vector) for vector in vectors]
        count = sum(map(len, tokens))
        return Embedded(vectors, count, before - count, lease.load_s, time.perf_counter() - arrived_s)


async def _vectors(batch: Batching, tokens: list[list[int]]) -> list[list[float]]:
    places = [index for index, one in enumerate(tokens) if one]
    vectors: list[list[float]] = [[] for _ in tokens]
    # Cancelling the ticket, as happens when the client leaves, ends the work.
    found: list[list[float]] = await asyncio.wrap_future(batch.embed([tokens[index] for index in places]))
    for index, vector in zip(places, found, strict=True):
        vectors[index] = vector
    return vectors


def _tokens(engine: Engine, text: str | Sequence[int]) -> list[int]:
    if not isinstance(text, str):
        return list(text)
    return engine.tokenize(text) or engine.tokenize(" ")


def _shortened(engine: Engine, tokens: list[list[int]]) -> list[list[int]]:
    """Texts that fit; one that is cut keeps the token that ends it, which some models look at alone."""
    longest = engine.context_length
    end = engine.tokenize("")[-1:]
    kept = []
    for one in tokens:
        is_marked = len(end) == 1 and one[-1:] == end
        kept.append(one if len(one) <= longest else [*one[: longest - 1], one[-1]] if is_marked else one[:longest])
    return kept


def _normalized(vector: list[float]) -> list[float]:
    length = math.sqrt(math.fsum(x * x for x in vector))
    return [x / length for x in vector] if length > 0 else vector
