"""Text for a gap: prompts from what stands before it and behind it, for models that were trained on such."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.errors import UnsupportedError

if TYPE_CHECKING:
    from edgewise.engine.protocol import Engine


def gap_tokens(engine: Engine) -> tuple[int, int, int] | None:
    """The tokens before the text ahead of a gap, before the text behind it, and before what fills it.

    None if the model has none, or the engine does not tell its vocabulary.
    """
    tokenizer = getattr(engine, "tokenizer", None)
    found: tuple[int, int, int] | None = getattr(tokenizer, "infill", None)
    return found


def infill_prompt(engine: Engine, prefix: str, suffix: str) -> list[int]:
    """The prompt whose answer fills the gap between two texts; special tokens in the texts are letters.

    Raises:
        UnsupportedError: if the model has no tokens for gaps.
    """
    tokens = gap_tokens(engine)
    if tokens is None:
        raise UnsupportedError(
            "this model does not fill gaps: its vocabulary has no tokens for them", hint="leave suffix away"
        )
    before, behind, middle = tokens
    prefix_tokens, suffix_tokens = (engine.tokenize(text, add_special=False) for text in (prefix, suffix))
    begin = engine.tokenize("", add_special=True)
    return [*begin[:1], before, *prefix_tokens, behind, *suffix_tokens, middle]
