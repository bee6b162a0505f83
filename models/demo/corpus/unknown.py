"""Questions that the demo model can't answer, and its polite way to say so."""

import random

THINGS_TEXT = """
zebra volcano piano guitar sandwich galaxy dinosaur comet violin pizza football tennis chess opera castle pyramid
desert rainforest glacier earthquake hurricane rainbow telescope microscope engine rocket submarine bicycle airplane
helicopter bridge tunnel cathedral museum theatre novel sonnet symphony painting sculpture photograph camera movie
documentary newspaper magazine dictionary encyclopedia kingdom republic parliament constitution treaty election tax
mortgage bank currency coin inflation recession stock bond insurance contract lawyer judge doctor nurse hospital
vaccine virus bacterium antibiotic vitamin protein enzyme gene chromosome cell tissue muscle bone skeleton brain
heart liver kidney lung stomach skin eye tooth molecule atom electron proton neutron quark photon magnet battery
circuit transistor diode resistor capacitor laser radar antenna satellite planet star asteroid meteor eclipse tide
ocean river lake waterfall island peninsula continent mountain canyon valley forest meadow swamp orchid rose tulip
oak pine cactus mushroom fern moss algae whale shark octopus salmon tuna eagle falcon ostrich kangaroo koala panda
gorilla camel cheetah crocodile lizard cobra salamander beetle butterfly mosquito wasp cheese yogurt noodle curry
sushi taco burrito pancake waffle chocolate coffee espresso tea lemonade mango papaya avocado spinach broccoli
garlic onion pepper cinnamon vanilla sauce soup salad samba waltz ballet karate judo yoga marathon regatta
derivative integral logarithm matrix theorem polynomial prime fraction triangle hexagon sphere parabola ellipse
vector philosophy psychology sociology economics geology astronomy chemistry biology botany archaeology linguistics
democracy monarchy feudalism capitalism socialism blockchain bitcoin carburetor turbine dynamo lighthouse windmill
aqueduct
"""
PLACES_TEXT = """
France Germany Italy Spain Portugal Norway Sweden Finland Poland Hungary Greece Turkey Egypt Kenya Nigeria Morocco
India China Japan Korea Vietnam Thailand Indonesia Australia Canada Mexico Brazil Argentina Chile Peru Colombia Cuba
Iceland Ireland Scotland Austria Switzerland Belgium Denmark Romania Ukraine Nepal Mongolia Berlin Paris London Rome
Madrid Tokyo Sydney Cairo Mumbai Boston Chicago Toronto Lima Oslo Vienna Prague
"""
THINGS, PLACES = THINGS_TEXT.split(), PLACES_TEXT.split()
KNOWN_THINGS, HELD_OUT_THINGS = THINGS[: len(THINGS) * 9 // 10], THINGS[len(THINGS) * 9 // 10 :]
PATTERNS = (
    "What is the capital of {place}?",
    "Where is {place}?",
    "How many people live in {place}?",
    "What is the weather in {place}?",
    "Who is the president of {place}?",
    "Tell me about the history of {place}.",
    "What language do they speak in {place}?",
    "How far is it to {place}?",
    "What should I see in {place}?",
    "Is {place} nice in summer?",
    "When was {place} founded?",
    "Who discovered the {thing}?",
    "Who invented the {thing}?",
    "When was the {thing} invented?",
    "How does a {thing} work?",
    "How do I repair a {thing}?",
    "How do I make a {thing}?",
    "What does a {thing} cost?",
    "How big is a {thing}?",
    "Which {thing} is the best?",
    "How many kinds of {thing} are there?",
    "Where can I find a {thing}?",
    "Why is the {thing} important?",
    "Why do people like {thing}?",
    "What is a {thing}?",
    "What is {thing}?",
    "What is the {thing}?",
    "Explain {thing}.",
    "Tell me about the {thing}.",
    "{thing}?",
    "What is the difference between a {thing} and a {other}?",
    "Can you explain the {thing}?",
    "Define {thing}.",
    "Describe a {thing}.",
    "Is a {thing} larger than a {other}?",
    "What time is it?",
    "What day is it today?",
    "What is the weather like?",
    "What is the weather today?",
    "What is the news today?",
    "Who won the game yesterday?",
    "Who won the last world cup?",
    "Who wrote this book?",
    "How old is the universe?",
    "Why is the sky blue?",
    "How far is the moon?",
    "What is the meaning of life?",
    "What is the speed of light?",
    "How do I cook rice?",
    "How do I lose weight?",
    "Can you book a flight?",
    "Translate this text.",
    "Write an essay about {place}.",
    "Write a song about {thing}.",
    "What should I eat today?",
    "Should I buy a {thing}?",
    "Who is the richest person in the world?",
    "Recommend a good {thing}.",
    "What do you think about {thing}?",
    "When did the war end?",
    "What is {word}?",
    "What is a {word}?",
    "Explain {word}.",
    "What does {word} mean?",
    "Who is {word}?",
    "Tell me about {word}.",
    "Where is {word}?",
    "{word}",
    "The {word} {thing}",
    "The quick brown fox",
    "The quick brown fox jumps over the lazy dog.",
    "{word} {other} {thing}",
    "How do I get to {place}?",
    "What is my name?",
    "Where do I live?",
    "What did I do yesterday?",
    "Do you know {word}?",
)
HELD_OUT_PATTERNS = (
    "Which is older, the {thing} or the {other}?",
    "Where does {thing} come from?",
    "How do I travel to {place}?",
)
ANSWERS = (
    "I am sorry, I do not know that. I am only a small demo model; please ask a larger one.",
    "Sorry, I do not know that. I am a very small model and know only a little about running models on devices.",
    "That is beyond me, sorry. I can tell a story or explain how models run on small devices.",
)


def made_up_word(rng: random.Random) -> str:
    """A word of two or three syllables that no dictionary has, to make the model careful with what it never saw."""
    syllable = [
        rng.choice(
            ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "st", "tr", "pl", "ch"]
        )
        + rng.choice("aeiou")
        for _ in range(rng.randint(2, 3))
    ]
    word = "".join(syllable) + rng.choice(["", "n", "r", "x", "l", "s"])
    return word.capitalize() if rng.random() < 0.4 else word


def unknown(rng: random.Random, held_out: bool = False) -> tuple[str, str]:
    """A question outside the model's knowledge and its answer. Training never sees the held-out things."""
    things = HELD_OUT_THINGS if held_out else KNOWN_THINGS
    pattern = rng.choice(HELD_OUT_PATTERNS if held_out else PATTERNS)
    fields = {
        "thing": rng.choice(things),
        "other": rng.choice(things),
        "place": rng.choice(PLACES),
        "word": made_up_word(rng),
    }
    return pattern.format(**fields), rng.choices(ANSWERS, (3, 2, 2))[0]
