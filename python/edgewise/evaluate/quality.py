"""Runs models over a text, chunk by chunk and side by side, and says how well they predict it.

Of each chunk the second half is scored, so that every token that is predicted has some text before it.
"""

from __future__ import annotations

import time
from array import array
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from edgewise.engine.native import NativeEngine
from edgewise.errors import InvalidArgument, UnsupportedError
from edgewise.evaluate import figures
from edgewise.evaluate.texts import chunks_of, inputs_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgewise import _core
    from edgewise.config import EngineConfig
    from edgewise.evaluate.figures import Divergence, Estimate

# Logits of one model that are held at a time. More would make nothing faster.
_BAND_BYTES = 64 << 20


@dataclass(frozen=True)
class Quality:
    """What a run over a text found.

    Args:
        context: tokens of a chunk.
        chunks: how many there were.
        positions: predictions that were scored.
        perplexity: of the model.
        divergence: from the reference; None without one.
        tokens_per_second: that the model evaluated, the reference apart.
    """

    context: int
    chunks: int
    positions: int
    perplexity: Estimate
    divergence: Divergence | None
    tokens_per_second: float


def open_to_evaluate(path: Path, config: EngineConfig, context: int) -> NativeEngine:
    """Opens a model in the core, for chunks of so many tokens.

    Raises:
        UnsupportedError: if the core does not run it; the llama.cpp backend shows no logits of whole chunks.
    """
    try:
        engine = NativeEngine(
            path, replace(config, context_length=context, draft="off", prompt_cache_bytes=0, sequences=1)
        )
    except UnsupportedError as error:
        raise UnsupportedError(error.message, hint="what the core does not run cannot be measured") from error
    if engine.is_encoder:
        engine.close()
        raise UnsupportedError(f"{path} makes embeddings only: it predicts no text that could be measured")
    return engine


def measure(
    engines: Sequence[NativeEngine],
    reference: NativeEngine | None,
    text: bytes,
    *,
    chunks: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Quality]:
    """Measures models on the same text.

    Args:
        engines: the models, opened by `open_to_evaluate` with the same context.
        reference: what they are compared with, opened likewise.
        text: what they predict.
        chunks: how many chunks of it to use at most; all if None.
        progress: is told after each chunk how many are done, how many there are, and the perplexity of the first model.
        clock: gives the seconds that speeds are computed from.

    Returns:
        What was found of each model.

    Raises:
        InvalidArgument: if the text is too short, or reference and model do not cut it into the same tokens.
        ModelFileError: if a model computes what is not finite.
    """
    context = engines[0].context_length
    tokens = tokens_of(engines[0], text)
    for other in [*engines[1:], *([reference] if reference else [])]:
        if other.vocabulary_size != engines[0].vocabulary_size or tokens_of(other, text) != tokens:
            raise InvalidArgument(
                f"{engines[0].path} and {other.path} cut the text differently: their predictions cannot be compared"
            )
    pieces = chunks_of(tokens, context, chunks)
    band = max(1, _BAND_BYTES // (4 * engines[0].vocabulary_size))
    with ExitStack() as stack:
        runs = [_Run(stack.enter_context(engine.exclusive()), clock) for engine in engines]
        held = None if reference is None else _Run(stack.enter_context(reference.exclusive()), clock)
        for done, piece in enumerate(pieces, 1):
            inputs = inputs_of(engines[0], piece)
            first = context // 2
            for run in [*runs, *([held] if held else [])]:
                run.begin(inputs[:first])
            for start in range(first, context - 1, band):
                end = min(start + band, context - 1)
                for run in [*([held] if held else []), *runs]:
                    run.advance(inputs[start:end])
                for run in runs:
                    run.score(held, piece[start + 1 : end + 1])
            if progress is not None:
                progress(done, len(pieces), figures.perplexity(runs[0].surprises).value)
    return [run.quality(context, len(pieces), has_reference=reference is not None) for run in runs]


@dataclass
class _Run:
    """One model on its way through the text."""

    session: _core.Session
    clock: Callable[[], float]
    seconds: float = 0.0
    tokens: int = 0
    surprises: array[float] = field(default_factory=lambda: array("d"))
    reference_surprises: array[float] = field(default_factory=lambda: array("d"))
    divergences: array[float] = field(default_factory=lambda: array("d"))
    same_tops: list[bool] = field(default_factory=list)

    def begin(self, tokens: Sequence[int]) -> None:
        """Reads the first half of a chunk."""
        self.session.truncate(0)
        self._step(tokens, "none")

    def advance(self, tokens: Sequence[int]) -> None:
        """Reads more, and holds the logits."""
        self._step(tokens, "all")

    def score(self, reference: _Run | None, targets: Sequence[int]) -> None:
        """Takes down what the logits say of the tokens that followed."""
        if reference is None:
            self.surprises.extend(self.session.surprises(targets))
            return
        for surprise, reference_surprise, divergence, is_same in self.session.compare(reference.session, targets):
            self.surprises.append(surprise)
            self.reference_surprises.append(reference_surprise)
            self.divergences.append(divergence)
            self.same_tops.append(is_same)

    def quality(self, context: int, chunks: int, *, has_reference: bool) -> Quality:
        """What all positions say together."""
        return Quality(
            context,
            chunks,
            len(self.surprises),
            figures.perplexity(self.surprises),
            figures.divergence(self.surprises, self.reference_surprises, self.divergences, self.same_tops)
            if has_reference
            else None,
            self.tokens / self.seconds if self.seconds > 0 else 0.0,
        )

    def _step(self, tokens: Sequence[int], wanted: Literal["none", "all"]) -> None:
        started = self.clock()
        self.session.step([(0, tokens, wanted)])
        self.seconds += self.clock() - started
        self.tokens += len(tokens)
