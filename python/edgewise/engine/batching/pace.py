"""How many tokens of a prompt a step may take, so that nobody who waits for the next token notices."""

from __future__ import annotations

# What of the bound is aimed at: a step takes longer as a prompt grows, and when the machine is busy.
AIM = 0.5
# Nobody waits for a token of a stream that runs alone: longer steps, but short enough to be cancelled between them.
ALONE_S = 1.0
# Before anything was measured.
FIRST_CHUNK = 32
# The weight of the last step.
NEW = 0.5


class Pace:
    """Learns from the duration of steps how long prompt tokens take.

    Args:
        stall_s: what prompt tokens may add to a step that other streams take part in, in seconds.
        most: the most prompt tokens of a step.
    """

    def __init__(self, stall_s: float, most: int) -> None:
        self._stall_s = stall_s
        self._most = most
        self._decode_s: float | None = None
        self._token_s: float | None = None

    def chunk(self, others: int) -> int:
        """How many prompt tokens to evaluate with the next tokens of `others` streams."""
        if self._token_s is None:
            return min(FIRST_CHUNK, self._most)
        limit_s = AIM * self._stall_s if others else max(ALONE_S, self._stall_s)
        return max(1, min(self._most, int(limit_s / self._token_s)))

    def took(self, others: int, prompt_tokens: int, step_s: float) -> None:
        """Learns from a step: how many streams had their next token in it, and how many prompt tokens it had."""
        if prompt_tokens == 0:
            self._decode_s = _mean(self._decode_s, step_s)
            return
        decode_s = min(self._decode_s or 0.0, step_s / 2) if others else 0.0
        self._token_s = _mean(self._token_s, (step_s - decode_s) / prompt_tokens)


def _mean(old: float | None, new: float) -> float:
    return new if old is None else NEW * new + (1 - NEW) * old
