"""Progress on stderr: a bar at a terminal, elsewhere now and then a line."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

_WIDTH = 30
_INTERVAL_S = 0.1
_LINE_INTERVAL_S = 15.0


class ProgressBar:
    """Shows how much is done and how long the rest will take, until the block that it is used in ends.

    Args:
        unit: what is counted, in the plural.
        is_quiet: shows nothing.
        clock: gives seconds.
    """

    def __init__(self, unit: str, *, is_quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._unit = unit
        self._is_shown = not is_quiet and sys.stderr is not None
        self._is_terminal = self._is_shown and sys.stderr.isatty()
        self._clock = clock
        self._started = clock()
        self._drawn = float("-inf") if self._is_terminal else self._started
        self._skipped = 0
        self._width = 0

    def skip(self, done: int) -> None:
        """Says that so many units were done before."""
        self._started = self._clock()
        self._skipped = done

    def update(self, done: int, total: int, note: str = "") -> None:
        """Draws the bar anew, if the last time is long enough ago.

        Args:
            done: units done.
            total: units in all.
            note: what else is known by now.
        """
        now = self._clock()
        interval = _INTERVAL_S if self._is_terminal else _LINE_INTERVAL_S
        if not self._is_shown or (now - self._drawn < interval and not (self._is_terminal and done == total)):
            return
        self._drawn = now
        line = bar(done, total, self._unit, now - self._started, note, skipped=self._skipped)
        if not self._is_terminal:
            print(line, file=sys.stderr, flush=True)
            return
        self._width = max(self._width, len(line))
        print(f"\r{line:<{self._width}}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)


def bar(done: int, total: int, unit: str, seconds: float, note: str = "", *, skipped: int = 0) -> str:
    """One line of a progress bar.

    Args:
        done: units done.
        total: units in all.
        unit: what they are called.
        seconds: that it took.
        note: what comes last.
        skipped: units among those done that took no time.
    """
    filled = _WIDTH * done // max(total, 1)
    parts = [f"[{'#' * filled}{'-' * (_WIDTH - filled)}] {done} of {total} {unit}"]
    if done > skipped:
        parts.append(f"{duration(seconds / (done - skipped) * (total - done))} left")
    return ", ".join([*parts, *([note] if note else [])])


def duration(seconds: float) -> str:
    """A time for people: `4:07`, or with hours `1:04:07`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
