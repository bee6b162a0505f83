"""What every batch offers, whatever engine it is of."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

from edgewise.config import require_whole
from edgewise.engine.batching.calling import CallJob
from edgewise.engine.batching.places import Places
from edgewise.errors import Closed, ContextFull, EdgewiseError, InternalError, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from typing_extensions import Self

    from edgewise.engine.batching.embedding import EmbedTicket
    from edgewise.engine.batching.job import Job
    from edgewise.engine.batching.scoring import ScoreTicket
    from edgewise.engine.batching.stream import Stream
    from edgewise.engine.encoder import Pooling
    from edgewise.engine.images import ImagePrompt
    from edgewise.engine.protocol import Constraint, Engine, GenerateOptions

T = TypeVar("T")


class Worker(ABC):
    """Works on jobs; one thread uses it."""

    @abstractmethod
    def step(self) -> None:
        """A part of the work, after which there may be other jobs. What it raises ends the batch."""

    @abstractmethod
    def end(self, error: BaseException) -> None:
        """Ends all jobs with an error."""


class Batching(ABC):
    """Takes requests from any thread, and works on them on a thread of its own: first come, first served.

    Args:
        engine: what computes; it must stay open until the batch is closed.
        parallel: how many requests are worked on at a time.
        queue_limit: how many may wait.

    Raises:
        InvalidArgument: if a number is out of its range.
    """

    def __init__(self, engine: Engine, parallel: int, queue_limit: int) -> None:
        require_whole("parallel", parallel, 1)
        require_whole("queue_limit", queue_limit, 0)
        self.engine = engine
        self._vocabulary_size, self._context_length = engine.vocabulary_size, engine.context_length
        self._places = Places(parallel, queue_limit)
        self._thread: threading.Thread | None = None

    def _start(self, worker: Worker) -> None:
        """Lets the work begin. The thread does not hold the batch."""
        self._thread = threading.Thread(target=_work, args=(worker, self._places), name="edgewise-batch", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return self._places.waiting

    @property
    def active(self) -> int:
        """How many requests are worked on."""
        return len(self._places.active)

    @property
    def takes_requests(self) -> bool:
        """False once it is drained or closed."""
        return self._places.is_open

    @abstractmethod
    def submit(
        self,
        prompt: Sequence[int] | ImagePrompt,
        options: GenerateOptions | None = None,
        *,
        constraint: Constraint | None = None,
        deadline_s: float | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> Stream:
        """Continues a prompt. Never waits.

        Args:
            prompt: token ids; or text with images, where the engine sees them.
            options: how the answer is made.
            constraint: what the answer may say; used up by it.
            deadline_s: how long the answer may take, waiting included; then it ends with `DeadlineExceeded`.
            on_ready: called, from the batch's thread, when the stream has something to read.

        Raises:
            QueueFull: if as many requests wait as may.
            ContextFull: if the prompt leaves no room for an answer.
            InvalidArgument: if the prompt is empty, a token id is not in the vocabulary, or an option out of its range.
            UnsupportedError: if the engine does not do what is asked.
            Closed: if the batch takes no more requests.
        """

    @abstractmethod
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

    @abstractmethod
    def embed(
        self, texts: Sequence[Sequence[int]], pooling: Pooling | None = None, *, deadline_s: float | None = None
    ) -> EmbedTicket:
        """The texts as vectors: their final hidden states, pooled, not normalized. Never waits.

        Args:
            texts: token ids; at least one each.
            pooling: `mean` of all tokens, or the `last` or the `first` alone; None for what the model's file says, and
                for the mean if it says nothing.
            deadline_s: see `submit`.

        Raises:
            QueueFull: if as many requests wait as may.
            ContextFull: if a text does not fit the context.
            InvalidArgument: if a text is empty, a token id is not in the vocabulary, or the pooling unknown.
            Closed: if the batch takes no more requests.
        """

    def run(self, work: Callable[[Engine], T]) -> Future[T]:
        """Calls `work` with the engine between two steps, once all that came before has begun.

        It takes its turn at the engine as anybody else; running answers wait meanwhile.

        Raises:
            QueueFull: if as many requests wait as may.
            Closed: if the batch takes no more requests.
        """
        job = CallJob(lambda: work(self.engine))
        return self._ticket(job, job.ticket)

    def drain(self, timeout_s: float | None = None) -> bool:
        """Takes no more requests, and waits for those that there are; False if that took longer than `timeout_s`."""
        return self._places.drain(timeout_s)

    def close(self) -> None:
        """Takes no more requests, and ends those that there are with `Closed`. Closing twice is fine."""
        self._places.close()
        if self._thread is not None and self._thread is not threading.current_thread():
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
        tokens, size = list(tokens), self._vocabulary_size
        for token in (min(tokens), max(tokens)) if tokens else ():
            if not 0 <= token < size:
                raise InvalidArgument(f"token {token} is not one of the {size} of this model")
        return tokens

    def _check_length(self, length: int) -> None:
        most = self._context_length
        if length > most:
            raise ContextFull(f"Requested tokens ({length}) exceed context window of {most}")


def _work(worker: Worker, places: Places) -> None:
    """Works until the batch is closed."""
    error: EdgewiseError = Closed("the batch was closed before the answer ended")
    try:
        while places.wait_for_work():
            worker.step()
    except EdgewiseError as refusal:  # such as an engine that was closed
        error = refusal
    except BaseException as bug:
        error = InternalError(f"the batch stopped: {type(bug).__name__}: {bug}")
        raise
    finally:
        places.close()
        worker.end(error)
