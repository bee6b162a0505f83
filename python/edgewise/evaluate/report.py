"""What becoming smaller cost: the files made of one model, measured beside it, and which of them to take."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.engine.memory import physical_memory_bytes
from edgewise.evaluate.quality import measure, open_to_evaluate
from edgewise.evaluate.speed import cpu_name, measure_speeds, require_tokens
from edgewise.evaluate.texts import chunks_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgewise.config import EngineConfig
    from edgewise.evaluate.figures import Divergence, Estimate
    from edgewise.evaluate.quality import Quality
    from edgewise.evaluate.speed import Speed

MOST_DIVERGENCE = 0.05
"""A mean divergence, in nats, that a recommended file does not exceed.

Of Llama 3 8B on Wikitext-2 it leaves what has four bits or more and leaves out what has three: llama.cpp's
tools/perplexity/README.md has the figures.
"""


@dataclass(frozen=True)
class Candidate:
    """A file that was made of the source.

    Args:
        name: what it is called, such as the name of its mix.
        path: the file.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class Weight:
    """What a file weighs.

    Args:
        size_bytes: of the file.
        bits_per_weight: on average, over all tensors.
    """

    size_bytes: int
    bits_per_weight: float


@dataclass(frozen=True)
class Source:
    """The model that all others were made of, as it was found.

    Args:
        name: of its file.
        weight: what it weighs.
        perplexity: of the text.
        speed: on this machine.
    """

    name: str
    weight: Weight
    perplexity: Estimate
    speed: Speed


@dataclass(frozen=True)
class Result:
    """What was found of a candidate.

    Args:
        name: what it is called.
        weight: what it weighs.
        perplexity: of the text.
        divergence: from the source.
        speed: on this machine.
    """

    name: str
    weight: Weight
    perplexity: Estimate
    divergence: Divergence
    speed: Speed


@dataclass(frozen=True)
class Circumstances:
    """What was measured on what.

    Args:
        text: what the text is called.
        context: tokens of a chunk.
        chunks: how many were used.
        positions: predictions that were scored.
        cpu: of this machine.
        isa: instruction set of the kernels.
        threads: that worked.
        version: of this package.
    """

    text: str
    context: int
    chunks: int
    positions: int
    cpu: str
    isa: str
    threads: int
    version: str


@dataclass(frozen=True)
class Report:
    """All that was found.

    Args:
        source: the model that the others were made of.
        results: of the candidates, in their order.
        recommendation: which one to take, in one sentence.
        circumstances: what was measured on what.
    """

    source: Source
    results: tuple[Result, ...]
    recommendation: str
    circumstances: Circumstances


def require_text(source: Path, text: bytes, config: EngineConfig, *, context: int, is_timed: bool) -> None:
    """Checks that a text is long enough to measure with, before the work for it is done.

    Args:
        source: the model that reads it.
        text: what the models predict.
        config: how the model is opened.
        context: tokens of a chunk.
        is_timed: whether speeds are measured, too.

    Raises:
        InvalidArgument: if it is not.
    """
    with open_to_evaluate(source, config, context) as reference:
        tokens = tokens_of(reference, text)
    chunks_of(tokens, context, None)
    if is_timed:
        require_tokens(tokens)


def make_report(
    source: Path,
    candidates: Sequence[Candidate],
    text: bytes,
    text_name: str,
    config: EngineConfig,
    *,
    context: int,
    chunks: int | None = None,
    progress: Callable[[str, int, int], None] = lambda unit, done, total: None,
) -> Report:
    """Measures files beside the model that they were made of.

    Args:
        source: that model.
        candidates: at least one.
        text: what the models predict; its beginning is what speed is measured with.
        text_name: what it is called.
        config: how the models are opened.
        context: tokens of a chunk.
        chunks: how many chunks to use at most; all if None.
        progress: is told what is counted, how many are done, and how many there are.

    Raises:
        InvalidArgument: if the text is too short.
    """
    with open_to_evaluate(source, config, context) as reference:
        tokens = tokens_of(reference, text)
        isa, threads = reference.session.isa, reference.session.threads
    require_tokens(tokens)
    qualities: list[Quality] = []
    for together in _groups(source, candidates, physical_memory_bytes()[0] // 2):
        shown = _Share(progress, before=len(qualities), part=len(together), whole=len(candidates))
        with ExitStack() as stack:
            reference = stack.enter_context(open_to_evaluate(source, config, context))
            engines = [stack.enter_context(open_to_evaluate(one.path, config, context)) for one in together]
            qualities += measure(engines, reference, text, chunks=chunks, progress=shown.update)
    own, *speeds = measure_speeds(
        [source, *(one.path for one in candidates)],
        tokens,
        config,
        progress=lambda done, total: progress("runs", done, total),
    )
    divergences = [quality.divergence for quality in qualities if quality.divergence is not None]
    results = [
        Result(one.name, _weight(one.path), quality.perplexity, divergence, speed)
        for one, quality, divergence, speed in zip(candidates, qualities, divergences, speeds, strict=True)
    ]
    found = Source(source.name, _weight(source), results[0].divergence.reference_perplexity, own)
    first = qualities[0]
    where = Circumstances(
        text_name, first.context, first.chunks, first.positions, cpu_name(), isa, threads, _core.VERSION
    )
    return Report(found, tuple(results), recommendation(found, results), where)


def recommendation(source: Source, results: Sequence[Result]) -> str:
    """The smallest file that is near enough to the source, in one sentence."""
    near = [result for result in results if result.divergence.mean.value <= MOST_DIVERGENCE]
    if not near:
        nearest = min(results, key=lambda result: result.divergence.mean.value)
        return (
            f"None of these files stays within {MOST_DIVERGENCE} nats of the source; the nearest is {nearest.name}, "
            f"whose mean KL divergence is {nearest.divergence.mean.value:.3g} nats."
        )
    best = min(near, key=lambda result: result.weight.size_bytes)
    why = f"of the files whose mean KL divergence from the source is at most {MOST_DIVERGENCE} nats it is the smallest"
    if len(results) == 1:
        why = f"its mean KL divergence from the source is at most {MOST_DIVERGENCE} nats"
    share = best.weight.size_bytes / source.weight.size_bytes
    return (
        f"Take {best.name}: {why}, with {share:.0%} of the source's size, a divergence of "
        f"{best.divergence.mean.value:.3g} nats and {best.speed.decode.median / source.speed.decode.median:.2g} times "
        "its decode speed."
    )


@dataclass(frozen=True)
class _Share:
    """The progress of some candidates as that of all."""

    progress: Callable[[str, int, int], None]
    before: int
    part: int
    whole: int

    def update(self, done: int, total: int, _: float) -> None:
        self.progress("chunks", self.before * total + self.part * done, self.whole * total)


def _groups(source: Path, candidates: Sequence[Candidate], budget_bytes: int) -> list[list[Candidate]]:
    """Candidates that fit into memory together beside the source, so that it runs once for all of them."""
    groups: list[list[Candidate]] = []
    room = 0
    for one in candidates:
        size = _core.ModelFile(one.path).size_bytes
        if not groups or size > room:
            groups.append([])
            room = budget_bytes - _core.ModelFile(source).size_bytes
        groups[-1].append(one)
        room -= size
    return groups


def _weight(path: Path) -> Weight:
    file = _core.ModelFile(path)
    tensors = file.tensors()
    values = sum(prod(shape) for _, _, shape, _ in tensors)
    return Weight(file.size_bytes, 8 * sum(size for *_, size in tensors) / values)
