"""Texts as vectors, for every surface."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.errors import Closed, ContextFull, InvalidArgument
from edgewise.server.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.engine.batching import EmbedTicket
    from edgewise.engine.protocol import Engine
    from edgewise.server.endpoint import Call
    from edgewise.server.models import Loaded

_WAYS_OUT = 'ask for "truncate": true, or take a model with a longer context'


@dataclass(frozen=True)
class Embedded:
    """Vectors, and what they cost.

    Args:
        vectors: one for each text.
        tokens: of all texts.
        evaluated_tokens: those that were evaluated, which is fewer where only the first of a text matters.
        truncated_tokens: that were left away, because a text was too long.
        queue_s: the wait for a turn.
        load_s: the wait for the model.
        evaluation_s: from the beginning of the work to its end.
        total_s: from the request's arrival.
    """

    vectors: list[list[float]]
    tokens: int
    evaluated_tokens: int
    truncated_tokens: int
    queue_s: float
    load_s: float
    evaluation_s: float
    total_s: float

    @property
    def cached_tokens(self) -> int:
        """Those that the KV cache held: none, as it keeps no final hidden states."""
        return 0


async def embed(
    call: Call,
    texts: Sequence[str | Sequence[int]],
    *,
    truncate: bool,
    keep_alive_s: float | None = None,
    context_length: int | None = None,
    is_normalized: bool = True,
    field: str = "input",
) -> Embedded:
    """The vectors of texts, of as many numbers as the request's `dimensions` say.

    Args:
        call: the request.
        texts: as text, or as token ids.
        truncate: shorten texts that are too long, in place of refusing them.
        keep_alive_s: how long the model stays loaded; None for the server's setting.
        context_length: tokens that a text may have; None for what the model has by default.
        is_normalized: give the vectors the length 1.
        field: of the request, that has the texts.

    Raises:
        ContextFull: if a text is too long, and was not to be shortened.
        UnsupportedError: if the model does not make vectors here.
        EdgewiseError: if the model is not there, the queue is full, or it takes too long.
    """
    limit_s = call.state.config.deadline_s
    until_s = None if math.isinf(limit_s) else call.started_s + limit_s
    async with call.state.models.lease(
        call.body["model"], keep_alive_s=keep_alive_s, context_length=context_length, until_s=until_s
    ) as lease:
        engine = lease.model.engine
        longest = min(engine.context_length, context_length or engine.context_length)
        tokens = await asyncio.to_thread(lambda: [_tokens(engine, text) for text in texts])
        before = sum(map(len, tokens))
        tokens = _shortened(engine, tokens, longest) if truncate else tokens
        for index, one in enumerate(tokens):
            if len(one) > longest:
                place = field if len(tokens) == 1 else f"{field}[{index}]"
                finding = f"{place} has {len(one)} tokens, the context window {longest}"
                raise ContextFull(finding, hint=_WAYS_OUT)
        given = [one for one in tokens if one]
        ticket = _submit(lease.model, given, until_s) if given else None
        # Cancelling the ticket, as happens when the client leaves, ends the work.
        found: list[list[float]] = [] if ticket is None else await asyncio.wrap_future(ticket)
        rest = iter(found)
        vectors = [next(rest) if one else [] for one in tokens]
        wanted = call.body.get("dimensions")
        if wanted is not None and vectors and wanted > len(vectors[0]):
            raise InvalidArgument(f"dimensions must be at most {len(vectors[0])} for this model, got {wanted}")
        vectors = [vector[: None if wanted is None else int(wanted)] for vector in vectors]
        if is_normalized:
            vectors = [_normalized(vector) for vector in vectors]
        count, installed = sum(map(len, tokens)), lease.model.installed.name
        embedded = Embedded(
            vectors=vectors,
            tokens=count,
            evaluated_tokens=ticket.evaluated_tokens if ticket is not None else 0,
            truncated_tokens=before - count,
            queue_s=ticket.queue_s if ticket is not None else 0.0,
            load_s=lease.load_s,
            evaluation_s=ticket.evaluation_s if ticket is not None else 0.0,
            total_s=time.perf_counter() - call.started_s,
        )
    call.notes |= {"model": installed, "prompt": count}
    call.state.metrics.embedded(installed, embedded)
    return embedded


def _submit(model: Loaded, tokens: list[list[int]], until_s: float | None) -> EmbedTicket:
    left_s = None if until_s is None else until_s - time.perf_counter()
    if left_s is not None and left_s <= 0:
        raise Refused("timeout", "the vectors were not there in time")
    try:
        return model.batch.embed(tokens, deadline_s=left_s)
    except Closed:
        model.is_broken = True
        raise


def _tokens(engine: Engine, text: str | Sequence[int]) -> list[int]:
    if not isinstance(text, str):
        return list(text)
    return engine.tokenize(text) or engine.tokenize(" ")


def _shortened(engine: Engine, tokens: list[list[int]], longest: int) -> list[list[int]]:
    """Texts that fit; one that is cut keeps the token that ends it, which some models look at alone."""
    end = engine.tokenize("")[-1:]
    kept = []
    for one in tokens:
        is_marked = len(end) == 1 and one[-1:] == end
        kept.append(one if len(one) <= longest else [*one[: longest - 1], one[-1]] if is_marked else one[:longest])
    return kept


def _normalized(vector: list[float]) -> list[float]:
    length = math.sqrt(math.fsum(x * x for x in vector))
    return [x / length for x in vector] if length > 0 else vector
