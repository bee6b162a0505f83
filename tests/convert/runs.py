"""Edgewise on a converted file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgewise import _core


class Run:
    """One session, as exact as the core computes."""

    def __init__(self, path: Path, adapter: Path | None = None) -> None:
        adapters = [] if adapter is None else [(adapter, 1.0)]
        self._model = _core.Model(_core.ModelFile(path), adapters=adapters)
        self._session = _core.Session(
            self._model,
            context_length=256,
            batch=512,
            key_format="f32",
            value_format="f32",
            isa="auto",
            threads=1,
        )

    def evaluate(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """The logits behind each of some tokens: (tokens, vocabulary)."""
        self._session.evaluate(tokens, all_logits=True)
        return np.frombuffer(self._session.logits(), np.float32).reshape(-1, self._model.vocabulary_size)

    def greedy(self, tokens: Sequence[int], count: int) -> list[int]:
        """The best token after some, and after that, and so on."""
        found: list[int] = []
        logits = self.evaluate(tokens)[-1]
        while len(found) < count:
            found.append(int(logits.argmax()))
            logits = self.evaluate(found[-1:])[-1]
        return found


def metadata_of(path: Path) -> dict[str, object]:
    """All metadata of a file, arrays included."""
    file = _core.ModelFile(path)
    return {**file.metadata(), **{key: file.array(key) for key, _, _ in file.arrays()}}


def values_of(path: Path, name: str) -> npt.NDArray[np.float32]:
    """The values of a tensor, rows first."""
    file = _core.ModelFile(path)
    form, shape = next((form, shape) for found, form, shape, _ in file.tensors() if found == name)
    rows = int(np.prod(shape[1:])) if shape[1:] else 1
    data = bytes(file.read(name, 0, rows))
    return np.frombuffer(_core.dequantize(form, data), "<f4").reshape(shape[::-1])
