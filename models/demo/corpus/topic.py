"""A topic: what can be asked about a thing, and the sentences from which an answer is composed."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """One thing that the model knows.

    Attributes:
        answer: first sentences, one of which opens every answer.
        more: further sentences, true in any selection and understood in the order given.
        names: what fits in "What is ...?"; empty where only the questions below make sense.
        questions: questions in full, for this topic alone; of four or more the last is held out.
    """

    answer: tuple[str, ...]
    more: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()

    def compose(self, rng: random.Random) -> str:
        """An answer: one opening, then mostly one or two of the further sentences."""
        count = min(len(self.more), rng.choices((0, 1, 2), (1, 6, 4))[0])
        chosen = sorted(rng.sample(range(len(self.more)), count))
        return " ".join([rng.choice(self.answer), *(self.more[i] for i in chosen)])
