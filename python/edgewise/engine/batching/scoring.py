"""How likely a model finds given continuations."""

from __future__ import annotations

import math
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.engine.batching.ticket import TicketJob
from edgewise.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise import _core
    from edgewise.engine.batching.job import Work
    from edgewise.engine.native import NativeEngine

# What the logits of a step may take; every token of a continuation has a row of them.
LOGITS_BYTES = 64 << 20


@dataclass(frozen=True)
class Scores:
    """What a model says of continuations of one text.

    Args:
        token_logprobs: of each continuation, the natural logarithm of each token's probability behind those before it.
        cached_tokens: tokens of the text that the KV cache already held.
        evaluated_tokens: tokens that were evaluated, those of the continuations included.
        queue_s: seconds from the request until its work began.
        total_s: seconds from the request to the result.
    """

    token_logprobs: tuple[tuple[float, ...], ...]
    cached_tokens: int
    evaluated_tokens: int
    queue_s: float
    total_s: float

    @property
    def logprobs(self) -> tuple[float, ...]:
        """The logarithm of the probability of each continuation as a whole."""
        return tuple(math.fsum(tokens) for tokens in self.token_logprobs)


ScoreTicket = Future[Scores]
"""`result()` waits for the scores, `cancel()` stops the work within a step."""


class ScoreJob(TicketJob[Scores]):
    """Evaluates a prefix once, and continuations as sequences beside each other that share it.

    Args:
        prefix: token ids; at least one.
        continuations: token ids; at least one each.
        namespace: see `GenerateOptions.cache_namespace`.
        vocabulary_size: logits of a token.
        deadline_s: see `Job`.
    """

    def __init__(
        self,
        prefix: list[int],
        continuations: Sequence[list[int]],
        namespace: str,
        vocabulary_size: int,
        deadline_s: float | None,
    ) -> None:
        super().__init__(deadline_s)
        self._prefix, self._namespace = prefix, namespace
        self._continuations = continuations
        self._most_rows = max(1, LOGITS_BYTES // (4 * vocabulary_size))
        self._base = -1  # the sequence of the prefix
        self._held = 0
        self._cached = 0
        self._evaluated = 0
        self._logprobs: list[list[float]] = [[] for _ in continuations]
        self._width = len(continuations)  # how many have a sequence at a time
        self._open: dict[int, int] = {}  # sequence -> which continuation it is of

    def begin(self, engine: NativeEngine) -> None:
        """Takes up what memory or disk have of the prefix."""
        self._base, self._held = engine.begin_sequence(self._prefix, self._namespace)
        if self._evaluated == 0:
            self.begun_s = time.perf_counter()
            self._cached = self._held

    def leave(self, engine: NativeEngine) -> None:
        """Gives all sequences back; what was found of complete continuations is not lost."""
        session = engine.session
        for sequence, index in list(self._open.items()):
            self._close(session, sequence)
            del self._logprobs[index][1:]
        if self._base >= 0:
            session.end(self._base)
            self._base, self._held = -1, 0

    @property
    def beginning(self) -> tuple[str, list[int], int]:
        """Namespace, prefix, and how much of it is held."""
        return self._namespace, self._prefix, self._held

    @property
    def pending(self) -> int:
        """Tokens to evaluate."""
        rest = sum(
            len(tokens) - max(len(found), 1) for tokens, found in zip(self._continuations, self._logprobs, strict=True)
        )
        return len(self._prefix) - self._held + rest

    def prepare(self, engine: NativeEngine) -> None:
        """Opens sequences for continuations, which begin as the prefix does."""
        session = engine.session
        if self._held < len(self._prefix):
            return
        busy = set(self._open.values())
        for index, tokens in enumerate(self._continuations):
            if len(self._open) >= self._width:
                break
            if index not in busy and len(self._logprobs[index]) < len(tokens):
                sequence, held = session.begin([*self._prefix, *tokens], self._namespace)
                if held < len(self._prefix):
                    session.end(sequence)
                    raise InternalError(f"a continuation shares {held} of {len(self._prefix)} tokens")
                session.truncate(len(self._prefix), sequence=sequence)  # another request may have held more
                self._open[sequence] = index

    def work(self, most: int) -> list[Work]:
        """A part of the prefix, or of the continuations."""
        if self._held < len(self._prefix):
            tokens = self._prefix[self._held : self._held + most]
            is_last = self._held + len(tokens) == len(self._prefix)
            return [(self._base, tokens, "last" if is_last else "none")] if tokens else []
        work: list[Work] = []
        rows = min(most, self._most_rows)
        for sequence, index in self._open.items():
            if rows <= 0:
                break
            done = len(self._logprobs[index]) - 1
            tokens = self._continuations[index][done:-1][:rows]
            rows -= len(tokens)
            work.append((sequence, tokens, "all"))
        return work

    def took(self, session: _core.Session, work: list[Work], step_s: float) -> None:
        """Reads the logits."""
        self._evaluated += sum(len(tokens) for _, tokens, _ in work)
        if work[0][0] == self._base:
            self._held += len(work[0][1])
            if self._held == len(self._prefix):
                for tokens, found in zip(self._continuations, self._logprobs, strict=True):
                    if not found:
                        found.append(session.logprobs(-1, tokens[0], 0, sequence=self._base)[0])
        else:
            for sequence, tokens, _ in work:
                index = self._open[sequence]
                found = self._logprobs[index]
                targets = self._continuations[index][len(found) : len(found) + len(tokens)]
                found.extend(-surprise for surprise in session.surprises(targets, sequence=sequence))
                if len(found) == len(self._continuations[index]):
                    self._close(session, sequence)
        if self.pending == 0:
            self.succeed(self._scores())

    def _scores(self) -> Scores:
        return Scores(
            tuple(map(tuple, self._logprobs)),
            self._cached,
            self._evaluated,
            self.begun_s - self.asked_s,
            time.perf_counter() - self.asked_s,
        )

    def _close(self, session: _core.Session, sequence: int) -> None:
        del self._open[sequence]
        session.truncate(len(self._prefix), sequence=sequence)  # a part of the base: not worth remembering
        session.end(sequence)

    def shrink(self) -> bool:
        """Goes on with half as many continuations at a time; the batch lets it begin again."""
        if self._width <= 1:
            return False
        self._width = max(1, min(self._width, len(self._open)) // 2)
        return True
