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
        self.speculation = engine.speculation(progress.tokens) if can_guess else None
        self._drafter = None if self.speculation is None else engine.drafter()

    def advance(self, session: _core.Session, tokens: list[int], *, is_first: bool, sequence: int = 0) -> list[Sampled]:
        """Appends tokens to the sequence and samples one token, or more where guesses were right.

        Args:
            session: the core's.
            tokens: what the sequence lacks of the window.
            is_first: whether nothing was sampled yet.
            sequence: its number.
        """
        progress, speculation = self._progress, self.speculation
        sampler, top_logprobs = progress.sampler, progress.top_logprobs
        if speculation is None or is_first or len(tokens) > 1:
            return session.advance(tokens, sampler, top_logprobs, speculation, 0, None, sequence)
        most, guesses = progress.most_guesses, None
        if self._drafter is not None:
            count = speculation.ask(most)
            guesses = self._drafter.propose(progress.tokens, count) if count else []
        return session.advance(tokens, sampler, top_logprobs, speculation, most, guesses, sequence)
