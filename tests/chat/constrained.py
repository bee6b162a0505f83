"""Answers of an engine under a constraint, and texts held against one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise import GenerateOptions

if TYPE_CHECKING:
    from edgewise.chat.grammar import GrammarConstraint
    from edgewise.engine.native import NativeEngine


def answer(engine: NativeEngine, constraint: GrammarConstraint, seed: int, max_tokens: int = 256) -> tuple[str, bool]:
    """The text of an answer at random, special tokens included, and whether it came to its end."""
    everything = frozenset(range(engine.vocabulary_size))
    options = GenerateOptions(
        seed=seed, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, max_tokens=max_tokens, shown_tokens=everything
    )
    generation = engine.generate("Once", options, constraint=constraint)
    text = "".join(piece.text for piece in generation)
    return text, generation.finish_reason == "stop"


def takes(engine: NativeEngine, constraint: GrammarConstraint, text: str) -> bool:
    """Whether a constraint takes a text as the tokens that it has."""
    for token in engine.tokenize(text, add_special=False):
        if not may_follow(constraint, token):
            return False
        constraint.accept(token)
    return constraint.may_end


def may_follow(constraint: GrammarConstraint, token: int) -> bool:
    """Whether a constraint lets a token follow."""
    return bool(constraint.allowed()[token // 8] >> token % 8 & 1)
