"""Many requests to one engine: answers that share its steps, scores, embeddings, in the order of asking."""

from __future__ import annotations

from edgewise.engine.batching.batch import Batch
from edgewise.engine.batching.scoring import Scores, ScoreTicket
from edgewise.engine.batching.stream import Stream

__all__ = ["Batch", "ScoreTicket", "Scores", "Stream"]
