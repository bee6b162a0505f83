"""What llama.cpp computed for each case, as stored in the repository."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parent / "golden"
GROUPS = ("", "adapter-")
"""What the names of the files with the figures of models, and of models with adapters, begin with."""

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Golden:
    """The figures of one case.

    Attributes:
        seed: seed of the model.
        sha256: of the model's file.
        tokens: the 64 tokens that llama.cpp decoded greedily after the prompt.
        logits: of llama.cpp, at the positions of `cases.POSITIONS`: (positions, vocabulary).
        exact: of llama.cpp with the same weights stored as f32, after the same tokens: (positions, vocabulary). Its
            distance from `logits` is the rounding of activations. Float models have it too small to matter: for them
            both are the same figures.
    """

    seed: int
    sha256: str
    tokens: list[int]
    logits: Logits
    exact: Logits


@cache
def load_golden() -> dict[str, Golden]:
    """The figures of all cases, by name."""
    found: dict[str, Golden] = {}
    for group in GROUPS:
        figures = json.loads((FOLDER / f"{group}figures.json").read_text())["cases"]
        with np.load(FOLDER / f"{group}logits.npz") as arrays:
            found |= {name: _golden(figure, arrays[name].astype(np.float32)) for name, figure in figures.items()}
    return found


def _golden(figure: dict[str, object], stored: Logits) -> Golden:
    seed, sha256, tokens = figure["seed"], figure["sha256"], figure["tokens"]
    assert isinstance(seed, int)
    assert isinstance(sha256, str)
    assert isinstance(tokens, list)
    return Golden(seed, sha256, tokens, stored[0], stored[-1])
