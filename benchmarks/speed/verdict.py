"""Whether a target is met."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """One target of one row of the report.

    Attributes:
        subject: what the target is about.
        target: the bound in words.
        found: the measured value; None where there is nothing to compare with.
        is_met: whether it is on the right side of the bound; None like `found`.
    """

    subject: str
    target: str
    found: float | None
    is_met: bool | None

    def __str__(self) -> str:
        return {True: "met", False: "MISSED", None: "unknown"}[self.is_met]


def conclusion(verdicts: Sequence[Verdict]) -> str:
    """How many targets are met, and which are not."""
    met = sum(verdict.is_met is True for verdict in verdicts)
    lines = [f"{met} of {len(verdicts)} targets met"]
    for verdict in verdicts:
        if not verdict.is_met:
            found = "there is nothing to compare with" if verdict.found is None else f"is {verdict.found:.3g}"
            lines.append(f"  {verdict}: {verdict.subject}: {verdict.target}, {found}")
    return "\n".join(lines)
