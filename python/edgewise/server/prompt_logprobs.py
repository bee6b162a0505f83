"""How likely a model finds a prompt itself, token by token."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgewise.engine.native import NativeEngine
from edgewise.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.engine.protocol import Engine

# Of a token: the natural logarithm of its probability, and the likeliest tokens in its place with theirs.
Logprob = tuple[float, tuple[tuple[int, float], ...]]

# Tokens of a step: other answers wait for it.
_PORTION = 32


async def prompt_logprobs(engine: Engine, tokens: Sequence[int], top: int) -> list[Logprob]:
    """Log-probabilities of every token but the first, whom nothing predicts.

    Args:
        engine: that has the model. Portions of the work take turns with the steps of answers.
        tokens: the prompt.
        top: how many of the likeliest tokens are wanted.

    Raises:
        UnsupportedError: if the engine does not tell.
    """
    if not isinstance(engine, NativeEngine):
        raise UnsupportedError(f"echo with logprobs: the {engine.name} engine does not tell those of a prompt")
    reading = _Reading(engine, tokens, top)
    found: list[Logprob] = []
    try:
        for begin in range(0, len(tokens) - 1, _PORTION):
            found += await asyncio.to_thread(reading.portion, begin)
    finally:
        await asyncio.shield(asyncio.to_thread(reading.end))
    return found


class _Reading:
    """A prompt on its way through a sequence of its own."""

    def __init__(self, engine: NativeEngine, tokens: Sequence[int], top: int) -> None:
        self._engine = engine
        self._tokens = list(tokens)
        self._top = top
        self._sequence: int | None = None
        self._is_over = False

    def portion(self, begin: int) -> list[Logprob]:
        """What is known once the tokens from `begin` on were evaluated."""
        portion = self._tokens[begin : begin + _PORTION]
        targets = self._tokens[begin + 1 : begin + 1 + _PORTION]
        with self._engine.exclusive() as session:
            if self._is_over:
                return []
            if self._sequence is None:
                self._sequence, _ = session.begin([])
            session.step([(self._sequence, portion, "all")])
            rows = [
                session.logprobs(row, target, self._top, sequence=self._sequence) for row, target in enumerate(targets)
            ]
        return [(logprob, tuple(likeliest)) for logprob, likeliest in rows]

    def end(self) -> None:
        """Gives the sequence back; its tokens are not worth remembering."""
        with self._engine.exclusive() as session:
            self._is_over = True
            if self._sequence is not None:
                session.truncate(0, sequence=self._sequence)
                session.end(self._sequence)
