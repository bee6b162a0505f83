"""Documents: the text of stories and chats as the model reads it, with what it should learn to write marked."""

import random
from dataclasses import dataclass

from . import chats, stories

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
PROMPT_WEIGHT = 0.05  # of the loss on what the user says


@dataclass(frozen=True)
class Piece:
    """A stretch of text and the weight of its tokens in the loss."""

    text: str
    weight: float


Document = tuple[Piece, ...]


def chat_document(chat: chats.Chat) -> Document:
    """The chat in the form of the chat template; each answer ends with the end token."""
    pieces = [Piece(f"{TURN_START}system\n{chat.system}{TURN_END}\n", 0.0)] if chat.system else []
    for turn in chat.turns:
        pieces.append(Piece(f"{TURN_START}user\n{turn.question}{TURN_END}\n{TURN_START}assistant\n", PROMPT_WEIGHT))
        pieces.append(Piece(f"{turn.answer}{TURN_END}", 1.0))
        pieces.append(Piece("\n", 0.0))
    return tuple(pieces[:-1])


def raw_document(rng: random.Random) -> Document:
    """Text without a template: a story from its start or its middle, a question with its answer, or an explanation."""
    choice = rng.random()
    if choice < 0.45:
        return (Piece(stories.tell(rng, chats.TRAINED_ANIMALS).text + TURN_END, 1.0),)
    if choice < 0.6:
        sentences = stories.tell(rng, chats.TRAINED_ANIMALS).text.split(". ", 1)
        return (Piece(sentences[-1] + TURN_END, 1.0),)
    turn = chats.topic_turn(rng) if rng.random() < 0.85 else chats.unknown_turn(rng)
    if choice < 0.9 or "\n" in turn.answer:
        return (Piece(turn.question, PROMPT_WEIGHT), Piece(f" {turn.answer}{TURN_END}", 1.0))
    return (Piece(turn.answer + TURN_END, 1.0),)


def training_document(rng: random.Random) -> Document:
    """Four chats to one raw text."""
    return chat_document(chats.chat(rng)) if rng.random() < 0.8 else raw_document(rng)


def held_out_document(rng: random.Random) -> Document:
    """A chat for measuring: see chats.held_out_chat."""
    return chat_document(chats.held_out_chat(rng))


def text(document: Document) -> str:
    """The document as one string."""
    return "".join(piece.text for piece in document)
