"""A conversation puts messages into the file's own template and remembers them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewise import EngineConfig, GenerateOptions, InvalidArgument
from edgewise.chat.conversation import Conversation
from edgewise.engine.native import NativeEngine

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


class Talker(NativeEngine):
    """The story model with a chat template; it writes down what it is asked."""

    def __init__(self, path: Path, template: str | None = TEMPLATE) -> None:
        super().__init__(path, EngineConfig(context_length=256))
        self.asked: list[str] = []
        if template is not None:
            self.metadata = {**self._file.metadata(), "tokenizer.chat_template": template}

    def generate(self, prompt: Any, *arguments: Any, **options: Any) -> Any:
        self.asked.append(prompt if isinstance(prompt, str) else self.detokenize(prompt, special=True).decode())
        return super().generate(prompt, *arguments, **options)


@pytest.fixture
def engine(story_model: Path) -> Iterator[Talker]:
    with Talker(story_model) as talker:
        yield talker


OPTIONS = GenerateOptions(temperature=0, max_tokens=4)


def test_messages_and_answers_are_remembered_until_cleared(engine: Talker) -> None:
    conversation = Conversation(engine, OPTIONS, system="S")
    answer = "".join(piece.text for piece in conversation.ask("a"))
    conversation.answered(answer)
    conversation.ask("b")
    conversation.clear()
    conversation.ask("c")
    assert engine.asked == [
        "<s>[system]S[user]a[assistant]",
        f"<s>[system]S[user]a[assistant]{answer}[user]b[assistant]",
        "<s>[system]S[user]c[assistant]",
    ]


def test_the_second_question_finds_the_first_in_the_cache(engine: Talker) -> None:
    conversation = Conversation(engine, OPTIONS)
    first = conversation.ask("Once upon a time")
    conversation.answered("".join(piece.text for piece in first))
    second = conversation.ask("And then?")
    list(second)
    assert second.timings.cached_tokens >= first.prompt_tokens - 1


def test_a_question_without_an_answer_can_be_taken_back(engine: Talker) -> None:
    conversation = Conversation(engine, OPTIONS)
    conversation.ask("a")
    conversation.take_back()
    assert conversation.messages == []


def test_raw_gives_the_prompt_as_it_is(engine: Talker) -> None:
    conversation = Conversation(engine, OPTIONS, is_raw=True)
    conversation.ask("Once")
    assert engine.asked == ["Once"]
    assert not conversation.has_template


def test_a_system_message_needs_a_template(story_model: Path, engine: Talker) -> None:
    with pytest.raises(InvalidArgument, match="--raw"):
        Conversation(engine, OPTIONS, system="S", is_raw=True)
    with Talker(story_model, template=None) as bare, pytest.raises(InvalidArgument, match="no chat template"):
        Conversation(bare, OPTIONS, system="S")


def test_a_new_system_message_starts_anew(engine: Talker) -> None:
    conversation = Conversation(engine, OPTIONS)
    conversation.ask("a")
    conversation.set_system("S")
    assert conversation.messages == [{"role": "system", "content": "S"}]


def test_a_template_that_is_given_replaces_the_files_own(engine: Talker) -> None:
    conversation = Conversation(engine, OPTIONS, template="{{ messages[-1].content }}!")
    conversation.ask("Once")
    assert engine.asked == ["Once!"]


def test_every_conversation_begins_with_what_was_said_before(engine: Talker) -> None:
    said = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}]
    conversation = Conversation(engine, OPTIONS, system="S", beginning=said)
    conversation.ask("a")
    conversation.clear()
    assert conversation.messages == [{"role": "system", "content": "S"}, *said]
