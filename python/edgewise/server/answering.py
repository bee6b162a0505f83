"""From a request to the events of its answer: the one way that every surface takes."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgewise.chat.events import ToolCall
from edgewise.errors import Closed, ContextFull
from edgewise.server.models import speech_of
from edgewise.server.parameters import generate_options
from edgewise.server.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edgewise.chat.events import Event
    from edgewise.engine.batching import Stream
    from edgewise.engine.protocol import FinishReason, GenerateOptions, Piece
    from edgewise.server.ask import Ask
    from edgewise.server.logs import Log
    from edgewise.server.metrics import Metrics
    from edgewise.server.models import Lease, Models
    from edgewise.server.settings import ServerConfig
    from edgewise.server.speech import Spoken


@dataclass(frozen=True)
class Cost:
    """What an answer cost, as every surface reports it.

    Args:
        total_s: from the request's arrival to the end of its answer.
        load_s: the wait for the model.
        queue_s: the wait for a turn.
        time_to_first_token_s: from the request's arrival.
        inter_token_p50_s: the median of the times between tokens.
        inter_token_p95_s: their 95th percentile.
        prompt_tokens: all of the prompt.
        cached_tokens: those that the KV cache held.
        evaluated_tokens: those that were evaluated.
        generated_tokens: of the answer.
        prefill_s: the time that the evaluated ones took.
        decode_s: the time that the tokens after the first took.
        truncated_tokens: of the prompt, left away because it was too long.
        dropped_tokens: that the context lost while the answer was made.
        drafted_tokens: guesses of speculative decoding.
        accepted_tokens: those that were right.
    """

    total_s: float
    load_s: float
    queue_s: float
    time_to_first_token_s: float
    inter_token_p50_s: float
    inter_token_p95_s: float
    prompt_tokens: int
    cached_tokens: int
    evaluated_tokens: int
    generated_tokens: int
    prefill_s: float
    decode_s: float
    truncated_tokens: int = 0
    dropped_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0


@dataclass(frozen=True)
class Delta:
    """What came of an answer since the last one.

    Args:
        event: text, reasoning, or a tool call; None if there are only tokens that show nothing yet.
        pieces: the tokens that came with it.
    """

    event: Event | None
    pieces: tuple[Piece, ...] = ()


class Answers:
    """Makes answers.

    Args:
        models: that answer.
        config: of the server.
        metrics: told of each answer's cost.
        log: told of prompts and answers, if the configuration wants that.
    """

    def __init__(self, models: Models, config: ServerConfig, metrics: Metrics, log: Log) -> None:
        self._models = models
        self._config = config
        self._metrics = metrics
        self._log = log if config.logs_prompts else None

    @asynccontextmanager
    async def prepare(self, ask: Ask) -> AsyncIterator[Prepared]:
        """A request whose prompt is ready. The model stays for as long as the block runs.

        Raises:
            EdgewiseError: if the model is not there, does not do what is asked, or the prompt does not fit.
        """
        until_s = self._deadline_s(ask)
        async with self._models.lease(
            ask.model,
            keep_alive_s=ask.keep_alive_s,
            context_length=ask.context_length,
            until_s=until_s,
            has_images=ask.has_images,
        ) as lease:
            model = lease.model
            speech = await speech_of(model)
            options = generate_options(ask.defaults, model.installed.parameters, ask.sampling, ask.namespace)
            limit = model.engine.context_length
            if ask.context_length is not None:
                limit = min(limit, ask.context_length)
            spoken = await asyncio.to_thread(speech.prompt, ask, options.max_tokens, limit)
            options = replace(options, shown_tokens=spoken.shown_tokens)
            prepared = Prepared(ask, lease, spoken, options, limit, until_s, self._metrics, self._log)
            if spoken.illustrated is not None and limit < model.engine.context_length:
                await prepared.measure()
            yield prepared

    async def count(self, ask: Ask) -> int:
        """How many tokens a conversation has as a prompt. Those of images are known once they were looked at.

        Raises:
            EdgewiseError: if the model is not there, or does not do what is asked.
        """
        if ask.has_images:
            nothing = replace(ask, sampling={**ask.sampling, "max_tokens": 0})
            async with self.prepare(nothing) as prepared:
                await prepared.measure()
                return prepared.prompt_tokens
        async with self._models.lease(ask.model) as lease:
            speech = await speech_of(lease.model)
            prompt = await asyncio.to_thread(lambda: speech.render(speech.messages(ask), ask))
            return len(prompt.tokens or ())

    def _deadline_s(self, ask: Ask) -> float | None:
        limit_s = self._config.deadline_s if ask.deadline_s is None else min(ask.deadline_s, self._config.deadline_s)
        return None if math.isinf(limit_s) else ask.arrived_s + limit_s


@dataclass
class Prepared:
    """A request whose prompt is ready: any number of answers can be started.

    Args:
        ask: the request.
        lease: the model's.
        spoken: the prompt, and how its answer is read.
        options: how answers are made.
        context_limit: tokens that prompt and answer may have together.
        deadline_s: when they must be over, on `time.perf_counter`; None for no limit.
        metrics: told of each answer's cost.
        log: told of prompts and answers; None if that is not wanted.
        prompt_tokens: of the prompt, as far as it is known: of images when they were measured.
    """

    ask: Ask
    lease: Lease
    spoken: Spoken
    options: GenerateOptions
    context_limit: int
    deadline_s: float | None
    metrics: Metrics
    log: Log | None
    prompt_tokens: int = 0

    def __post_init__(self) -> None:
        self.prompt_tokens = len(self.spoken.tokens)

    async def measure(self) -> None:
        """Lets the engine look at the images and count their tokens; what it found stays in its cache for the answer.

        Raises:
            ContextFull: if they leave no room for an answer.
        """
        async with self.start(max_tokens=0) as answer:
            async for _ in answer:
                pass
        self.prompt_tokens = answer.cost.prompt_tokens
        if self.prompt_tokens >= self.context_limit:
            raise ContextFull(
                f"the prompt has {self.prompt_tokens} tokens with its images, the context window {self.context_limit}, "
                "of which the answer needs one at least",
                hint="a longer context (options.num_ctx), fewer or smaller images",
            )

    def start(self, **changes: Any) -> Reply:
        """Starts an answer.

        Args:
            changes: options that differ from the request's, such as another seed.

        Raises:
            EdgewiseError: if the queue is full or an option out of its range.
        """
        options = replace(self.options, **changes) if changes else self.options
        room = self.context_limit - self.prompt_tokens
        if not options.context_shift and (options.max_tokens is None or options.max_tokens > room):
            options = replace(options, max_tokens=max(0, room))
        left_s = None if self.deadline_s is None else self.deadline_s - time.perf_counter()
        if left_s is not None and left_s <= 0:
            raise Refused("timeout", "the answer was not there in time")
        return Reply(self, options, left_s)


class Reply:
    """An answer in the making: enter it, and iterate over its deltas. Leaving it stops the work.

    Args:
        prepared: what it answers.
        options: how it is made.
        left_s: how long it may take.
    """

    def __init__(self, prepared: Prepared, options: GenerateOptions, left_s: float | None) -> None:
        self._prepared = prepared
        self._ready = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._reader = prepared.spoken.reader()
        self._last_s = self._first_s = 0.0
        self._gaps_s: list[float] = []
        self._count = 0
        self.tokens: list[int] = []
        self.called_tools = False
        self._has_begun = False
        self._is_resting = False
        self._woken_s = 0.0
        model = prepared.lease.model
        try:
            self._running: Stream = model.batch.submit(
                prepared.spoken.prompt,
                options,
                constraint=prepared.spoken.constraint(),
                deadline_s=left_s,
                on_ready=self._wake,
            )
        except Closed:
            model.is_broken = True
            raise
        self._cost: Cost | None = None

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ended: `stop`, or `length` at the limit."""
        return self._running.finish_reason or "stop"

    @property
    def cost(self) -> Cost:
        """What it cost. Complete once the answer has ended."""
        return self._cost or self._measure()

    async def __aiter__(self) -> AsyncIterator[Delta]:
        """The deltas, as they come.

        Raises:
            EdgewiseError: if the answer can not go on.
        """
        while True:
            await self._ready.wait()
            self._ready.clear()
            if self._has_begun:  # nobody waits longer for the first words
                self._rest()
            pieces = self._running.poll()
            is_over = self._running.is_over
            if pieces:
                self._clock(pieces)
            events = self._reader.push("".join([piece.text for piece in pieces])) if pieces else []
            if is_over:
                events = [*events, *self._reader.finish()]
            for delta in self._deltas(events, pieces):
                self._has_begun = self._has_begun or delta.event is not None
                yield delta
            if is_over:
                break
        if self._running.error is not None:
            raise self._running.error
        self._cost = self._measure()

    async def __aenter__(self) -> Reply:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.close()
        self._cost = self._cost or self._measure()
        prepared = self._prepared
        prepared.metrics.answered(prepared.lease.model.installed.name, self._cost)
        if prepared.log is not None:
            detokenize = prepared.lease.model.engine.detokenize
            prompt, answer = (detokenize(tokens, special=True) for tokens in (prepared.spoken.tokens, self.tokens))
            prepared.log.write("answer", prompt=prompt.decode(errors="replace"), text=answer.decode(errors="replace"))

    def _deltas(self, events: list[Event], pieces: list[Piece]) -> list[Delta]:
        rest = tuple(pieces)
        deltas = []
        for event in events:
            self.called_tools = self.called_tools or isinstance(event, ToolCall)
            deltas.append(Delta(event, rest))
            rest = ()
        if rest:
            deltas.append(Delta(None, rest))
        return deltas

    def _rest(self) -> None:
        """Lets tokens that come faster than anybody reads gather for a moment, so that the server costs them little."""
        now_s = self._loop.time()
        if now_s - self._woken_s < _REST_S:
            self._is_resting = True
            self._loop.call_later(_REST_S, self._rested)
        self._woken_s = now_s

    def _rested(self) -> None:
        self._is_resting = False
        self._ready.set()  # whether or not there is something: who computes did not say while this rested

    def _wake(self) -> None:
        """Called from the thread that computes."""
        if self._is_resting and not self._running.has_end:
            return
        with contextlib.suppress(RuntimeError):  # the server is gone, and with it who waits
            self._loop.call_soon_threadsafe(self._ready.set)

    def _clock(self, pieces: list[Piece]) -> None:
        now_s = time.perf_counter()
        if not self._first_s:
            self._first_s = now_s
        elif len(self._gaps_s) < _MOST_GAPS:
            gap_s = (now_s - self._last_s) / len(pieces)
            self._gaps_s += [gap_s] * len(pieces)
        self._last_s = now_s
        self.tokens += [piece.token for piece in pieces if piece.token >= 0]

    def _measure(self) -> Cost:
        timings = self._running.timings
        gaps_s = sorted(self._gaps_s)
        arrived_s = self._prepared.ask.arrived_s
        return Cost(
            total_s=time.perf_counter() - arrived_s,
            load_s=self._prepared.lease.load_s,
            queue_s=timings.queue_s,
            time_to_first_token_s=self._first_s - arrived_s if self._first_s else 0.0,
            inter_token_p50_s=timings.inter_token_p50_s or _quantile(gaps_s, 0.5),
            inter_token_p95_s=timings.inter_token_p95_s or _quantile(gaps_s, 0.95),
            prompt_tokens=self._running.prompt_tokens,
            cached_tokens=timings.cached_tokens,
            evaluated_tokens=timings.evaluated_tokens,
            generated_tokens=timings.generated_tokens,
            prefill_s=timings.prefill_s,
            decode_s=timings.decode_s,
            truncated_tokens=self._prepared.spoken.truncated_tokens,
            dropped_tokens=timings.dropped_tokens,
            drafted_tokens=timings.drafted_tokens,
            accepted_tokens=timings.accepted_tokens,
        )


_MOST_GAPS = 100_000
_REST_S = 0.005  # tokens that come faster than these share a line


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
