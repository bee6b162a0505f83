"""Speculative decoding: guess the next tokens, evaluate all guesses in one step, keep those that are right.

The text is exactly that of plain decoding. Every token is sampled from the model's own logits; a guess only decides
whether the logits behind it are there already. A step of up to eight tokens gives each of them the logits, bit for
bit, that it has alone.

Source: Leviathan et al. 2023, arXiv 2211.17192, with guesses that are certain; prompt lookup: Saxena 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

# Tokens of a step, the certain one included: with more, the kernels sum in another order.
LONGEST_STEP = 8
# Tokens that must be alike for the text behind their last occurrence to be a guess.
NGRAM = 3
# From so many alike tokens before a guess on, a longer likeness says nothing more.
LONGEST_LIKENESS = 32
# How often guesses are taken to be right at first: with up to 4, 8, 16 tokens alike before them, and more.
LIKELY = {4: 0.5, 8: 0.75, 16: 0.9, LONGEST_LIKENESS: 0.95}
# How fast estimates follow what is measured.
RATE = 0.1
# What a step of one more token is taken to cost, in steps of one token, until it is measured.
ASSUMED_COST = 0.1
# After so many steps the duration of a plain one is measured again.
MEASURE_EVERY = 64
# How much faster than plain decoding a guess must promise to be.
MARGIN = 1.05


class Drafter(Protocol):
    """Guesses how a text goes on."""

    is_free: bool
    """Whether a guess costs next to nothing, so that it may be made just to see whether it is right."""
    likeness: int
    """How many tokens are alike before the last guess and before what it was taken from; 0 where that means nothing."""

    def propose(self, tokens: Sequence[int], count: int) -> list[int]:
        """Up to `count` tokens behind `tokens`, which continue those of the call before: one answer, one drafter."""


class NGramDrafter:
    """Guesses that what followed the last few tokens when they occurred before follows them again.

    Args:
        size: how many tokens must be alike.
    """

    is_free = True

    def __init__(self, size: int = NGRAM) -> None:
        self._size = size
        self.likeness = 0
        self._tokens: list[int] = []
        self._latest: dict[tuple[int, ...], int] = {}  # n-gram -> index behind its latest occurrence but the last

    def propose(self, tokens: Sequence[int], count: int) -> list[int]:
        """The tokens behind the latest earlier occurrence of the last n-gram."""
        self._read(tokens)
        start = self._latest.get(tuple(self._tokens[-self._size :]))
        if start is None:
            return []
        self.likeness = self._size
        while (
            self.likeness < min(start, LONGEST_LIKENESS)
            and self._tokens[start - 1 - self.likeness] == self._tokens[-1 - self.likeness]
        ):
            self.likeness += 1
        found = self._tokens[start : start + count]
        # A loop of fewer tokens than are wanted goes round again.
        period = len(self._tokens) - start
        return found if len(found) == count else [found[i % period] for i in range(count)]

    def _read(self, tokens: Sequence[int]) -> None:
        known, size = self._tokens, self._size
        for token in tokens[len(known) :]:
            # An n-gram is entered when the token behind it is known.
            if len(known) >= size:
                self._latest[tuple(known[-size:])] = len(known)
            known.append(token)


class Controller:
    """Decides how many tokens to guess, from how often guesses are right and what steps cost.

    While guessing does not pay, guesses that cost nothing are still compared with what comes, so that it starts again
    as soon as it would; the others are tried again after pauses that get longer.

    Args:
        is_free: see `Drafter`.
    """

    def __init__(self, *, is_free: bool = True) -> None:
        self._is_free = is_free
        self._right = dict(LIKELY)  # likeness -> probability that a guess is right, if all before it were
        self._step_s: dict[int, float] = {}  # number of tokens -> duration of a step
        self._guess_s = 0.0  # duration of guessing one token
        self._pause = self._longest_pause = 8
        self._since_plain = 0  # steps

    def choose(self, most: int, likeness: int = 0) -> int:
        """How many tokens to guess, at most `most`; 0 if none is fastest, or to measure a plain step."""
        if 1 not in self._step_s or self._since_plain >= MEASURE_EVERY:
            return 0
        best = self._best(most, self._right[_level(likeness)])
        if best == 0 and not self._is_free:
            self._pause -= 1
            if self._pause <= 0:
                self._longest_pause = self._pause = min(2 * self._longest_pause, 512)
                return min(1, most)
        return best

    def saw(self, guessed: int, right: int, likeness: int = 0) -> None:
        """Takes note that of so many guesses the first `right` were right."""
        level = _level(likeness)
        for i in range(min(right + 1, guessed)):
            self._right[level] += RATE * ((1.0 if i < right else 0.0) - self._right[level])
        if right > 0 and right == guessed:
            self._longest_pause = self._pause = 8

    def took(self, tokens: int, step_s: float, guess_s: float = 0.0) -> None:
        """Takes note of how long a step of so many tokens took, and guessing all but one of them."""
        self._since_plain = 0 if tokens == 1 else self._since_plain + 1
        before = self._step_s.get(tokens, step_s)
        # A step that something else disturbed counts as one of twice the usual duration.
        self._step_s[tokens] = before + RATE * (min(step_s, 2 * before) - before)
        if tokens > 1:
            # The first guess of an answer may have to read its prompt, which later ones do not.
            self._guess_s += RATE * (min(guess_s, step_s) / (tokens - 1) - self._guess_s)

    def _best(self, most: int, right: float) -> int:
        best, best_rate = 0, MARGIN / self._cost(1)
        expected = 1.0
        for count in range(1, most + 1):
            expected += right**count
            rate = expected / (self._cost(count + 1) + count * self._guess_s)
            if rate > best_rate:
                best, best_rate = count, rate
        return best

    def _cost(self, tokens: int) -> float:
        """Duration of a step, as measured or in proportion to the nearest that was."""
        if tokens in self._step_s:
            return self._step_s[tokens]
        nearest = min(self._step_s, key=lambda known: abs(known - tokens))
        return self._step_s[nearest] * (1 + ASSUMED_COST * (tokens - 1)) / (1 + ASSUMED_COST * (nearest - 1))


def _level(likeness: int) -> int:
    return next(level for level in LIKELY if likeness <= level)


class Speculation:
    """What one answer guesses, and how well.

    Args:
        drafter: makes the guesses.
        controller: decides how many; shared by the answers of an engine, which learn from each other.
    """

    def __init__(self, drafter: Drafter, controller: Controller) -> None:
        self._drafter = drafter
        self._controller = controller
        self._compared: list[int] = []
        self.drafted = 0
        self.accepted = 0

    def propose(self, tokens: Sequence[int], most: int, vocabulary_size: int) -> list[int]:
        """Guesses to evaluate with the next step, at most `most` and few enough for exact results.

        Args:
            tokens: the text so far.
            most: how many there is room for.
            vocabulary_size: a guess that is no token, and what follows it, is left away.
        """
        most = min(most, LONGEST_STEP - 1)
        if most <= 0:
            guesses, self._compared = [], []
        elif self._drafter.is_free:
            found = self._drafter.propose(tokens, most)
            guesses = found[: self._controller.choose(most, self._drafter.likeness)] if found else []
            self._compared = guesses or found[:1]
        else:
            count = self._controller.choose(most)
            guesses = self._compared = self._drafter.propose(tokens, count) if count else []
        if not guesses:
            return guesses
        unknown = next((i for i, token in enumerate(guesses) if not 0 <= token < vocabulary_size), len(guesses))
        guesses = guesses[:unknown]
        self.drafted += len(guesses)
        return guesses

    def saw(self, guesses: Sequence[int], tokens: Sequence[int]) -> None:
        """Takes note of the tokens that a step gave, the first of which the first guess was for."""
        if not self._compared:
            return
        right = 0
        while right < min(len(self._compared), len(tokens)) and self._compared[right] == tokens[right]:
            right += 1
        if guesses:
            self.accepted += right
        self._controller.saw(len(self._compared), right, self._drafter.likeness)
        self._compared = []

    def took(self, tokens: int, step_s: float, guess_s: float) -> None:
        """See `Controller.took`."""
        self._controller.took(tokens, step_s, guess_s)
