"""Reasoning is split from the answer, wherever the text is cut."""

from __future__ import annotations

import pytest

from edgewise.chat.dialects import GENERIC
from edgewise.chat.events import Event, ReasoningDelta, TextDelta, joined
from edgewise.chat.reader import AnswerReader
from edgewise.chat.reasoning import TAGS, is_opened_by, tags_of

# transcript, whether the prompt opened the reasoning, events
TRANSCRIPTS: list[tuple[str, bool, list[Event]]] = [
    ("<think>\nHm.\n</think>\n\nYes.", False, [ReasoningDelta("Hm."), TextDelta("Yes.")]),
    ("\n<think>Hm.</think>Yes.", False, [ReasoningDelta("Hm."), TextDelta("Yes.")]),
    ("<think>\n\n</think>\n\nYes.", False, [TextDelta("Yes.")]),
    ("Hm.\n\nA </thi? \n</think>\n\nYes.", True, [ReasoningDelta("Hm.\n\nA </thi?"), TextDelta("Yes.")]),
    ("<think>\nHm.\n</think>Yes.", True, [ReasoningDelta("Hm."), TextDelta("Yes.")]),
    ("<think>\nHm. I wonder", False, [ReasoningDelta("Hm. I wonder")]),
    ("Hm. I wonder </thi", True, [ReasoningDelta("Hm. I wonder </thi")]),
    ("", True, []),
    ("  Yes. ", False, [TextDelta("  Yes. ")]),
    ("Yes, <think> is a tag.", False, [TextDelta("Yes, <think> is a tag.")]),
    ("<thin", False, [TextDelta("<thin")]),
    ("<think>a</think>b<think>c</think>", False, [ReasoningDelta("a"), TextDelta("b<think>c</think>")]),
    ("<think>Hm.</think>  ", False, [ReasoningDelta("Hm.")]),
]


def events_of(pieces: list[str], *, is_thinking: bool, tags: tuple[str, str] | None = TAGS[0]) -> list[Event]:
    reader = AnswerReader(GENERIC, tags=tags, is_thinking=is_thinking)
    events = [event for piece in pieces for event in reader.push(piece)]
    return joined([*events, *reader.finish()])


@pytest.mark.parametrize(("text", "is_thinking", "expected"), TRANSCRIPTS)
def test_reasoning_and_answer_part_wherever_the_text_is_cut(
    text: str, is_thinking: bool, expected: list[Event]
) -> None:
    assert events_of([text], is_thinking=is_thinking) == expected
    assert events_of(list(text), is_thinking=is_thinking) == expected
    for cut in range(len(text)):
        assert events_of([text[:cut], text[cut:]], is_thinking=is_thinking) == expected


@pytest.mark.parametrize("tags", TAGS)
def test_every_pair_of_tags_is_known(tags: tuple[str, str]) -> None:
    text = f"{tags[0]}\nHm.\n{tags[1]}\n\nYes."
    assert events_of(list(text), is_thinking=False, tags=tags) == [ReasoningDelta("Hm."), TextDelta("Yes.")]
    assert tags_of(f"{{% if x %}}{tags[0]}{{% endif %}}") == tags


def test_without_tags_reasoning_stays_in_the_text() -> None:
    assert events_of(["<think>a</think>b"], is_thinking=False, tags=None) == [TextDelta("<think>a</think>b")]


def test_a_prompt_may_open_the_reasoning() -> None:
    assert is_opened_by("<|im_start|>assistant\n<think>\n", TAGS[0])
    assert not is_opened_by("<|im_start|>assistant\n<think>\n\n</think>\n\n", TAGS[0])


def test_reasoning_comes_as_it_is_written() -> None:
    reader = AnswerReader(GENERIC)
    assert reader.push("<think>\nOne") == [ReasoningDelta("One")]
    assert reader.push(" two") == [ReasoningDelta(" two")]
