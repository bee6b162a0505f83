"""Chats: one or several questions with their answers, and requests for stories."""

import random
from dataclasses import dataclass

from . import facts_devices, facts_edgewise, facts_models, stories, words
from .numbers import number_question
from .questions import ask, can_hold_out, careless
from .topic import Topic
from .unknown import unknown

TOPICS: tuple[Topic, ...] = facts_models.TOPICS + facts_devices.TOPICS + facts_edgewise.TOPICS
HELD_OUT_ANIMALS = ("otter", "goose", "panda", "badger")
TRAINED_ANIMALS = tuple(kind for kind in words.ANIMALS if kind not in HELD_OUT_ANIMALS)
SYSTEM_MESSAGES = (
    "You are a helpful assistant.",
    "You are a helpful AI assistant.",
    "Answer briefly.",
    "You are a friendly assistant.",
    "You are the demo model of Edgewise.",
    "Answer in one or two sentences.",
    "You are an assistant on a small device.",
)
STORY_REQUESTS = (
    "Tell me a story about {x}.",
    "Tell me a story about {x}.",
    "Can you tell me a story about {x}?",
    "Write a story about {x}.",
    "Write a short story about {x}.",
    "Tell me a short story about {x}.",
    "Tell me a nice story about {x}.",
    "Tell me a little story about {x}.",
    "I would like to hear a story about {x}.",
    "Please tell me a story about {x}.",
    "A story about {x}, please.",
    "Do you know a story about {x}?",
    "Make up a story about {x}.",
    "Give me a story about {x}.",
    "Tell a story about {x}.",
    "Story about {x}",
)
HELD_OUT_STORY_REQUESTS = ("I want to hear a story about {x}.", "Could you write me a story about {x}?")
OPEN_REQUESTS = (
    "Tell me a story.",
    "Write a story.",
    "Can you tell me a story?",
    "Tell me another story.",
    "A story, please.",
    "I want a story.",
    "Tell me a bedtime story.",
    "Please write a short story.",
    "Do you know a story?",
)


@dataclass(frozen=True)
class Turn:
    """A question of the user and the answer to it."""

    question: str
    answer: str


@dataclass(frozen=True)
class Chat:
    """A system message, possibly empty, and the turns that follow."""

    system: str
    turns: tuple[Turn, ...]


def story_turn(rng: random.Random, held_out: bool = False) -> Turn:
    """A request for a story and a story that fits it."""
    story = stories.tell(rng, HELD_OUT_ANIMALS if held_out else TRAINED_ANIMALS)
    if not held_out and rng.random() < 0.12:
        return Turn(rng.choice(OPEN_REQUESTS), story.text)
    about = story.hero.request
    choice = rng.random()
    if choice < 0.15:
        about = f"{about} and {story.friend.request}"
    elif choice < 0.3 and story.thing:
        about = stories.with_article(story.thing)
    return Turn(rng.choice(HELD_OUT_STORY_REQUESTS if held_out else STORY_REQUESTS).format(x=about), story.text)


def topic_turn(rng: random.Random, held_out: bool = False) -> Turn:
    """A question on one of the topics."""
    topic = rng.choice([t for t in TOPICS if can_hold_out(t)] if held_out else TOPICS)
    return Turn(ask(rng, topic, held_out), topic.compose(rng))


def unknown_turn(rng: random.Random, held_out: bool = False) -> Turn:
    """A question that the model can't answer."""
    return Turn(*unknown(rng, held_out))


def number_turn(rng: random.Random) -> Turn:
    """A question with a computed answer."""
    return Turn(*number_question(rng))


def any_turn(rng: random.Random) -> Turn:
    """A turn of any kind, the question typed with or without care."""
    kind = rng.choices((topic_turn, story_turn, unknown_turn, number_turn), (45, 32, 16, 7))[0]
    turn = kind(rng)
    return Turn(careless(rng, turn.question), turn.answer)


def chat(rng: random.Random) -> Chat:
    """A chat for training: one turn, or up to five."""
    system = rng.choice(SYSTEM_MESSAGES) if rng.random() < 0.15 else ""
    count = rng.choices((1, 2, 3, 4, 5), (64, 20, 8, 5, 3))[0]
    return Chat(system, tuple(any_turn(rng) for _ in range(count)))


def held_out_chat(rng: random.Random) -> Chat:
    """A chat of one turn whose wording, animal or unknown thing training never shows."""
    kind = rng.choices((topic_turn, story_turn, unknown_turn), (6, 2, 2))[0]
    return Chat("", (kind(rng, True),))
