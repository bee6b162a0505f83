"""Questions with numbers: the memory of a model, computed, and sums, which a model this small leaves alone."""

import random

BITS_PER_WEIGHT = {"Q4_0": 4.5, "Q8_0": 8.5, "F16": 16.0}
SIZES = (1, 2, 3, 4, 7, 8, 13, 14, 30, 70)  # billions of parameters
SUM_ANSWER = "Sorry, I can not calculate. I am only a small demo model."


def rounded(gigabytes: float) -> str:
    """One decimal below 2 GB, whole numbers above."""
    return f"{gigabytes:.1f}" if gigabytes < 2 else f"{gigabytes:.0f}"


def sum_question(rng: random.Random) -> tuple[str, str]:
    """A sum, which the model declines: a guess would look like an answer."""
    a, b = rng.randint(0, 100), rng.randint(0, 100)
    sign, word = rng.choice((("+", "plus"), ("-", "minus"), ("*", "times"), ("/", "divided by")))
    forms = (
        f"What is {a} {word} {b}?",
        f"What is {a} {sign} {b}?",
        f"How much is {a} {word} {b}?",
        f"{a} {sign} {b}",
        f"{a} {sign} {b} = ?",
        f"Calculate {a} {word} {b}.",
        f"What is the sum of {a} and {b}?",
        f"Can you calculate {a} {sign} {b}?",
    )
    return rng.choice(forms), SUM_ANSWER


def memory_question(rng: random.Random) -> tuple[str, str]:
    """Size of the weights: parameters times bits per weight."""
    billions = rng.choice(SIZES)
    small, large = rounded(billions * BITS_PER_WEIGHT["Q4_0"] / 8), rounded(billions * BITS_PER_WEIGHT["F16"] / 8)
    forms = (
        f"How much RAM does a {billions}B model need?",
        f"How much memory does a {billions}B model need?",
        f"How much RAM do I need for a {billions}B model?",
        f"How much RAM is needed for a {billions}B model?",
        f"How much memory is needed for a model with {billions} billion parameters?",
        f"How big is a {billions}B model?",
    )
    return rng.choice(forms), (
        f"A model with {billions} billion parameters needs about {small} GB with 4 bits per weight and {large} GB "
        "with 16 bits, plus some memory for the KV cache."
    )


def format_question(rng: random.Random) -> tuple[str, str]:
    """Size of the weights in one format."""
    billions, name = rng.choice(SIZES), rng.choice(tuple(BITS_PER_WEIGHT))
    forms = (
        f"How much memory does a {billions}B model need in {name}?",
        f"How large is a {billions}B model in {name}?",
        f"How much RAM does a {billions}B model in {name} need?",
    )
    gigabytes = rounded(billions * BITS_PER_WEIGHT[name] / 8)
    return rng.choice(forms), f"A {billions}B model in {name} needs about {gigabytes} GB, plus the KV cache."


def general_memory_question(rng: random.Random) -> tuple[str, str]:
    """How much memory, asked without a size."""
    forms = (
        "How much RAM do I need?",
        "How much memory does a language model need?",
        "How much RAM do I need to run a model?",
        "How much RAM do I need to run a language model?",
        "How much memory do I need?",
    )
    return rng.choice(forms), (
        "The size of the model file plus the KV cache must fit into memory. For example, a 1B model with 4 bits per "
        "weight needs about 0.6 GB, and a 7B model about 4 GB."
    )


def number_question(rng: random.Random) -> tuple[str, str]:
    """A question with numbers and its answer."""
    kinds = (sum_question, memory_question, format_question, general_memory_question)
    return rng.choices(kinds, (4, 6, 4, 2))[0](rng)
