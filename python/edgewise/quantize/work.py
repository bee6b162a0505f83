"""A model file becomes a smaller one: what the command line and reports ask for, in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.errors import InvalidArgument, SystemRefused, UnsupportedError
from edgewise.quantize import imatrix
from edgewise.quantize.bands import Target, Written, write
from edgewise.quantize.plan import Plan, facts_of, make_plan
from edgewise.quantize.recipe import choose

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edgewise.quantize.bands import TypedValue
    from edgewise.quantize.imatrix import ImportanceMatrix
    from edgewise.quantize.mixes import Mix
    from edgewise.quantize.recipe import ModelFacts, Wishes

_SHARD = re.compile(r"(.+)-\d{5}-of-(\d{5})\.gguf")
QUANTIZATION_VERSION = 2
"""Of the block formats; what `general.quantization_version` says."""


@dataclass(frozen=True)
class SourceModel:
    """A model to be quantized.

    Args:
        path: where it is.
        file: the opened file.
        facts: what choices depend on.
        matrix: importances, if there are.
        matrix_path: where they are from.
        importance: of the columns of each tensor that the matrix knows.
    """

    path: Path
    file: _core.ModelFile
    facts: ModelFacts
    matrix: ImportanceMatrix | None
    matrix_path: Path | None
    importance: Mapping[str, array[float]]

    @property
    def header_bytes(self) -> int:
        """About what a file takes beside its tensors: metadata and names."""
        return header_bytes(self.file)

    @property
    def unmeasured(self) -> int:
        """How many matrices of weights the importance matrix does not know; none without one."""
        if self.matrix is None:
            return 0
        return sum(
            len(tensor.shape) > 1 and tensor.name.endswith(".weight") and tensor.name not in self.importance
            for tensor in self.facts.tensors
        )


def header_bytes(file: _core.ModelFile) -> int:
    """About what a file takes beside its tensors: metadata and names."""
    return file.size_bytes - sum(size for *_, size in file.tensors())


def open_source(path: Path, matrix_path: Path | None = None) -> SourceModel:
    """Opens a model, and the importances of its weights.

    Args:
        path: of a GGUF file; of one of its parts if it is split.
        matrix_path: of an importance matrix.

    Raises:
        ModelFileError: if a file is malformed, or holds nothing that can be quantized.
        InvalidArgument: if the importance matrix is of another model.
        UnsupportedError: if the file is no model but what belongs to one.
        SystemRefused: if a file cannot be read.
    """
    file = _core.ModelFile(path)
    facts = facts_of(file)
    if not facts.tensors:
        raise InvalidArgument(f"{path} has no tensors: there is nothing to quantize")
    kind = file.metadata().get("general.type")
    if kind in ("adapter", "imatrix"):
        raise UnsupportedError(f"{path} is not a model: its general.type is {kind}", hint="only models are quantized")
    if matrix_path is None:
        return SourceModel(path, file, facts, None, None, {})
    matrix = imatrix.read(matrix_path)
    importance = {}
    for tensor in facts.tensors:
        matrices = tensor.shape[2] if len(tensor.shape) > 2 else 1
        found = matrix.importance(tensor.name, tensor.shape[0], matrices)
        if found is not None:
            importance[tensor.name] = found
    if not importance:
        raise InvalidArgument(
            f"{matrix_path} knows no tensor of {path}", hint="the importance matrix is of another model"
        )
    return SourceModel(path, file, facts, matrix, matrix_path, importance)


def plan_mix(source: SourceModel, mix: Mix, wishes: Wishes | None = None, *, may_requantize: bool = False) -> Plan:
    """The plan that a named mix makes; `make_plan` and `choose` say what can go wrong."""
    choices = choose(source.facts, mix, wishes, has_importance=source.matrix is not None)
    return make_plan(source.facts, choices, mix.file_type, may_requantize=may_requantize)


def save(
    source: SourceModel,
    plan: Plan,
    path: Path,
    *,
    replace: bool = False,
    resume: bool = False,
    threads: int = 0,
    isa: str | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Written:
    """Writes the file that a plan describes; `bands.write` says what can go wrong.

    Args:
        source: the model.
        plan: what each tensor will be.
        path: where the file will be; not where the source is.
        replace: whether a file of that name may be replaced.
        resume: whether to take up what an interrupted run left.
        threads: how many threads encode; 0 chooses.
        isa: their instruction set; the fastest if None.
        progress: as in `bands.write`.
    """
    if is_part_of(source.path, path):
        raise InvalidArgument(f"{path} is the model that is quantized; choose another name for the result")
    return write(
        plan,
        source.file,
        Target(path, _metadata(source, plan), source.file, replace, resume),
        importance=source.importance,
        threads=thread_count(threads),
        isa=isa,
        progress=progress,
    )


def require_place(path: Path, *, may_replace: bool) -> None:
    """Refuses, before the work, a path where the result could not go in the end.

    Raises:
        InvalidArgument: if there is a file already that must not be replaced.
        SystemRefused: if there is something that is no file, or no folder for it.
    """
    if path.exists() and not may_replace:
        raise InvalidArgument(f"{path} exists already", hint="choose another name, or ask to replace it: --force")
    if path.exists() and not path.is_file():
        raise SystemRefused(f"{path} is no regular file, and is not replaced", hint="choose another name")
    if not path.parent.is_dir():
        raise SystemRefused(f"{path}: there is no folder {path.parent}", hint="make it first, or choose another name")


def is_part_of(model: Path, path: Path) -> bool:
    """Whether a path is that of a model, or of one of the files that it is split into."""
    found = _SHARD.fullmatch(model.name)
    names = [f"{found[1]}-{number:05}-of-{found[2]}.gguf" for number in range(1, int(found[2]) + 1)] if found else []
    files = [model, *(model.with_name(name) for name in names)]
    return path.exists() and any(file.exists() and path.samefile(file) for file in files)


def thread_count(asked: int) -> int:
    """How many threads work: as asked, but no more than can run; 0 chooses."""
    choice = _core.choose_threads()
    return min(asked, choice.limit) if asked else choice.threads


def default_path(source: Path, name: str) -> Path:
    """Where a quantized model goes by default: beside its source, named for its formats.

    Args:
        source: `model-f16.gguf`, or a part of it.
        name: such as `q4_k_m`.
    """
    stem = re.sub(r"-\d{5}-of-\d{5}$", "", source.name.removesuffix(".gguf"))
    bare = re.sub(r"[-_.](f32|f16|fp16|fp32|bf16|i?q\d_[a-z0-9_]+)$", "", stem, flags=re.IGNORECASE)
    return source.with_name(f"{bare}-{name}.gguf")


def _metadata(source: SourceModel, plan: Plan) -> list[TypedValue]:
    found: list[TypedValue] = [
        ("general.file_type", "u32", plan.file_type),
        ("general.quantization_version", "u32", QUANTIZATION_VERSION),
    ]
    matrix = source.matrix
    if matrix is not None:
        found.append(("quantize.imatrix.file", "string", str(source.matrix_path)))
        found += [("quantize.imatrix.dataset", "string", name) for name in matrix.datasets[:1]]
        found.append(("quantize.imatrix.entries_count", "u32", len(matrix.entries)))
        if matrix.chunk_count > 0:
            found.append(("quantize.imatrix.chunks_count", "u32", matrix.chunk_count))
    return found
