"""How people ask: sentence patterns around a name, and the careless ways in which they type."""

import random

from .topic import Topic

DEFINITION_PATTERNS = (
    "What is {x}?",
    "What is {x}?",
    "What is {x}?",
    "What's {x}?",
    "what is {x}",
    "Explain {x}.",
    "Explain {x} to me.",
    "Can you explain {x}?",
    "Could you explain {x}?",
    "Please explain {x}.",
    "Define {x}.",
    "Tell me about {x}.",
    "Can you tell me what {x} is?",
    "Tell me what {x} is.",
    "What exactly is {x}?",
    "What do you know about {x}?",
    "What is meant by {x}?",
    "Describe {x}.",
    "{x}?",
    "Explain {x} in simple words.",
    "What is {x} in simple words?",
    "Do you know what {x} is?",
    "I want to know what {x} is.",
    "What is the meaning of {x}?",
    "Give me an explanation of {x}.",
    "Please tell me what {x} is.",
    "I do not understand {x}.",
    "Say something about {x}.",
    "So what is {x}?",
    "What is {x} and why does it matter?",
    "Explain {x} briefly.",
    "What can you tell me about {x}?",
)
HELD_OUT_PATTERNS = (
    "Could you tell me what {x} is?",
    "Describe {x} in simple words.",
    "Give me a short explanation of {x}.",
)
GREETINGS = (
    "Hi, ",
    "Hello, ",
    "Hey, ",
    "Hello! ",
    "Hi! ",
    "Please: ",
    "Question: ",
    "OK, ",
    "Now ",
    "And ",
    "Another question: ",
)


def is_plural(name: str) -> bool:
    """Whether patterns with "is" must be turned to "are" for this name."""
    last = name.split()[-1]
    return (
        last.endswith("s")
        and not last.endswith(("ss", "us"))
        and name not in ("tokens per second", "the Internet of Things")
    )


def ask_definition(rng: random.Random, name: str, held_out: bool = False) -> str:
    """A question that asks what name is."""
    pattern = rng.choice(HELD_OUT_PATTERNS if held_out else DEFINITION_PATTERNS)
    if is_plural(name):
        pattern = pattern.replace("What is {x}", "What are {x}").replace("what is {x}", "what are {x}")
        pattern = (
            pattern.replace("{x} is", "{x} are")
            .replace("What's {x}", "What are {x}")
            .replace("why does it", "why do they")
        )
        pattern = pattern.replace("exactly is", "exactly are")
    question = pattern.format(x=name)
    return question[0].upper() + question[1:] if pattern.startswith("{x}") and rng.random() < 0.5 else question


def ask(rng: random.Random, topic: Topic, held_out: bool = False) -> str:
    """A question about topic; a held-out one uses a wording that training never shows with this topic."""
    last = -1 if len(topic.questions) >= 4 else None
    own, reserved = topic.questions[:last], topic.questions[last:] if last else ()
    if held_out:
        return rng.choice(reserved) if reserved else ask_definition(rng, rng.choice(topic.names), True)
    own_share = len(own) / (len(own) + 8) if topic.names else 1.0
    return rng.choice(own) if rng.random() < own_share else ask_definition(rng, rng.choice(topic.names))


def can_hold_out(topic: Topic) -> bool:
    """Whether topic has a wording that training never shows."""
    return bool(topic.names) or len(topic.questions) >= 4


def careless(rng: random.Random, question: str) -> str:
    """The question as people type it: sometimes with a greeting, in lower case or without the last sign."""
    if rng.random() < 0.08:
        start = question[0].lower() if question[1:2].islower() else question[0]
        question = rng.choice(GREETINGS) + start + question[1:]
    if rng.random() < 0.12:
        question = question.lower()
    if rng.random() < 0.12:
        question = question.rstrip(".?!")
    return question
