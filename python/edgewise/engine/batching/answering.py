"""An answer that shares the steps of a batch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgewise.engine.batching.job import Job, held_to
from edgewise.engine.batching.stream import End, Outlet
from edgewise.engine.decoding import Decoding
from edgewise.engine.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewise import _core
    from edgewise.engine.batching.job import Choice, Sampled, Work
    from edgewise.engine.native import NativeEngine
    from edgewise.engine.protocol import Constraint, GenerateOptions, Piece, Timings


class AnswerJob(Job):
    """Evaluates a prompt and then one token after the other.

    Args:
        engine: whose session is used.
        prompt: token ids, checked.
        options: how the answer is made.
        constraint: what it may say.
        deadline_s: see `Job`.
        on_ready: see `Outlet`.
        stop: called with this job when the reader has had enough.
    """

    def __init__(
        self,
        engine: NativeEngine,
        prompt: list[int],
        options: GenerateOptions,
        constraint: Constraint | None,
        deadline_s: float | None,
        on_ready: Callable[[], None] | None,
        stop: Callable[[Job], None],
    ) -> None:
        super().__init__(deadline_s)
        self.outlet = Outlet(on_ready)
        self._stop = stop
        self._progress = Progress(engine, prompt, options, constraint)
        self._decoding: Decoding | None = None
        self._guessed = (0, 0)
        self._sequence = -1
        self._held = 0  # tokens of the window that the sequence holds
        self._is_started = False  # whether a token was sampled
        self._is_kept = False
        self._pieces: list[Piece] = []
        self._end: End | None = None

    @property
    def prompt_tokens(self) -> int:
        """Tokens in the prompt."""
        return self._progress.prompt_tokens

    @property
    def timings(self) -> Timings:
        """What it cost so far."""
        return self._progress.timings(*self._guessed)

    def cancel(self) -> None:
        """Ends the work within a step."""
        self._stop(self)

    def begin(self, engine: NativeEngine) -> None:
        """Takes up what memory or disk have of the prompt; again with what was said since."""
        progress = self._progress
        if self._decoding is None:
            self._decoding = Decoding(engine, progress, can_guess=progress.constraint is None)
        self._sequence, self._held = engine.begin_sequence(progress.window, progress.namespace)
        if progress.prefill_s == 0.0:  # or the room was lacking before any work was done
            self.begun_s = time.perf_counter()
            progress.queue_s = self.begun_s - progress.started_s
            progress.cached = self._held

    def leave(self, engine: NativeEngine) -> None:
        """Gives the sequence back; a prompt that was worth it is on disk then."""
        if self._sequence >= 0:
            try:
                self._keep_prompt(engine)
            finally:
                engine.session.end(self._sequence)
                self._sequence, self._held = -1, 0

    def _keep_prompt(self, engine: NativeEngine) -> None:
        progress = self._progress
        if self._is_started and not self._is_kept and self._held >= progress.prompt_tokens and not progress.dropped:
            self._is_kept = True
            engine.keep(progress.tokens[: progress.prompt_tokens], progress.namespace, sequence=self._sequence)

    @property
    def beginning(self) -> tuple[str, list[int], int]:
        """Namespace, window, and how much of it the sequence holds."""
        return self._progress.namespace, self._progress.window, self._held

    @property
    def pending(self) -> int:
        """Tokens of the window that the sequence lacks."""
        return len(self._progress.window) - self._held

    @property
    def is_decoding(self) -> bool:
        """Whether only the token that was sampled last is to be evaluated."""
        return self._is_started and self.pending == 1

    @property
    def can_advance(self) -> bool:
        """Whether the next step may be `advance`."""
        return self.is_decoding and not self._progress.is_full

    def prepare(self, engine: NativeEngine) -> None:
        """Makes room in a full context."""
        if self._progress.is_full:
            self.leave(engine)
            self._progress.drop_older_half()
            self.begin(engine)

    def work(self, most: int) -> list[Work]:
        """The next token, or a part of the prompt."""
        pending = self.pending
        count = pending if self.is_decoding else min(pending, most)
        if count <= 0:
            return []
        tokens = self._progress.window[self._held : self._held + count]
        return [(self._sequence, tokens, "last" if count == pending else "none")]

    def took(self, session: _core.Session, work: list[Work], step_s: float) -> None:
        """Counts; ends an answer that is to say nothing."""
        progress = self._progress
        self._held += len(work[0][1])
        if not self._is_started:
            progress.prefill_s += step_s
        if self.pending == 0:
            if not self._is_started:
                progress.evaluated = progress.prompt_tokens - progress.cached
            if progress.limit == 0:
                self._say(progress.end("length"))
            elif progress.is_complete:
                self._say(progress.end("stop"))

    def choice(self) -> Choice | None:
        """Sampler and mask, where the last token of the window was evaluated."""
        progress = self._progress
        if self.is_over or self.pending > 0:
            return None
        return self._sequence, progress.sampler, progress.top_logprobs, progress.allowed()

    def chose(self, sampled: Sampled, step_s: float) -> None:
        """Says the token."""
        self._progress.sampled(time.perf_counter(), step_s)
        self._is_started = True
        if self._decoding is not None:
            self._decoding.read(sampled[0])
        self._say(self._progress.show(*sampled))

    def advance(self, session: _core.Session) -> None:
        """A step alone, with guesses where they pay.

        Raises:
            InvalidArgument: if the constraint allows nothing.
        """
        if self._decoding is None:
            return
        progress = self._progress
        started_s = time.perf_counter()
        tokens = progress.window[self._held :]
        if progress.constraint is None:
            found = self._decoding.advance(session, tokens, is_first=False, sequence=self._sequence)
            self._guessed = self._decoding.guessed
        else:
            session.step([(self._sequence, tokens, "last")])
            choice = self._sequence, progress.sampler, progress.top_logprobs, progress.allowed()
            found = [held_to(sampled) for sampled in session.sample_each([choice])]
        now_s = time.perf_counter()
        progress.sampled(now_s, now_s - started_s)
        for sampled in found:
            self._say(progress.show(*sampled))
            if self.is_over:
                break
        self._held = len(progress.window) - 1

    def _say(self, piece: Piece | None) -> None:
        if piece is not None:
            self._pieces.append(piece)
        if self._progress.is_over:
            self.is_over = True
            self._end = End(self._progress.finish_reason)

    def flush(self) -> None:
        """Hands over what is new."""
        if self._pieces or self._end is not None:
            pieces, self._pieces = self._pieces, []
            if not self.outlet.put(pieces, self._end):
                self.is_cancelled = True

    def fail(self, error: BaseException) -> None:
        """Ends with an error behind what was said."""
        self.is_over = True
        self._end = End(error=error)
