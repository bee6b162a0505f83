"""What shares the steps of a batch."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

from edgewise.config import require_number
from edgewise.errors import DeadlineExceeded, EdgewiseError, InternalError, InvalidArgument

if TYPE_CHECKING:
    from edgewise import _core
    from edgewise.engine.native import NativeEngine

    Work = tuple[int, list[int], Literal["none", "last", "all"]]
    Choice = tuple[int, _core.Sampler, int | None, bytes | None]
    Sampled = tuple[int, float | None, list[tuple[int, float]]]


class Job(ABC):
    """Something that has tokens evaluated, step by step. All methods but `cancel` are the batch's thread's.

    A job holds sequences of the session from `begin` to `leave`; both may happen several times, where other jobs need
    the room meanwhile.

    Args:
        deadline_s: how long it may take from now on, in seconds.

    Raises:
        InvalidArgument: if that is no number.
    """

    def __init__(self, deadline_s: float | None) -> None:
        self.number = 0  # in the order of arrival
        self.asked_s = self.begun_s = time.perf_counter()
        if deadline_s is not None:
            require_number("deadline_s", deadline_s)
        self._deadline_s = deadline_s
        self.is_cancelled = False
        self.is_over = False

    def check_deadline(self, now_s: float) -> None:
        """Raises DeadlineExceeded where it took too long."""
        if self._deadline_s is not None and now_s - self.asked_s > self._deadline_s:
            raise DeadlineExceeded(f"the answer was not complete within {self._deadline_s:g} s")

    def worked_s(self, now_s: float) -> float | None:
        """For how long it was worked on; None if it was not, or was cancelled meanwhile."""
        return now_s - self.begun_s if self.begun_s > self.asked_s and not self.is_cancelled else None

    @abstractmethod
    def begin(self, engine: NativeEngine) -> None:
        """Takes up what the cache has of its tokens."""

    @abstractmethod
    def leave(self, engine: NativeEngine) -> None:
        """Gives its sequences back; their beginnings are remembered as long as nobody needs the room."""

    @property
    def beginning(self) -> tuple[str, list[int], int]:
        """Namespace, the tokens that it begins with, and how many of them it holds: for others that begin alike."""
        return "", [], 0

    @property
    @abstractmethod
    def pending(self) -> int:
        """How many tokens of what was asked are still to be evaluated."""

    @property
    def is_decoding(self) -> bool:
        """Whether its next step gives the next token of an answer, which somebody waits for."""
        return False

    def prepare(self, engine: NativeEngine) -> None:  # noqa: B027  most need nothing
        """Called before each step."""

    def work(self, most: int) -> list[Work]:
        """What it has evaluated in the next step: the next token of an answer, or else at most `most` tokens."""
        return []

    def took(self, session: _core.Session, work: list[Work], step_s: float) -> None:  # noqa: B027  of no work
        """Its work is done, in a step of so many seconds; logits are there."""

    def choice(self) -> Choice | None:
        """How its next token is chosen; None if none is to be."""
        return None

    def chose(self, sampled: Sampled, step_s: float) -> None:  # noqa: B027  most choose nothing
        """Takes the token that was chosen."""

    def compute(self, session: _core.Session, most: int) -> int:
        """Work that cannot share a step, about `most` tokens of it; gives how many there were."""
        return 0

    def shrink(self) -> bool:
        """Whether it can go on with less room; called when nothing else can give way."""
        return False

    @abstractmethod
    def flush(self) -> None:
        """Tells whoever waits what is new; called without the session."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Ends with an error; `flush` tells it."""


def known(error: BaseException) -> EdgewiseError:
    """The error itself, or what it is to those who asked: a bug."""
    if isinstance(error, EdgewiseError):
        return error
    bug = InternalError(f"{type(error).__name__}: {error}")
    bug.__cause__ = error
    return bug


def held_to(sampled: Sampled | None) -> Sampled:
    """What was chosen under a constraint; raises InvalidArgument if that allowed nothing."""
    if sampled is None:
        raise InvalidArgument("the constraint allows no token, but is not complete")
    return sampled
