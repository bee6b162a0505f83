"""The three kinds of questions as models are asked them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.server.decisions.deciding import Question
from edgewise.server.replies import dumps
from edgewise.server.schema import WrongField

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROLE = "You judge what you are given. Answer the question with one of the answers that are listed, and nothing else."
_YES, _NO = ("yes", "Yes"), ("no", "No")


def plain_text(value: Any) -> str:
    """A text as it is; anything else as JSON."""
    return value if isinstance(value, str) else dumps(value).decode()


def yes_or_no(state: str, question: str, meanings: tuple[str, str] = ("", "")) -> Question:
    """A question whose first answer is yes.

    Args:
        state: what is asked about.
        question: the question.
        meanings: what yes and no mean, where that has to be said.
    """
    return Question(_ROLE, _text(state, question, [("yes", meanings[0]), ("no", meanings[1])]), (_YES, _NO))


def choice(state: str, question: str, labels: Sequence[tuple[str, str]], where: str) -> Question:
    """A question for one of several answers.

    Args:
        state: what is asked about.
        question: the question.
        labels: the answers, each with its description, or an empty one.
        where: the field that they came in.

    Raises:
        WrongField: if an answer is empty, or two are the same.
    """
    for index, (label, _) in enumerate(labels):
        if not label.strip():
            raise WrongField(where, f"{where}: an answer must not be empty")
        if label in [other for other, _ in labels[:index]]:
            raise WrongField(where, f"{where}: {label!r:.80} is there twice")
    return Question(_ROLE, _text(state, question, labels), [(label,) for label, _ in labels])


def rating(state: str, question: str, levels: Sequence[str]) -> Question:
    """A question for a number: how far up it is on a scale.

    Args:
        state: what is asked about.
        question: the question.
        levels: what each number means, from 0 on.
    """
    labels = [(str(index), level) for index, level in enumerate(levels)]
    return Question(_ROLE, _text(state, question, labels), [(label,) for label, _ in labels])


def expectation(probabilities: Sequence[float]) -> float:
    """The mean of a rating."""
    return min(len(probabilities) - 1.0, sum(index * one for index, one in enumerate(probabilities)))


def _text(state: str, question: str, labels: Sequence[tuple[str, str]]) -> str:
    answers = "\n".join(f"- {label}: {meaning}" if meaning else f"- {label}" for label, meaning in labels)
    return f"{state}\n\nQuestion: {question}\nAnswers:\n{answers}"
