"""Texts as vectors."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal

from edgewise.engine.batching.ticket import TicketJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise import _core
    from edgewise.engine.encoder import Pooling
    from edgewise.engine.native import NativeEngine


class EmbedTicket(Future[list[list[float]]]):
    """`result()` waits for a vector per text, `cancel()` stops the work within a step.

    What it cost is there with the result:

    Attributes:
        queue_s: seconds from the request until its work began.
        evaluation_s: seconds from then to the result.
        evaluated_tokens: tokens that were evaluated; nothing of a text is ever found in a cache.
    """

    def __init__(self) -> None:
        super().__init__()
        self.queue_s = self.evaluation_s = 0.0
        self.evaluated_tokens = 0

    def told(self, asked_s: float, begun_s: float, texts: Sequence[Sequence[int]]) -> None:
        """Takes down what the work that ends now cost."""
        self.queue_s, self.evaluation_s = begun_s - asked_s, time.perf_counter() - begun_s
        self.evaluated_tokens = sum(map(len, texts))


class EmbedJob(TicketJob[list[list[float]]]):
    """Evaluates texts one after the other, each in portions, and pools their final hidden states.

    Args:
        texts: token ids; at least one each.
        pooling: `mean` of all tokens, or the `last` or the `first` alone.
        deadline_s: see `Job`.
    """

    def __init__(self, texts: Sequence[list[int]], pooling: Pooling, deadline_s: float | None) -> None:
        self.ticket: EmbedTicket = EmbedTicket()
        super().__init__(deadline_s, self.ticket)
        self._texts = [text[:1] for text in texts] if pooling == "first" else list(texts)
        self._portion: Literal["mean", "last"] = "mean" if pooling == "mean" else "last"
        self._vectors: list[list[float]] = []
        self._sequence = -1
        self._held = 0  # tokens of the text at hand
        self._sum: list[float] = []

    def begin(self, engine: NativeEngine) -> None:
        """Takes an empty sequence: hidden states are not remembered, so that nothing of a text is known."""
        if self.begun_s == self.asked_s:
            self.begun_s = time.perf_counter()
        self._sequence, self._held = engine.session.begin([])
        self._sum = []

    def leave(self, engine: NativeEngine) -> None:
        """Gives the sequence back."""
        if self._sequence >= 0:
            engine.session.end(self._sequence)
            self._sequence, self._held = -1, 0

    @property
    def pending(self) -> int:
        """Tokens of the text at hand; the next ones take the same room."""
        index = len(self._vectors)
        return len(self._texts[index]) - self._held if index < len(self._texts) else 0

    def compute(self, session: _core.Session, most: int) -> int:
        """A portion of the text at hand."""
        text = self._texts[len(self._vectors)]
        tokens = text[self._held : self._held + most]
        vector = session.embed_more(self._sequence, tokens, self._portion)
        self._held += len(tokens)
        if self._portion == "mean":
            share = len(tokens) / len(text)
            vector = [x * share for x in vector]
            self._sum = [a + b for a, b in zip(self._sum, vector, strict=True)] if self._sum else vector
        else:
            self._sum = vector
        if self._held == len(text):
            self._vectors.append(self._sum)
            self._sum, self._held = [], 0
            session.truncate(0, sequence=self._sequence)
            if len(self._vectors) == len(self._texts):
                self.ticket.told(self.asked_s, self.begun_s, self._texts)
                self.succeed(self._vectors)
        return len(tokens)
