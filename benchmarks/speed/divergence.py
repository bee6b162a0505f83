"""How far apart two evaluations of the same tokens are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgewise import _core

Logarithms = NDArray[np.float64]
"""Logarithms of probabilities, (positions, vocabulary)."""

WINDOW = 256
"""Tokens that are evaluated into an empty context; the first of them has nothing before it to be predicted from."""


def predictions(
    path: Path, tokens: Sequence[int], isa: str, threads: int, how: Literal["prompt", "one by one"]
) -> Logarithms:
    """What a model expects behind each token of whole windows, but the last of each.

    Args:
        path: the model file.
        tokens: what to evaluate; what is left behind whole windows is not.
        isa: the instruction set.
        threads: threads to compute with.
        how: a window at once, as a prompt, or token by token, as in decoding.
    """
    model = _core.Model(_core.ModelFile(path))
    session = _core.Session(
        model,
        context_length=WINDOW,
        batch=WINDOW,
        key_format="f16",
        value_format="f16",
        isa=isa,
        threads=threads,
    )
    rows = []
    for window in windows(tokens):
        session.truncate(0)
        for chunk in [window] if how == "prompt" else [[token] for token in window]:
            session.evaluate(chunk, all_logits=True)
            logits = np.frombuffer(session.logits(), dtype=np.float32).reshape(len(chunk), -1)
            rows.append(log_softmax(logits.astype(np.float64)))
        rows[-1] = rows[-1][:-1]
    return np.concatenate(rows)


def windows(tokens: Sequence[int]) -> list[Sequence[int]]:
    """Whole windows of tokens, one behind the other."""
    return [tokens[start : start + WINDOW] for start in range(0, len(tokens) - WINDOW + 1, WINDOW)]


def log_softmax(logits: NDArray[np.float64]) -> Logarithms:
    """Logarithms of the probabilities that logits mean, row by row."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    found: Logarithms = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found


def perplexity(expected: Logarithms, tokens: Sequence[int]) -> float:
    """Perplexity of the tokens that followed: e to the mean surprise at them."""
    following = np.concatenate([np.asarray(window[1:]) for window in windows(tokens)])
    return float(np.exp(-np.take_along_axis(expected, following[:, None], axis=-1).mean()))


def expected_perplexity(expected: Logarithms, truth: Logarithms) -> float:
    """Perplexity of tokens that `truth` would draw, without drawing them."""
    return float(np.exp(-(np.exp(truth) * expected).sum(axis=-1).mean()))


def divergence(truth: Logarithms, other: Logarithms) -> float:
    """Mean Kullback-Leibler divergence of `other` from `truth` over the positions, in nats."""
    return float((np.exp(truth) * (truth - other)).sum(axis=-1).mean())
