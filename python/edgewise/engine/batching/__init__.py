"""Many requests to one engine: answers that share its steps, scores, embeddings, in the order of asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.engine.batching.batch import Batch
from edgewise.engine.batching.embedding import EmbedTicket
from edgewise.engine.batching.interface import Batching
from edgewise.engine.batching.scoring import Scores, ScoreTicket
from edgewise.engine.batching.serial import SerialBatch
from edgewise.engine.batching.stream import Stream
from edgewise.engine.encoder import Pooling
from edgewise.engine.native import NativeEngine

if TYPE_CHECKING:
    from edgewise.engine.protocol import Engine

__all__ = ["Batch", "Batching", "EmbedTicket", "Pooling", "ScoreTicket", "Scores", "SerialBatch", "Stream", "batch_of"]


def batch_of(engine: Engine, *, parallel: int = 4, queue_limit: int = 64, stall_s: float = 0.15) -> Batching:
    """The batch that suits an engine: requests share the steps of the core, and go one by one through llama.cpp.

    Args:
        engine: what computes; it must stay open until the batch is closed.
        parallel: how many requests run at a time, where they can.
        queue_limit: how many may wait.
        stall_s: what a prompt may add to another stream's next token, in seconds.
    """
    if isinstance(engine, NativeEngine):
        return Batch(engine, parallel=parallel, queue_limit=queue_limit, stall_s=stall_s)
    return SerialBatch(engine, queue_limit=queue_limit)
