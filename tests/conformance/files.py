"""The files of a case: its model and its adapters."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from conformance.cases import Case
from random_model.adapter import write_adapter
from random_model.writer import write_model


@dataclass(frozen=True)
class Files:
    """What a case is run from.

    Attributes:
        model: the model.
        adapters: adapters and their scales.
    """

    model: Path
    adapters: list[tuple[Path, float]]

    @property
    def sha256(self) -> str:
        """Of all files, one after the other."""
        hashed = hashlib.sha256()
        for path in [self.model, *(path for path, _ in self.adapters)]:
            hashed.update(path.read_bytes())
        return hashed.hexdigest()


def write_files(folder: Path, case: Case, seed: int, *, as_f32: bool = False) -> Files:
    """Write the files of a case.

    Args:
        folder: where to.
        case: whose files.
        seed: of the random numbers.
        as_f32: store all weights as f32, with the values that they have in the formats of the case.
    """
    stem = f"{case.name}-exact" if as_f32 else case.name
    model = folder / f"{stem}.gguf"
    write_model(model, case.shape, case.recipe, seed, as_f32=as_f32)
    adapters = []
    for number, (adapter, scale) in enumerate(case.adapters, 1):
        path = folder / f"{stem}-{number}.gguf"
        write_adapter(path, case.shape, adapter, 1000 * number + seed, as_f32=as_f32)
        adapters.append((path, scale))
    return Files(model, adapters)
