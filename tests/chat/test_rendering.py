"""Conversations become prompts by the template that the file has for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chat.cases import CALL, RESULT, SYSTEM, TOOL, USER
from chat.models import model
from edgewise import EngineConfig, GenerateOptions, InvalidArgument, UnsupportedError
from edgewise.chat.events import ReasoningDelta, TextDelta, ToolCall, joined
from edgewise.chat.rendering import ChatPrompts
from edgewise.engine.native import NativeEngine

SPECIAL = ["<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]", "<pad>"]
PLAIN = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"  # noqa: E501
THINKING = PLAIN + "{% if add_generation_prompt %}<think>\n{% endif %}"


def engine_of(tmp_path: Path, template: str | None, **more: str) -> NativeEngine:
    return NativeEngine(model(tmp_path / "model.gguf", SPECIAL, template, **more), EngineConfig(context_length=512))


def test_text_and_tokens_of_a_prompt(tmp_path: Path, templates: Path) -> None:
    source = (templates / "mistralai-Mistral-Nemo-Instruct-2407.jinja").read_text(encoding="utf-8")
    with engine_of(tmp_path, source) as engine:
        prompt = ChatPrompts(engine).render([{"role": "user", "content": "Hi"}])
        assert prompt.text == "<s>[INST]Hi[/INST]"
        assert prompt.tokens is not None
        assert engine.detokenize(prompt.tokens, special=True) == b"<s>[INST]Hi[/INST]"
        assert len(prompt.tokens) <= 5
        assert prompt.engine_prompt == prompt.tokens
        assert not prompt.is_thinking


def test_special_tokens_that_open_calls_are_shown(tmp_path: Path, templates: Path) -> None:
    source = (templates / "mistralai-Mistral-Nemo-Instruct-2407.jinja").read_text(encoding="utf-8")
    with engine_of(tmp_path, source) as engine:
        prompts = ChatPrompts(engine)
        with_tools, without = prompts.render([USER], tools=[TOOL]), prompts.render([USER])
        marks = [engine.tokenize(mark, parse_special=True, add_special=False) for mark in ("[TOOL_CALLS]", "[ARGS]")]
        assert with_tools.shown_tokens == {token for tokens in marks for token in tokens}
        assert without.shown_tokens == frozenset()
        assert prompts.takes_tools


def test_a_shown_token_is_part_of_the_answer(tmp_path: Path) -> None:
    with engine_of(tmp_path, PLAIN) as engine:
        (mark,) = engine.tokenize("[TOOL_CALLS]", parse_special=True, add_special=False)
        bias = {mark: 1000.0}
        hidden = GenerateOptions(temperature=0, max_tokens=2, logit_bias=bias)
        shown = GenerateOptions(temperature=0, max_tokens=2, logit_bias=bias, shown_tokens=frozenset({mark}))
        assert "".join(piece.text for piece in engine.generate("Hi", hidden)) == ""
        assert "".join(piece.text for piece in engine.generate("Hi", shown)) == "[TOOL_CALLS][TOOL_CALLS]"


def test_a_file_may_have_a_template_of_its_own_for_tools(tmp_path: Path) -> None:
    other = "TOOLS {{ tools[0].function.name }} <tool_call> {{ messages[-1].content }}"
    with engine_of(tmp_path, PLAIN, tool_use=other) as engine:
        prompts = ChatPrompts(engine)
        assert prompts.render([{"role": "user", "content": "Hi"}]).text == "<s>[user]Hi[assistant]"
        prompt = prompts.render([{"role": "user", "content": "Hi"}], tools=[TOOL])
        assert prompt.text == "TOOLS get_weather <tool_call> Hi"
        assert prompt.dialect.name == "hermes"


def test_a_template_of_the_caller_takes_the_place_of_the_files(tmp_path: Path) -> None:
    with engine_of(tmp_path, PLAIN) as engine:
        assert (
            ChatPrompts(engine, "{{ messages[0].content }}!").render([{"role": "user", "content": "Hi"}]).text == "Hi!"
        )


def test_without_a_template_there_is_no_chat(tmp_path: Path) -> None:
    with engine_of(tmp_path, None) as engine, pytest.raises(UnsupportedError, match="no chat template"):
        ChatPrompts(engine)


def test_tools_are_explained_where_the_template_shows_none(tmp_path: Path) -> None:
    with engine_of(tmp_path, PLAIN) as engine:
        prompts = ChatPrompts(engine)
        prompt = prompts.render([SYSTEM, USER, CALL, RESULT], tools=[TOOL])
        assert not prompts.takes_tools
        assert '"name": "get_weather"' in prompt.text
        assert prompt.text.index("You may call") < prompt.text.index("Be brief")
        reader = prompt.reader()
        events = [*reader.push('{"name": "get_weather", "arguments": {"city": "Bonn"}}'), *reader.finish()]
        assert events == [ToolCall(0, "get_weather", {"city": "Bonn"})]


def test_an_answer_begins_within_the_reasoning_that_the_prompt_opened(tmp_path: Path) -> None:
    with engine_of(tmp_path, THINKING) as engine:
        prompt = ChatPrompts(engine).render([USER])
        assert prompt.is_thinking
        reader = prompt.reader()
        events = [*reader.push("Hm.\n</think>\n\nYes."), *reader.finish()]
        assert joined(events) == [ReasoningDelta("Hm."), TextDelta("Yes.")]


def test_reasoning_that_the_prompt_opened_is_closed_where_none_is_wanted(tmp_path: Path) -> None:
    with engine_of(tmp_path, THINKING) as engine:
        prompt = ChatPrompts(engine).render([USER], thinking=False)
        assert prompt.text.endswith("<think>\n\n</think>\n\n")
        assert not prompt.is_thinking


@pytest.mark.parametrize(
    ("thinking", "expected"), [(None, "--"), (True, "True-"), (False, "False-"), ("high", "True-high")]
)
def test_templates_are_told_whether_to_think(tmp_path: Path, thinking: Any, expected: str) -> None:
    source = "{{ enable_thinking if enable_thinking is defined else '-' }}-{{ reasoning_effort }}{{ messages[0].x }}"
    with engine_of(tmp_path, source) as engine:
        assert ChatPrompts(engine).render([USER], thinking=thinking).text == expected


def test_variables_and_documents_reach_the_template(tmp_path: Path) -> None:
    with engine_of(tmp_path, "{{ documents[0].title }}{{ mood }}{{ messages | length }}") as engine:
        prompt = ChatPrompts(engine).render([USER], documents=[{"title": "T"}], variables={"mood": "!"})
        assert prompt.text == "T!1"


def test_an_answer_can_go_on_where_a_message_ends(tmp_path: Path) -> None:
    with engine_of(tmp_path, PLAIN + "END") as engine:
        talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "It is"}]
        assert ChatPrompts(engine).render(talk, continue_final_message=True).text == "<s>[user]a[assistant]It is"


@pytest.mark.parametrize(
    "tools",
    [
        [5],
        [{}],
        [{"type": "function"}],
        [{"type": "function", "function": {}}],
        [TOOL, TOOL],
        [{"type": "retrieval", "function": {"name": "f"}}],
        [{"type": "function", "function": {"name": "f", "parameters": 1}}],
    ],
)
def test_tools_of_another_form_are_refused(tmp_path: Path, tools: Any) -> None:
    with engine_of(tmp_path, PLAIN) as engine, pytest.raises(InvalidArgument, match="tools"):
        ChatPrompts(engine).render([USER], tools=tools)
