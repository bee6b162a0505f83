"""Edgewise on a case: the model file, its session, the logits at the stored positions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from conformance.cases import POSITIONS, PROMPT_LENGTH, Case, prompt
from conformance.files import Files, write_files
from conformance.golden import Golden, Logits
from edgewise import _core


def write_golden_files(folder: Path, case: Case, golden: Golden) -> Files:
    """Write the files that the oracle saw, and make sure that they are those."""
    files = write_files(folder, case, golden.seed)
    found = files.sha256
    assert found == golden.sha256, f"{case.name}: random_model writes another file than it did; run make_golden again"
    return files


def write_case(folder: Path, case: Case, golden: Golden) -> Path:
    """The model alone."""
    return write_golden_files(folder, case, golden).model


class Run:
    """One session of Edgewise on a model file.

    Args:
        path: the file.
        context_length: tokens of context.
        isa: instruction set of the kernels.
        cache_format: number format of the KV cache.
        batch: prompt tokens evaluated at once.
        threads: threads that compute.
        adapters: LoRA adapters and their scales.
    """

    def __init__(
        self,
        path: Path,
        context_length: int,
        *,
        isa: str = "auto",
        cache_format: str = "f32",
        batch: int = 512,
        threads: int = 1,
        adapters: Sequence[tuple[Path, float]] = (),
    ) -> None:
        self._model = _core.Model(_core.ModelFile(path), adapters=adapters)
        self._session = _core.Session(
            self._model,
            context_length=context_length,
            batch=batch,
            key_format=cache_format,
            value_format=cache_format,
            isa=isa,
            threads=threads,
        )

    def evaluate(self, tokens: Sequence[int]) -> Logits:
        """The logits behind each of `tokens`, which follow what was evaluated before: (tokens, vocabulary)."""
        self._session.evaluate(tokens, all_logits=True)
        return np.frombuffer(self._session.logits(), dtype=np.float32).reshape(-1, self._model.vocabulary_size)

    def follow(self, case: Case, tokens: Sequence[int]) -> Logits:
        """The logits at `POSITIONS` of the prompt of a case and then `tokens`, one at a time."""
        rows = [*self.evaluate(prompt(case)), *(self.evaluate([token])[0] for token in tokens)]
        return np.array([rows[position] for position in POSITIONS])

    def greedy(self, case: Case, count: int) -> list[int]:
        """The best token after the prompt of a case, and after that, and so on."""
        found: list[int] = []
        logits = self.evaluate(prompt(case))[PROMPT_LENGTH - 1]
        while len(found) < count:
            found.append(int(logits.argmax()))
            logits = self.evaluate(found[-1:])[0]
        return found
