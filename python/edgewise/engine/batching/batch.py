"""Answers that share the steps of one engine."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from edgewise.config import require_number, require_whole
from edgewise.engine.batching.answering import AnswerJob
from edgewise.engine.batching.calling import CallJob
from edgewise.engine.batching.embedding import EmbedJob
from edgewise.engine.batching.places import Places
from edgewise.engine.batching.scoring import ScoreJob
from edgewise.engine.batching.stepping import Steps
from edgewise.engine.batching.stream import Stream
from edgewise.engine.protocol import GenerateOptions
from edgewise.errors import Closed, ContextFull, EdgewiseError, InternalError, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from typing_extensions import Self

    from edgewise.engine.batching.embedding import EmbedTicket, Pooling
    from edgewise.engine.batching.job import Job
    from edgewise.engine.batching.scoring import ScoreTicket
    from edgewise.engine.native import NativeEngine
    from edgewise.engine.protocol import Constraint

T = TypeVar("T")

# Prompt tokens of a step at most.
LONGEST_CHUNK = 512


class Batch:
    """Continuous batching: every step evaluates the next token of each running answer, and a part of a prompt.

    One thread steps; any thread may ask. First come, first served: the oldest `parallel` requests run, the others wait.
    Prompts are evaluated in portions, so that they delay a running answer's next token by at most about `stall_s`.
    Where the KV cache has no room for all, the youngest waits until there is. An answer that runs alone is guessed at
    as by `engine.generate`.

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
        require_whole("parallel", parallel, 1)
        require_whole("queue_limit", queue_limit, 0)
        require_number("stall_s", stall_s)
        if not stall_s > 0:
            raise InvalidArgument(f"stall_s must be above 0, got {stall_s}")
        self._engine = engine
        self._places = Places(parallel, queue_limit)
        self._thread = threading.Thread(target=_work, args=(engine, self._places, stall_s), name="edgewise-batch")
        self._thread.daemon = True
        self._thread.start()

    @property
    def engine(self) -> NativeEngine:
        """What computes."""
        return self._engine

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return self._places.waiting

    @property
    def active(self) -> int:
        """How many requests are worked on."""
        return len(self._places.active)

    def submit(
        self,
        prompt: Sequence[int],
        options: GenerateOptions | None = None,
        *,
        constraint: Constraint | None = None,
        deadline_s: float | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> Stream:
        """Continues a prompt. Never waits.

        Args:
            prompt: token ids.
            options: how the answer is made.
            constraint: what the answer may say; used up by it.
            deadline_s: how long the answer may take, waiting included; then it ends with `DeadlineExceeded`.
            on_ready: called, from the batch's thread, when the stream has something to read.

        Raises:
            QueueFull: if as many requests wait as may.
            ContextFull: if the prompt leaves no room for an answer.
            InvalidArgument: if the prompt is empty, a token id is not in the vocabulary, or an option out of its range.
            Closed: if the batch takes no more requests.
        """
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
        """How likely the model finds each continuation behind a prefix, which is evaluated once. Never waits.

        Args:
            prefix: token ids; at least one.
            continuations: token ids; at least one each.
            deadline_s: see `submit`.
            namespace: see `GenerateOptions.cache_namespace`.

        Raises:
            QueueFull: if as many requests wait as may.
            ContextFull: if prefix and continuation do not fit the context.
            InvalidArgument: if there is nothing to score, or a token id is not in the vocabulary.
            Closed: if the batch takes no more requests.
        """
        prefix = self._checked(prefix)
        tokens = [self._checked(one) for one in continuations]
        if not prefix or not tokens or not all(tokens):
            raise InvalidArgument("a score needs a prefix and continuations of at least one token each")
        self._check_length(len(prefix) + max(map(len, tokens)) - 1)
        job = ScoreJob(prefix, tokens, namespace, self._engine.vocabulary_size, deadline_s)
        return self._ticket(job, job.ticket)

    def embed(
        self, texts: Sequence[Sequence[int]], pooling: Pooling = "mean", *, deadline_s: float | None = None
    ) -> EmbedTicket:
        """The texts as vectors: their final hidden states, pooled, not normalized. Never waits.

        Args:
            texts: token ids; at least one each.
            pooling: `mean` of all tokens, or the `last` or the `first` alone.
            deadline_s: see `submit`.

        Raises:
            QueueFull: if as many requests wait as may.
            ContextFull: if a text does not fit the context.
            InvalidArgument: if a text is empty, a token id is not in the vocabulary, or the pooling unknown.
            Closed: if the batch takes no more requests.
        """
        if pooling not in ("mean", "last", "first"):
            raise InvalidArgument(f"pooling {pooling!r} is unknown", hint="known: mean, last, first")
        tokens = [self._checked(text) for text in texts]
        if not tokens or not all(tokens):
            raise InvalidArgument("an embedding needs texts of at least one token each")
        self._check_length(max(map(len, tokens)))
        job = EmbedJob(tokens, pooling, deadline_s)
        return self._ticket(job, job.ticket)

    def run(self, work: Callable[[NativeEngine], T]) -> Future[T]:
        """Calls `work` between two steps, once all that came before has begun; running answers wait meanwhile.

        Raises:
            QueueFull: if as many requests wait as may.
            Closed: if the batch takes no more requests.
        """
        job = CallJob(work)
        return self._ticket(job, job.ticket)

    def drain(self, timeout_s: float | None = None) -> bool:
        """Takes no more requests, and waits for those that there are; False if that took longer than `timeout_s`."""
        return self._places.drain(timeout_s)

    def close(self) -> None:
        """Takes no more requests, and ends those that there are with `Closed`. Closing twice is fine."""
        self._places.close()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ticket(self, job: Job, ticket: Future[T]) -> Future[T]:
        ticket.add_done_callback(lambda ticket: self._places.cancel(job) if ticket.cancelled() else None)
        self._places.add(job)
        return ticket

    def _checked(self, tokens: Sequence[int]) -> list[int]:
        """A list of the tokens, all of which are in the vocabulary."""
        tokens, size = list(tokens), self._engine.vocabulary_size
        for token in (min(tokens), max(tokens)) if tokens else ():
            if not 0 <= token < size:
                raise InvalidArgument(f"token {token} is not one of the {size} of this model")
        return tokens

    def _check_length(self, length: int) -> None:
        most = self._engine.context_length
        if length > most:
            raise ContextFull(f"Requested tokens ({length}) exceed context window of {most}")


def _work(engine: NativeEngine, places: Places, stall_s: float) -> None:
    """Steps until the batch is closed. It does not hold the batch."""
    steps = Steps(engine, places, stall_s, LONGEST_CHUNK)
    error: EdgewiseError = Closed("the batch was closed before the answer ended")
    try:
        while places.wait_for_work():
            steps.step()
    except EdgewiseError as refusal:  # such as an engine that was closed
        error = refusal
    except BaseException as bug:
        error = InternalError(f"the batch stopped: {type(bug).__name__}: {bug}")
        raise
    finally:
        places.close()
        steps.end(error)
