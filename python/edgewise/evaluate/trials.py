"""Quantized models that are written only to be measured."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from edgewise.errors import InternalError, SystemRefused
from edgewise.evaluate.quality import measure, open_to_evaluate
from edgewise.quantize.work import save

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from edgewise.config import EngineConfig
    from edgewise.quantize.plan import Plan
    from edgewise.quantize.work import SourceModel


class Trials:
    """Measures plans against their source, on a text.

    Args:
        source: the model.
        text: what is predicted.
        config: how models are opened.
        context: tokens of a chunk.
        chunks: how many chunks of the text to use at most; all if None.
        beside: trials are written in a folder beside this path, which is removed in the end.
    """

    def __init__(
        self, source: SourceModel, text: bytes, config: EngineConfig, context: int, chunks: int | None, beside: Path
    ) -> None:
        self._source, self._text, self._config, self._context, self._chunks = source, text, config, context, chunks
        self._reference = open_to_evaluate(source.path, config, context)
        try:
            self._folder = Path(mkdtemp(prefix=f"{beside.name}.trial-", dir=beside.parent))
        except OSError as error:
            raise SystemRefused(f"{beside.parent}: {error.strerror or error}") from error
        self._path = self._folder / "model.gguf"

    def divergence(
        self, plan: Plan, progress: Callable[[int, int, float], None] = lambda done, total, perplexity: None
    ) -> float:
        """The mean divergence of a plan's model from the source, in nats.

        Args:
            plan: what to write.
            progress: is told after each chunk how many are done, how many there are, and the perplexity so far.
        """
        try:
            isa = None if self._config.isa == "auto" else self._config.isa
            save(self._source, plan, self._path, replace=True, threads=self._config.threads, isa=isa)
            with open_to_evaluate(self._path, self._config, self._context) as engine:
                (quality,) = measure([engine], self._reference, self._text, chunks=self._chunks, progress=progress)
        finally:
            self._path.unlink(missing_ok=True)
        if quality.divergence is None:
            raise InternalError("a measurement beside a reference gave no divergence")
        return quality.divergence.mean.value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reference.close()
        rmtree(self._folder, ignore_errors=True)
