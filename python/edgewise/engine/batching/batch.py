"""Answers that share the steps of one engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from edgewise.config import require_number
from edgewise.engine.batching.answering import AnswerJob
from edgewise.engine.batching.embedding import EmbedJob
from edgewise.engine.batching.encoding import EncodeJob, Passes
from edgewise.engine.batching.interface import Batching
from edgewise.engine.batching.scoring import ScoreJob
from edgewise.engine.batching.stepping import Steps
from edgewise.engine.batching.stream import Stream
from edgewise.engine.images import NO_IMAGES, ImagePrompt
from edgewise.engine.protocol import GenerateOptions
from edgewise.errors import InvalidArgument, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgewise.engine.batching.embedding import EmbedTicket
    from edgewise.engine.batching.scoring import ScoreTicket
    from edgewise.engine.encoder import Pooling
    from edgewise.engine.native import NativeEngine
    from edgewise.engine.protocol import Constraint

T = TypeVar("T")

# Prompt tokens of a step at most.
LONGEST_CHUNK = 512


class Batch(Batching):
    """Continuous batching: every step evaluates the next token of each running answer, and a part of a prompt.

    One thread steps; any thread may ask. First come, first served: the oldest `parallel` requests run, the others wait.
    Prompts are evaluated in portions, so that they delay a running answer's next token by at most about `stall_s`.
    Where the KV cache has no room for all, the youngest waits until there is. An answer that runs alone is guessed at
    as by `engine.generate`. A batch of an encoder embeds, texts of all requests in one pass, and does nothing else.

    The engine may be used beside it: steps take turns with `engine.generate`, which keeps its turn for a whole answer.

    Args:
        engine: what computes; it must stay open until the batch is closed.
        parallel: how many requests run at a time.
        queue_limit: how many may wait.
        stall_s: what a prompt may add to another stream's next token, in seconds.

    Raises:
        InvalidArgument: if a number is out of its range.
    """

    def __init__(
        self, engine: NativeEngine, *, parallel: int = 4, queue_limit: int = 64, stall_s: float = 0.15
    ) -> None:
        super().__init__(engine, parallel, queue_limit)
        require_number("stall_s", stall_s)
        if not stall_s > 0:
            raise InvalidArgument(f"stall_s must be above 0, got {stall_s}")
        self._engine = engine
        if engine.is_encoder:
            self._start(Passes(engine, self._places, LONGEST_CHUNK))
        else:
            self._start(Steps(engine, self._places, stall_s, LONGEST_CHUNK))

    def submit(
        self,
        prompt: Sequence[int] | ImagePrompt,
        options: GenerateOptions | None = None,
        *,
        constraint: Constraint | None = None,
        deadline_s: float | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> Stream:
        """See `Batching.submit`."""
        if isinstance(prompt, ImagePrompt):
            raise UnsupportedError(NO_IMAGES)
        tokens = self._checked(prompt)
        self._engine.check_prompt(tokens)
        options = options or GenerateOptions()
        job = AnswerJob(self._engine, tokens, options, constraint, deadline_s, on_ready, self._places.cancel)
        self._places.add(job)
        return Stream(job, job.outlet)

    def score(
        self,
        prefix: Sequence[int],
        continuations: Sequence[Sequence[int]],
        *,
        deadline_s: float | None = None,
        namespace: str = "",
    ) -> ScoreTicket:
        """See `Batching.score`."""
        self._engine.check_generates()
        prefix = self._checked(prefix)
        tokens = [self._checked(one) for one in continuations]
        if not prefix or not tokens or not all(tokens):
            raise InvalidArgument("a score needs a prefix and continuations of at least one token each")
        self._check_length(len(prefix) + max(map(len, tokens)) - 1)
        job = ScoreJob(prefix, tokens, namespace, self._engine.vocabulary_size, deadline_s)
        return self._ticket(job, job.ticket)

    def embed(
        self, texts: Sequence[Sequence[int]], pooling: Pooling | None = None, *, deadline_s: float | None = None
    ) -> EmbedTicket:
        """See `Batching.embed`."""
        if pooling is None:
            own = self._engine.default_pooling
            pooling = "mean" if own is None or own == "none" else own
        if pooling not in ("mean", "last", "first"):
            raise InvalidArgument(f"pooling {pooling!r} is unknown", hint="known: mean, last, first")
        tokens = [self._checked(text) for text in texts]
        if not tokens or not all(tokens):
            raise InvalidArgument("an embedding needs texts of at least one token each")
        self._check_length(max(map(len, tokens)))
        make = EncodeJob if self._engine.is_encoder else EmbedJob
        job = make(tokens, pooling, deadline_s)
        self._ticket(job, job.ticket)
        return job.ticket
