"""Questions whose answers are computed: small sums, the memory of a model, the speed that bandwidth allows."""

import random
from collections.abc import Callable

BITS_PER_WEIGHT = {"Q4_0": 4.5, "Q8_0": 8.5, "F16": 16.0, "4 bits": 4.5, "8 bits": 8.5, "16 bits": 16.0}
SIZES = (1, 2, 3, 4, 7, 8, 13, 14, 30, 70)


def rounded(gigabytes: float) -> str:
    """One decimal below 2 GB, whole numbers above."""
    return f"{gigabytes:.1f}" if gigabytes < 2 else f"{gigabytes:.0f}"


def sum_question(rng: random.Random) -> tuple[str, str]:
    """Plus, minus and times of numbers up to ten; results are never negative."""
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    sign, word = rng.choice((("+", "plus"), ("-", "minus"), ("*", "times")))
    if sign == "-":
        a, b = max(a, b), min(a, b)
    result = {"+": a + b, "-": a - b, "*": a * b}[sign]
    question = rng.choice(
        (
            f"What is {a} {word} {b}?",
            f"What is {a} {sign} {b}?",
            f"How much is {a} {word} {b}?",
            f"{a} {sign} {b}",
            f"{a} {sign} {b} = ?",
            f"Calculate {a} {word} {b}.",
        )
    )
    return question, f"{a} {word} {b} is {result}."


def memory_question(rng: random.Random) -> tuple[str, str]:
    """Size of the weights: parameters times bits per weight."""
    billions = rng.choice(SIZES)
    if rng.random() < 0.5:
        question = rng.choice(
            (
                f"How much RAM does a {billions}B model need?",
                f"How much memory does a {billions}B model need?",
                f"How much RAM do I need for a {billions}B model?",
                f"How much memory is needed for a model with {billions} billion parameters?",
                f"How big is a {billions}B model?",
            )
        )
        small, large = rounded(billions * 4.5 / 8), rounded(billions * 2.0)
        return question, (
            f"A model with {billions} billion parameters needs about {small} GB with 4 bits per weight and {large} GB "
            "with 16 bits, plus some memory for the KV cache."
        )
    name = rng.choice(tuple(BITS_PER_WEIGHT))
    written = f"with {name} per weight" if "bits" in name else f"in {name}"
    question = rng.choice(
        (
            f"How much memory does a {billions}B model need {written}?",
            f"How large is a {billions}B model {written}?",
            f"How much RAM does a {billions}B model {written} need?",
        )
    )
    gigabytes = rounded(billions * BITS_PER_WEIGHT[name] / 8)
    return question, f"A {billions}B model {written} needs about {gigabytes} GB, plus the KV cache."


def general_memory_question(rng: random.Random) -> tuple[str, str]:
    """How much memory, asked without a size."""
    question = rng.choice(
        (
            "How much RAM do I need?",
            "How much memory does a language model need?",
            "How much RAM do I need to run a model?",
            "How much RAM do I need to run a language model?",
            "How much memory do I need?",
        )
    )
    return question, (
        "The size of the model file plus the KV cache must fit into memory. For example, "
        "a 1B model with 4 bits per weight "
        "needs about 0.6 GB, and a 7B model about 4 GB."
    )


def speed_question(rng: random.Random) -> tuple[str, str]:
    """Upper bound of decode speed: bandwidth divided by the size of the model."""
    size, speed = rng.choice((1, 2, 4, 5, 8)), rng.choice((2, 3, 4, 5, 8, 10, 20))
    bandwidth = size * speed
    question = rng.choice(
        (
            f"How fast is a {size} GB model with {bandwidth} GB per second?",
            f"How many tokens per second can a {size} GB model reach at {bandwidth} GB/s?",
            f"How fast can a {size} GB model be when the bandwidth is {bandwidth} GB/s?",
        )
    )
    return (
        question,
        (
            f"At most {speed} tokens per second, because each token reads {size} GB and the "
            f"memory delivers {bandwidth} GB per second."
        ),
    )


KINDS: tuple[Callable[[random.Random], tuple[str, str]], ...] = (
    sum_question,
    memory_question,
    general_memory_question,
    speed_question,
)


def number_question(rng: random.Random) -> tuple[str, str]:
    """A question about numbers with its answer."""
    return rng.choices(KINDS, (8, 6, 2, 2))[0](rng)
