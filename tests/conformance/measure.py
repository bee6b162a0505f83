"""How far two sets of logits are from each other."""

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]


def log_probabilities(logits: Logits) -> Values:
    """Natural logarithms of the probabilities of each row."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def divergence(reference: Logits, other: Logits) -> Values:
    """Kullback-Leibler divergence of each row from the reference, in nats: (positions)."""
    expected, found = log_probabilities(reference), log_probabilities(other)
    return np.asarray((np.exp(expected) * (expected - found)).sum(axis=-1))


def noise(reference: Logits, other: Logits) -> Values:
    """Root mean square of the difference of each row, its mean removed as a softmax removes it: (positions)."""
    difference = other.astype(np.float64) - reference
    return np.asarray(difference.std(axis=-1))


def margin(logits: Logits) -> Values:
    """How far the best logit of each row is above the second: (positions)."""
    best = np.sort(logits.astype(np.float64), axis=-1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0])


def is_clear(logits: Logits, exact: Logits) -> npt.NDArray[np.bool_]:
    """Where rounding cannot turn the best token of the oracle: (positions).

    Two engines that each round activations by themselves differ in the gap of two logits by four roundings, a standard
    deviation of twice the noise of one logit. Five standard deviations are clear.
    """
    return np.asarray(margin(logits) > 10 * noise(exact, logits))
