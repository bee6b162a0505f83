"""Reasoning, which many models write before their answer, between two tags."""

from __future__ import annotations

from dataclasses import dataclass

_BLANKS = " \t\r\n"

# What opens reasoning and what closes it.
TAGS: tuple[tuple[str, str], ...] = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<|thinking|>", "<|/thinking|>"),
    ("[THINK]", "[/THINK]"),
    ("<reasoning>", "</reasoning>"),
    ("<reason>", "</reason>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("◁think▷", "◁/think▷"),
)


def tags_of(template: str | None) -> tuple[str, str]:
    """The tags of a chat template; `<think>` where it names none, as many distilled models write it anyway."""
    if template is not None:
        for opening, closing in TAGS:
            if closing in template or opening in template:
                return opening, closing
    return TAGS[0]


def is_opened_by(prompt: str, tags: tuple[str, str]) -> bool:
    """Whether a prompt ends with the tag that opens reasoning, so that the answer begins within it."""
    return prompt.rstrip(_BLANKS).endswith(tags[0])


@dataclass(frozen=True)
class Part:
    """A piece of an answer.

    Args:
        text: of it.
        is_reasoning: whether it stands between the tags.
    """

    text: str
    is_reasoning: bool


class ReasoningSplitter:
    """Tells the reasoning at the beginning of an answer from the answer.

    Only an answer that begins with the opening tag has reasoning: elsewhere the tag is text. Blanks around the tags
    belong to neither side.

    Args:
        tags: what opens reasoning and what closes it.
        is_open: the prompt opened it already.
    """

    def __init__(self, tags: tuple[str, str], *, is_open: bool = False) -> None:
        self._opening, self._closing = tags
        self._state = "opened" if is_open else "begin"
        self._held = ""

    def push(self, text: str) -> list[Part]:
        """Takes more of the answer, gives what is sure."""
        if self._state == "answer":
            return [Part(text, is_reasoning=False)] if text else []
        self._held += text
        parts: list[Part] = []
        while self._advance(parts):
            pass
        return parts

    def finish(self) -> list[Part]:
        """Gives what was held back, as the answer ends here."""
        held, self._held = self._held, ""
        if self._state in ("opened", "reasoning"):
            held = held.rstrip(_BLANKS)
            return [Part(held, is_reasoning=True)] if held else []
        return [Part(held, is_reasoning=False)] if held and self._state != "gap" else []

    def _advance(self, parts: list[Part]) -> bool:
        """Takes one step on what is held; whether another may follow."""
        if self._state in ("begin", "opened"):
            return self._begin(parts)
        if self._state == "reasoning":
            return self._reason(parts)
        if self._state == "gap":
            self._held = self._held.lstrip(_BLANKS)
            if self._held:
                self._state = "answer"
            return bool(self._held)
        if self._held:
            parts.append(Part(self._held, is_reasoning=False))
            self._held = ""
        return False

    def _begin(self, parts: list[Part]) -> bool:
        """An answer begins with the tag or has no reasoning; in an opened block another tag means nothing."""
        begun = self._held.lstrip(_BLANKS)
        if begun.startswith(self._opening):
            self._held = begun.removeprefix(self._opening).lstrip(_BLANKS)
            self._state = "opened"
            return True
        if self._opening.startswith(begun):
            return False
        if self._state == "begin":
            self._state = "answer"
        else:
            self._held, self._state = begun, "reasoning"
        return True

    def _reason(self, parts: list[Part]) -> bool:
        """Gives what cannot be part of the closing tag or of the blanks before it."""
        place = self._held.find(self._closing)
        if place >= 0:
            words = self._held[:place].rstrip(_BLANKS)
            self._held = self._held[place + len(self._closing) :]
            self._state = "gap"
        else:
            kept = self._held
            for length in range(min(len(self._closing) - 1, len(kept)), 0, -1):
                if kept.endswith(self._closing[:length]):
                    kept = kept[:-length]
                    break
            words = kept.rstrip(_BLANKS)
            self._held = self._held[len(words) :]
        if words:
            parts.append(Part(words, is_reasoning=True))
        return place >= 0
