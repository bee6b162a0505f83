"""Answers under a constraint, sampled by way of the engine's `adjust`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewise import GenerateOptions

if TYPE_CHECKING:
    from edgewise.chat.grammar import GrammarConstraint
    from edgewise.engine.native import NativeEngine


def answer(
    engine: NativeEngine, constraint: GrammarConstraint, seed: int, max_tokens: int = 256, prompt: str = "Once"
) -> tuple[str, bool]:
    """The text of an answer, special tokens included, and whether it came to its end."""
    tokens: list[int] = []
    length = len(engine.tokenize(prompt, parse_special=True))

    def adjust(so_far: list[int], logits: bytes) -> bytes:
        if len(so_far) > length:
            constraint.accept(so_far[-1])
            tokens.append(so_far[-1])
        values = np.frombuffer(logits, dtype=np.float32).copy()
        mask = np.unpackbits(np.frombuffer(constraint.allowed(), dtype=np.uint8), bitorder="little")
        values[mask[: len(values)] == 0] = -np.inf
        return values.tobytes()

    options = GenerateOptions(seed=seed, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, max_tokens=max_tokens)
    reason = None
    generation = engine.generate(prompt, options, adjust=adjust)
    for piece in generation:
        last = piece.token
    reason = generation.finish_reason
    text = engine.tokenizer.pieces([*tokens, *([last] if reason == "length" else [])], special=True)
    return text.decode(errors="replace"), reason == "stop"


def takes(engine: NativeEngine, constraint: GrammarConstraint, text: str) -> bool:
    """Whether a constraint takes a text, which is given to it in tokens of one byte each where there are such."""
    for token in engine.tokenize(text, add_special=False):
        mask = constraint.allowed()
        if not mask[token // 8] >> token % 8 & 1:
            return False
        constraint.accept(token)
    return constraint.may_end
