"""Guesses that the core does not find in the text by itself: those of a small model, for a large one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from edgewise.engine.models import resolve
from edgewise.engine.protocol import GenerateOptions
from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.config import EngineConfig
    from edgewise.engine.native import NativeEngine

GREEDY = GenerateOptions(temperature=0.0)


class Drafter(Protocol):
    """Guesses how a text goes on."""

    def propose(self, tokens: Sequence[int], count: int) -> list[int]:
        """Up to `count` tokens behind `tokens`, which continue those of the call before: one answer, one drafter."""


def open_draft_model(name: str, target: NativeEngine, config: EngineConfig) -> NativeEngine:
    """Opens the model that guesses for `target`.

    Args:
        name: a GGUF file.
        target: the model whose text is guessed.
        config: how `target` was opened.

    Raises:
        InvalidArgument: if the models do not share a vocabulary.
    """
    from edgewise.engine.native import NativeEngine

    config = replace(config, draft="off", prompt_cache_bytes=0, context_length=target.context_length)
    engine = NativeEngine(resolve(name), config)
    tokens = range(engine.vocabulary_size)
    if engine.vocabulary_size != target.vocabulary_size or engine.detokenize(tokens, special=True) != target.detokenize(
        tokens, special=True
    ):
        raise InvalidArgument(
            f"draft model {engine.path}: its vocabulary is not that of {target.path}",
            hint="take a smaller model of the same family",
        )
    return engine


class DraftModel:
    """Guesses what a small model finds likeliest.

    Args:
        engine: the small model; the drafters of several answers may share it.
    """

    def __init__(self, engine: NativeEngine) -> None:
        self._engine = engine

    def propose(self, tokens: Sequence[int], count: int) -> list[int]:
        """The small model's greedy continuation."""
        sampler = GREEDY.sampler()
        guesses: list[int] = []
        with self._engine.exclusive() as session:
            held = session.tokens
            alike = 0
            for mine, theirs in zip(held, tokens, strict=False):
                if mine != theirs:
                    break
                alike += 1
            # Its room may be less than the large model's, if that was trained for more.
            count = min(count, session.context_length - len(tokens))
            if count <= 0:
                return []
            session.truncate(min(alike, len(tokens) - 1))
            session.evaluate(list(tokens[len(session) :]))
            for _ in range(count - 1):
                guesses.append(session.sample(sampler)[0])
                session.evaluate(guesses[-1:])
            guesses.append(session.sample(sampler)[0])
        return guesses
