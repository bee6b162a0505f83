"""The next tokens of one answer, with guesses where they pay."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgewise import _core
    from edgewise.engine.native import NativeEngine
    from edgewise.engine.progress import Progress, Sampled


class Decoding:
    """Evaluates the last token of an answer and samples what follows, in a sequence that it has to itself.

    Args:
        engine: whose session is used.
        progress: how far the answer has come.
        can_guess: False where something besides the model decides what follows.
    """

    def __init__(self, engine: NativeEngine, progress: Progress, *, can_guess: bool = True) -> None:
        self._progress = progress
        self._speculation = engine.speculation(progress.tokens) if can_guess else None
        self._drafter = None if self._speculation is None else engine.drafter()

    @property
    def guessed(self) -> tuple[int, int]:
        """How many tokens were guessed, and how many of them right; waits for `advance` in another thread."""
        return (self._speculation.drafted, self._speculation.accepted) if self._speculation else (0, 0)

    def read(self, token: int) -> None:
        """Takes a token of the answer that came without `advance`."""
        if self._speculation is not None:
            self._speculation.read([token])

    def advance(self, session: _core.Session, tokens: list[int], *, is_first: bool, sequence: int = 0) -> list[Sampled]:
        """Appends tokens to the sequence and samples one token, or more where guesses were right.

        Args:
            session: the core's.
            tokens: what the sequence lacks of the window.
            is_first: whether nothing was sampled yet.
            sequence: its number.
        """
        progress, speculation = self._progress, self._speculation
        sampler, top_logprobs = progress.sampler, progress.top_logprobs
        if speculation is None or is_first or len(tokens) > 1:
            return session.advance(tokens, sampler, top_logprobs, speculation, 0, None, sequence)
        most, guesses = progress.most_guesses, None
        if self._drafter is not None:
            count = speculation.ask(most)
            guesses = self._drafter.propose(progress.tokens, count) if count else []
        return session.advance(tokens, sampler, top_logprobs, speculation, most, guesses, sequence)
