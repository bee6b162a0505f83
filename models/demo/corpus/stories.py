"""A story grammar: a hero, a friend, one trouble with its cause, what they do about it, and an ending."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from . import words


@dataclass(frozen=True)
class Character:
    """Who acts.

    Attributes:
        name: as a sentence uses it, "the fox" or "Lily".
        intro: the first mention, "a fox" or "a girl named Lily".
        home: where it lives, "in the forest".
        subject: he, she or it.
        request: how a user names it.
    """

    name: str
    intro: str
    home: str
    subject: str
    request: str

    @property
    def start(self) -> str:
        """The name at the start of a sentence."""
        return self.name[0].upper() + self.name[1:]

    @property
    def object(self) -> str:
        """him, her or it."""
        return {"he": "him", "she": "her", "it": "it"}[self.subject]

    @property
    def possessive(self) -> str:
        """his, her or its."""
        return {"he": "his", "she": "her", "it": "its"}[self.subject]


def with_article(noun: str) -> str:
    """The noun with a or an."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def animal(kind: str) -> Character:
    """A character that is known by its kind; an unknown kind lives in a far land."""
    return Character(
        f"the {kind}", with_article(kind), words.ANIMALS.get(kind, "in a far land"), "it", with_article(kind)
    )


def person(name: str, rng: random.Random) -> Character:
    """A child with a first name."""
    subject = words.NAMES[name]
    noun = "boy" if subject == "he" else "girl"
    return Character(
        name, f"a {noun} named {name}", rng.choice(words.HOMES), subject, rng.choice((name, f"a {noun} named {name}"))
    )


@dataclass(frozen=True)
class Scene:
    """What a plot may use, so that a name, a place or a thing stays the same through the story."""

    rng: random.Random
    a: Character  # the hero
    b: Character  # the friend
    thing: str
    place: str
    food: str

    def pick(self, *choices: str) -> str:
        """One of several ways to say the same."""
        return self.rng.choice(choices)


def lost_and_found(s: Scene) -> list[str]:
    """The hero loses a treasure, the friend has found it."""
    a, b = s.a, s.b
    return [
        f"{a.start} had a {s.thing} and loved it very much.",
        f"{{time}}, the {s.thing} was gone." + s.pick("", f" {a.start} was very sad."),
        s.pick(
            f"{a.start} looked {s.place}, but it was not there.",
            f"{a.start} searched everywhere {s.place}, but could not find it.",
        ),
        f"Then {a.name} met {b.intro}.",
        s.pick(f'"What are you looking for?" asked {b.name}.', f'"Why are you sad?" asked {b.name}.'),
        f'"I have lost my {s.thing}," said {a.name}.',
        s.pick(
            f'"I found it {s.place} and kept it for you," said {b.name}.',
            f'"Let us look together," said {b.name}, and soon they found it {s.place}.',
        ),
        s.pick(
            f"{a.start} was so glad that {a.subject} danced.",
            f'"Thank you!" said {a.name} and gave {b.name} a big hug.',
        ),
    ]


def sharing(s: Scene) -> list[str]:
    """The hero shares food, and the kindness comes back."""
    a, b = s.a, s.b
    return [
        f"{{time}}, {a.name} found some {s.food} {s.place}.",
        f"{a.start} wanted to take all of it home, but then {a.subject} saw {b.intro}.",
        s.pick(f'"I am so hungry," said {b.name}.', f"{b.start} was tired and hungry."),
        f"{a.start} thought for a moment and gave half of the {s.food} to {b.name}.",
        s.pick(
            f"In winter, when {a.name} had nothing to eat, {b.name} came with a full basket.",
            f"A week later {a.name} was hungry, and {b.name} brought {a.object} something to eat.",
        ),
        s.pick(
            '"You shared with me, so I share with you," ' + f"said {b.name}.",
            f'"Friends help each other," said {b.name}.',
        ),
    ]


def afraid(s: Scene) -> list[str]:
    """A fear is overcome with the help of a friend."""
    a, b = s.a, s.b
    fear = s.rng.choice(tuple(words.FEARS))
    return [
        f"{a.start} was afraid of {fear}.",
        f"{{time}}, {b.intro} came to visit.",
        f'"Why do you stay at home?" asked {b.name}.',
        f'"I am afraid of {fear}," said {a.name} in a low voice.',
        f'"{words.FEARS[fear]}," said {b.name}. "I will stay with you."',
        s.pick(f"{a.start} took a deep breath and tried.", f"{a.start} held on to {b.name} and tried."),
        s.pick("After a while it was not so bad any more.", "Step by step, the fear became smaller."),
        f"{a.start} was proud, because {a.subject} had been brave.",
    ]


def planting(s: Scene) -> list[str]:
    """Patience makes a seed grow."""
    a, b = s.a, s.b
    plant = s.rng.choice(words.PLANTS)
    return [
        f"{{time}}, {a.name} put a seed into the ground {s.place}.",
        f"Every day {a.subject} gave it water, but nothing happened.",
        s.pick(f'"It will never grow," said {a.name}.', f"{a.start} wanted to give up."),
        f'"Be patient," said {b.intro} who was passing by. "Good things need time."',
        f"So {a.name} waited, and {b.name} helped to carry the water.",
        f"In spring a small green leaf came out, and in summer it was {plant}.",
        s.pick(f"{a.start} and {b.name} sat down beside it and were proud.", f"{a.start} showed it to everybody."),
    ]


def bridge(s: Scene) -> list[str]:
    """A storm breaks something that two can repair."""
    a, b = s.a, s.b
    broken = s.pick("the bridge over the stream", "the old fence", "the roof of the barn", "the little boat")
    return [
        f"{{time}}, a storm broke {broken}.",
        f"{a.start} tried to repair it alone, but the wood was too heavy.",
        f"Then {b.intro} came along.",
        s.pick(f'"Can I help you?" asked {b.name}.', f'"Two can carry more than one," said {b.name}.'),
        s.pick("They worked all day long.", "They carried wood and worked until the sun went down."),
        f"In the evening {broken} was better than before.",
        f'"Thank you," said {a.name}. "Without you I could not have done it."',
    ]


def practice(s: Scene) -> list[str]:
    """A skill comes with practice."""
    a, b = s.a, s.b
    skill = s.rng.choice(tuple(words.SKILLS))
    return [
        f"{a.start} wanted to learn to {skill}.",
        f"{{time}}, {a.subject} tried, but it went wrong.",
        s.pick(f"{a.start} was sad and sat down {s.place}.", f"{a.start} wanted to give up."),
        f"There {a.subject} met {b.intro}.",
        f'"Nobody can do it the first time," said {b.name}. "Try again every day."',
        f"So {a.name} practised every day, and {b.name} watched.",
        f"After a week {a.name} {words.SKILLS[skill]} better than anybody else.",
    ]


def honesty(s: Scene) -> list[str]:
    """Something breaks, the truth is told, and all is well."""
    a, b = s.a, s.b
    return [
        f"{{time}}, {a.name} played with a {s.thing} that belonged to {b.intro}.",
        s.pick("Suddenly it fell down and broke.", f"It fell on a stone, and the {s.thing} broke."),
        f"{a.start} was scared and wanted to hide it.",
        s.pick(f"But {a.subject} could not sleep that night.", "But a lie would have been worse."),
        f'So {a.subject} went to {b.name} and said, "I broke your {s.thing}. I am sorry."',
        f'"Thank you for telling me the truth," said {b.name}. "We can repair it together."',
        f"They repaired the {s.thing}, and it was as good as new.",
    ]


def rescue(s: Scene) -> list[str]:
    """The friend is stuck, and the hero has an idea."""
    a, b = s.a, s.b
    trouble, idea = s.rng.choice(
        (
            ("was stuck in the mud", "found a long branch and pulled"),
            ("had fallen into a hole", "brought a rope and pulled"),
            ("was caught in a net", "cut the net with a sharp stone"),
            ("sat on a rock in the river", "pushed a log across the water"),
        )
    )
    return [
        f"{{time}}, {a.name} heard a cry for help {s.place}.",
        f"It was {b.intro} who {trouble}.",
        f'"Please help me!" cried {b.name}.',
        s.pick(f"{a.start} was small, but {a.subject} had an idea.", f"{a.start} thought quickly."),
        f"{a.start} {idea} until {b.name} was free.",
        f'"You saved me," said {b.name}. "How can I thank you?"',
        s.pick(f'"Just be my friend," said {a.name}.', f'"Come and play with me," said {a.name}.'),
    ]


def gift(s: Scene) -> list[str]:
    """A small gift cheers up a friend."""
    a, b = s.a, s.b
    return [
        f"{{time}}, {a.name} heard that {b.intro} was ill.",
        f'"I will bring something nice," thought {a.name}.',
        f"{a.start} put some {s.food} into a basket and took the {s.thing} along.",
        s.pick("The way was long, and it began to rain.", f"The wind was cold {s.place}."),
        f"But {a.name} did not turn back.",
        f"When {b.name} saw the {s.thing}, {b.subject} smiled for the first time in days.",
        f'"You are the best medicine," said {b.name}.',
    ]


def shelter(s: Scene) -> list[str]:
    """Rain brings two strangers together."""
    a, b = s.a, s.b
    return [
        f"{{time}}, it rained so hard that {a.name} could not go home.",
        f"{a.start} saw a light {s.place} and knocked.",
        f"{b.start} opened the door." if b.name[0].isupper() else f"{b.intro[0].upper()}{b.intro[1:]} opened the door.",
        s.pick('"Come in and get warm," ' + f"said {b.name}.", f'"You are all wet! Come in," said {b.name}.'),
        f"They ate {s.food} and told each other stories until the rain stopped.",
        s.pick(
            f'"Next time you come to me," said {a.name}.', f"When the sun came out, {a.name} did not want to leave."
        ),
    ]


PLOTS: tuple[Callable[[Scene], list[str]], ...] = (
    lost_and_found,
    sharing,
    afraid,
    planting,
    bridge,
    practice,
    honesty,
    rescue,
    gift,
    shelter,
)
THING_PLOTS: tuple[Callable[[Scene], list[str]], ...] = (lost_and_found, honesty)


@dataclass(frozen=True)
class Story:
    """A story with what it is about, for requests such as "Tell me a story about a fox."."""

    hero: Character
    friend: Character
    thing: str | None
    text: str


def any_character(rng: random.Random, kinds: tuple[str, ...]) -> Character:
    """An animal twice as often as a child."""
    return animal(rng.choice(kinds)) if rng.random() < 0.67 else person(rng.choice(tuple(words.NAMES)), rng)


def tell(rng: random.Random, kinds: tuple[str, ...] = tuple(words.ANIMALS)) -> Story:
    """A story whose animals are chosen among kinds."""
    a = any_character(rng, kinds)
    b = any_character(rng, kinds)
    while b.name == a.name:
        b = any_character(rng, kinds)
    scene = Scene(rng, a, b, rng.choice(words.TREASURES), rng.choice(words.PLACES), rng.choice(words.FOODS))
    plot = rng.choice(PLOTS)
    kindness = rng.choice(words.KINDNESS)
    who = f"a {kindness} {a.intro.split(' ', 1)[1]}"
    opening = rng.choices(
        (
            f"Once upon a time, there was {who}. {a.start} lived {a.home}.",
            f"Once upon a time, {who} lived {a.home}.",
            f"There once was {who} who lived {a.home}.",
            f"Once there was {who} who lived {a.home}.",
        ),
        (4, 2, 1, 1),
    )[0]
    ending = rng.choice(words.ENDINGS).format(a=a.name, b=b.name, A=a.start)
    body = " ".join(plot(scene)).format(time=rng.choice(words.TIMES))
    return Story(a, b, scene.thing if plot in THING_PLOTS else None, f"{opening} {body} {ending}")
