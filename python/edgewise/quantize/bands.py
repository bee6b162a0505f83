"""The way from a plan to a file: a band of rows at a time, so that memory does not grow with the model.

A band is read, encoded on all threads, appended, and its pages given back. What is unfinished stays beside the place of
the file and can be taken up again, if it is still the same work.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

from edgewise import _core
from edgewise.errors import EdgewiseError, InternalError, SystemRefused
from edgewise.quantize.mixes import FLOATS

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from edgewise.quantize.plan import Plan, PlannedTensor

    TypedValue = tuple[str, str, object]
    """A metadata value with its key and type, as `_core.GgufWriter` takes them."""

_BAND_VALUES = 1 << 23
_SAMPLE_BYTES = 4096


class Source(Protocol):
    """Where the tensors come from: a model file, or what offers the same."""

    def read(self, name: str, first_row: int, rows: int, /) -> bytes | _core.Rows:
        """Some rows of a tensor."""

    def release(self, name: str, first_row: int, rows: int, /) -> None:
        """Says that some rows are not needed again soon."""


@dataclass(frozen=True)
class Target:
    """The file to be.

    Args:
        path: where it will be.
        metadata: what it says of itself.
        copy: a file whose metadata comes first.
        replace: whether a file of that name may be replaced.
        resume: whether to take up what an interrupted run left.
        is_shard: whether it is one of several files, which can be opened together only.
    """

    path: Path
    metadata: Sequence[TypedValue] = ()
    copy: _core.ModelFile | None = None
    replace: bool = False
    resume: bool = False
    is_shard: bool = False


@dataclass(frozen=True)
class Loss:
    """What the weights of a tensor lost, weighted by importance if it was given.

    Args:
        squared_error: sum of the squares of the differences.
        squared: sum of the squares of the weights.
    """

    squared_error: float = 0.0
    squared: float = 0.0

    @property
    def relative(self) -> float:
        """The error as a share of the weights, both as root mean squares."""
        return float((self.squared_error / self.squared) ** 0.5) if self.squared else 0.0


@dataclass(frozen=True)
class Written:
    """A file that was written.

    Args:
        size_bytes: of the file.
        compute_s: seconds for reading and encoding.
        write_s: seconds for handing the bytes to the system.
        sync_s: seconds until they were on the disk.
        losses: of tensors that were encoded, by name; those that an earlier run began are not among them.
    """

    size_bytes: int
    compute_s: float
    write_s: float
    sync_s: float
    losses: dict[str, Loss] = field(default_factory=dict)


def write(
    plan: Plan,
    source: Source,
    target: Target,
    *,
    importance: Mapping[str, array[float]] | None = None,
    threads: int,
    isa: str | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Written:
    """Writes a file, and proves its layout unless it is a shard.

    Args:
        plan: the tensors to write.
        source: where their rows come from.
        target: the file to be.
        importance: of each column of some tensors, matrix after matrix.
        threads: how many threads encode.
        isa: their instruction set; the fastest if None.
        progress: is told after each band how many weights are done, how many there are, and the tensor's name; before
            the first one, what an earlier run did, and no name.
        clock: gives seconds.

    Raises:
        InvalidArgument: if there is a file already; if a weight is not finite or too large for its format, which names
            tensor, row and column; if what an interrupted run left is of other work. Nothing new is left behind.
        SystemRefused: if the disk is full or refuses otherwise. Nothing is left behind.
        KeyboardInterrupt: what is unfinished stays beside the place of the file, to be resumed.
    """
    importance = importance or {}
    made_from = _digest(plan, source, importance)
    _require_space(plan, target)
    writer = _core.GgufWriter(
        target.path,
        target.metadata,
        [(tensor.source.name, tensor.format, tensor.source.shape) for tensor in plan.tensors],
        copy=target.copy,
        replace=target.replace,
        resume=target.resume,
        made_from=made_from,
    )
    run = _Run(writer, source, importance, threads, isa, progress, clock, total=_values(plan.tensors))
    try:
        run.write_all(plan)
        sync_s = writer.finish()
    except EdgewiseError:
        writer.discard()
        raise
    if not target.is_shard:
        prove(plan, target.path)
    return Written(target.path.stat().st_size, run.compute_s, run.write_s, sync_s, run.losses)


def prove(plan: Plan, path: Path) -> None:
    """Opens a file, with all its shards if it is one, and compares it with what was planned.

    Raises:
        InternalError: if it holds anything else.
    """
    expected = [
        (tensor.source.name, tensor.format, list(tensor.source.shape), tensor.size_bytes) for tensor in plan.tensors
    ]
    if _core.ModelFile(path).tensors() != expected:
        raise InternalError(f"{path} does not hold the tensors that were written")


class _Run:
    """One run over all tensors."""

    def __init__(
        self,
        writer: _core.GgufWriter,
        source: Source,
        importance: Mapping[str, array[float]],
        threads: int,
        isa: str | None,
        progress: Callable[[int, int, str], None],
        clock: Callable[[], float],
        *,
        total: int,
    ) -> None:
        self._writer, self._source, self._importance = writer, source, importance
        self._threads, self._isa, self._progress, self._clock = threads, isa, progress, clock
        self._done, self._total = 0, total
        self.compute_s = self.write_s = 0.0
        self.losses: dict[str, Loss] = {}

    def write_all(self, plan: Plan) -> None:
        first, size_bytes = self._writer.position
        self._done = _values(plan.tensors[:first])
        begun = 0
        if size_bytes:
            tensor = plan.tensors[first]
            begun = size_bytes // (tensor.size_bytes // tensor.rows)
            self._done += begun * tensor.columns
        self._progress(self._done, self._total, "")
        for tensor in plan.tensors[first:]:
            self._write(tensor, begun)
            begun = 0

    def _write(self, tensor: PlannedTensor, begun: int) -> None:
        squared_error = squared = 0.0
        for row, rows in _bands(tensor, begun):
            started = self._clock()
            data = self._source.read(tensor.source.name, row, rows)
            if not tensor.is_copied:
                data, (error, weights) = self._encode(tensor, data, row)
                squared_error += error
                squared += weights
            encoded = self._clock()
            self._writer.write(data)
            self.compute_s += encoded - started
            self.write_s += self._clock() - encoded
            self._source.release(tensor.source.name, row, rows)
            self._done += rows * tensor.columns
            self._progress(self._done, self._total, tensor.source.name)
        if not tensor.is_copied and not begun:
            self.losses[tensor.source.name] = Loss(squared_error, squared)

    def _encode(self, tensor: PlannedTensor, data: bytes | _core.Rows, row: int) -> tuple[bytes, tuple[float, float]]:
        weights = self._importance.get(tensor.source.name)
        if weights is not None:
            start = row // tensor.rows_per_matrix * tensor.columns
            weights = weights[start : start + tensor.columns]
        try:
            return _core.encode(
                data,
                tensor.source.format,
                tensor.format,
                tensor.columns,
                importance=None if weights is None or tensor.format in FLOATS else weights.tobytes(),
                threads=self._threads,
                isa=self._isa,
                first_row=row,
            )
        except EdgewiseError as error:
            raise type(error)(f'tensor "{tensor.source.name}": {error.message}', error.hint) from error


def _bands(tensor: PlannedTensor, begun: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each band; none reaches over two matrices."""
    most = max(1, _BAND_VALUES // tensor.columns)
    while begun < tensor.rows:
        rows = min(most, tensor.rows_per_matrix - begun % tensor.rows_per_matrix)
        yield begun, rows
        begun += rows


def _digest(plan: Plan, source: Source, importance: Mapping[str, array[float]]) -> bytes:
    """Of all that decides what the tensors will hold; of their weights, the first and last rows."""
    digest = blake2b(_core.VERSION.encode(), digest_size=16)
    for tensor in plan.tensors:
        name = tensor.source.name
        digest.update(repr((name, tensor.source.format, tensor.source.shape, tensor.format)).encode())
        digest.update(importance[name].tobytes() if name in importance else b"")
        for row in (0, tensor.rows - 1):
            digest.update(bytes(source.read(name, row, 1))[:_SAMPLE_BYTES])
        source.release(name, 0, tensor.rows)  # the system may have mapped megabytes around each row
    return digest.digest()


def _require_space(plan: Plan, target: Target) -> None:
    folder = target.path.parent
    part = target.path.with_name(target.path.name + ".part")
    if not folder.is_dir():
        return  # the writer says so
    there = part.stat().st_size if part.is_file() else 0  # taken up, or written over
    free = shutil.disk_usage(folder).free + there
    if free < plan.size_bytes:
        raise SystemRefused(
            f"{target.path} needs {plan.size_bytes} bytes, its disk has {free} left",
            hint="free some space, name a path on another disk, or choose a smaller format",
        )


def _values(tensors: Sequence[PlannedTensor]) -> int:
    return sum(tensor.values for tensor in tensors)
