"""How many tokens of a prompt a step may take, so that nobody who waits for the next token notices."""

from __future__ import annotations

# What of the bound is aimed at: a step takes longer as a prompt grows, and when the machine is busy.
AIM = 0.5
# Nobody waits for a token of a stream that runs alone: longer steps, but short enough to be cancelled between them.
ALONE_S = 1.0
# Before anything was measured.
FIRST_CHUNK = 32
# The weight of a step that was faster than those before; a slower one is believed at once.
FASTER = 0.3


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
        self._alone_s: float | None = None  # a prompt token where nobody waits: in long portions, which are cheaper
        self._beside_s: float | None = None  # and beside others
        self._chunk = 0  # what was allowed last

    def chunk(self, others: int) -> int:
        """How many prompt tokens to evaluate with the next tokens of `others` streams."""
        if others:
            limit_s, token_s = AIM * self._stall_s, self._beside_s or 2 * (self._alone_s or 0.0)
        else:
            limit_s, token_s = max(ALONE_S, self._stall_s), self._alone_s or self._beside_s or 0.0
        self._chunk = min(self._most, int(limit_s / token_s) if token_s else FIRST_CHUNK)
        return max(1, self._chunk)

    def took(self, others: int, prompt_tokens: int, step_s: float) -> None:
        """Learns from a step: how many streams had their next token in it, and how many prompt tokens it had."""
        if prompt_tokens == 0:
            self._decode_s = _believed(self._decode_s, step_s)
        elif prompt_tokens < self._chunk // 2 and step_s < self._stall_s:
            pass  # the end of a prompt: few tokens share what a step costs however many there are
        elif others:
            decode_s = min(self._decode_s or 0.0, step_s / 2)
            self._beside_s = _believed(self._beside_s, (step_s - decode_s) / prompt_tokens)
        else:
            self._alone_s = _believed(self._alone_s, step_s / prompt_tokens)


def _believed(old: float | None, new: float) -> float:
    return new if old is None or new > old else FASTER * new + (1 - FASTER) * old
