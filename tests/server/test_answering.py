"""What every surface builds on: requests become events, and cost what they say."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import pytest

from edgewise.chat.events import ReasoningDelta, TextDelta, ToolCall
from edgewise.errors import ContextFull, InvalidArgument, UnsupportedError
from edgewise.server.answering import Cost, Delta
from edgewise.server.ask import Ask, Format
from edgewise.server.state import State
from edgewise.store.creation import Recipe
from server.running import Running, StartServer

T = TypeVar("T")
QUESTION = [{"role": "user", "content": "What is a language model?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "maxLength": 10},
                "days": {"type": "integer", "maximum": 9, "minimum": 0},
            },
            "required": ["place", "days"],
            "additionalProperties": False,
        },
    },
}
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if tools %}{{ tools | tojson }}<tool_call></tool_call>{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is not false %}<think>\n{% endif %}{% endif %}"
)


def on_loop(running: Running, work: Callable[[State], Awaitable[T]]) -> T:
    """Runs something on the server's own event loop."""

    async def call() -> T:
        return await work(running.state)

    return asyncio.run_coroutine_threadsafe(call(), running.loop).result(60)


async def answered(state: State, **ask: Any) -> tuple[list[Delta], Cost]:
    given: dict[str, Any] = {"model": "demo", "arrived_s": time.perf_counter(), "sampling": {"temperature": 0.0}}
    async with state.answers.prepare(Ask(**{**given, **ask})) as prepared, prepared.start() as answer:
        deltas = [delta async for delta in answer]
        return deltas, answer.cost


def test_one_prompt_can_have_several_answers(demo: Running) -> None:
    async def work(state: State) -> list[str]:
        ask = Ask("demo", messages=QUESTION, sampling={"temperature": 1.0, "max_tokens": 20})
        texts = []
        async with state.answers.prepare(ask) as prepared:
            answers = [prepared.start(seed=seed) for seed in (1, 2, 1)]
            for answer in answers:
                async with answer:
                    texts.append("".join([d.event.text async for d in answer if isinstance(d.event, TextDelta)]))
        return texts

    first, second, third = on_loop(demo, work)
    assert first == third != second


def test_an_answer_says_what_it_cost(demo: Running) -> None:
    def ask(state: State) -> Awaitable[tuple[list[Delta], Cost]]:
        return answered(state, messages=[{"role": "user", "content": "Count what this costs."}])

    _, first = on_loop(demo, ask)
    deltas, second = on_loop(demo, ask)
    assert first.prompt_tokens == second.prompt_tokens == first.cached_tokens + first.evaluated_tokens
    assert second.cached_tokens > first.cached_tokens
    assert sum(len(delta.pieces) for delta in deltas) >= second.generated_tokens
    assert 0 < second.time_to_first_token_s < second.total_s
    assert second.inter_token_p50_s <= second.inter_token_p95_s


def test_an_answer_that_has_to_be_a_call_is_one(demo: Running) -> None:
    pytest.importorskip("llguidance", reason="pip install 'edgewise[serve]'")
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        asked = partial(answered, messages=QUESTION, tools=[WEATHER], tool_choice=choice)
        deltas, _ = on_loop(demo, asked)
        calls = [delta.event for delta in deltas if isinstance(delta.event, ToolCall)]
        assert calls[0].name == "weather"
        assert set(calls[0].arguments) == {"place", "days"}


def test_a_call_that_is_cut_short_is_told_to_nobody(demo: Running) -> None:
    pytest.importorskip("llguidance", reason="pip install 'edgewise[serve]'")
    asked = partial(
        answered,
        messages=QUESTION,
        tools=[WEATHER],
        tool_choice="required",
        sampling={"temperature": 0, "max_tokens": 8},
    )
    deltas, cost = on_loop(demo, asked)
    assert cost.generated_tokens == 8
    assert [delta.event for delta in deltas if delta.event is not None] == []


def test_a_choice_of_a_tool_that_is_not_there_is_refused(demo: Running) -> None:
    pytest.importorskip("llguidance", reason="pip install 'edgewise[serve]'")
    choice = {"function": {"name": "time"}}
    with pytest.raises(InvalidArgument, match="time"):
        on_loop(demo, lambda state: answered(state, messages=QUESTION, tools=[WEATHER], tool_choice=choice))


def test_reasoning_is_told_apart_and_a_form_holds_behind_it(start: StartServer) -> None:
    pytest.importorskip("llguidance", reason="pip install 'edgewise[serve]'")
    running = start("demo")
    running.store.create("thinker", Recipe(source="demo", template=THINKING))

    def ask(state: State, **more: Any) -> Awaitable[tuple[list[Delta], Cost]]:
        return answered(state, model="thinker", messages=QUESTION, **more)

    deltas, _ = on_loop(running, ask)
    assert deltas
    assert all(isinstance(delta.event, ReasoningDelta) for delta in deltas if delta.event is not None)
    deltas, _ = on_loop(running, lambda state: ask(state, think=False))
    assert any(isinstance(delta.event, TextDelta) for delta in deltas)
    schema = Format(
        "json_schema",
        {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False},
    )
    deltas, _ = on_loop(running, lambda state: ask(state, think=False, format=schema))
    assert set(json.loads("".join(d.event.text for d in deltas if isinstance(d.event, TextDelta)))) == {"a"}


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        (Format("regex", "(yes|no)"), r"yes|no"),
        (Format("gbnf", 'root ::= "a" [0-9]'), r"a\d"),
        (Format("lark", 'start: "b"'), "b"),
    ],
)
def test_grammars_of_every_language_hold(demo: Running, form: Format, pattern: str) -> None:
    pytest.importorskip("llguidance", reason="pip install 'edgewise[serve]'")
    import re

    deltas, _ = on_loop(demo, lambda state: answered(state, messages=QUESTION, format=form))
    assert re.fullmatch(pattern, "".join(d.event.text for d in deltas if isinstance(d.event, TextDelta)))


def test_a_prompt_of_tokens_is_taken_as_it_is(demo: Running) -> None:
    _, cost = on_loop(demo, lambda state: answered(state, prompt=[1, 85, 91], sampling={"max_tokens": 1}))
    assert cost.prompt_tokens == 3
    with pytest.raises(InvalidArgument, match="token 5000 is not one of the 2048"):
        on_loop(demo, lambda state: answered(state, prompt=[5000]))


def test_a_wanted_context_bounds_prompt_and_answer(demo: Running) -> None:
    with pytest.raises(ContextFull, match=r"the prompt has \d+ tokens, the context window 8"):
        on_loop(demo, lambda state: answered(state, messages=QUESTION, context_length=8))
    _, cost = on_loop(demo, lambda state: answered(state, messages=QUESTION, context_length=20))
    assert cost.prompt_tokens + cost.generated_tokens <= 20


def test_what_a_model_does_not_do_is_said(demo: Running) -> None:
    with pytest.raises(UnsupportedError, match="does not support thinking"):
        on_loop(demo, lambda state: answered(state, messages=QUESTION, think=True))
    with pytest.raises(UnsupportedError, match="does not support insert"):
        on_loop(demo, lambda state: answered(state, prompt="a", suffix="b"))


def test_nothing_is_held_after_an_answer(demo: Running) -> None:
    on_loop(demo, lambda state: answered(state, messages=QUESTION))
    asks: list[dict[str, Any]] = [{"messages": QUESTION, "think": True}, {"prompt": [5000]}]
    for ask in asks:
        with pytest.raises((UnsupportedError, InvalidArgument)):
            on_loop(demo, partial(answered, **ask))
    assert all(model.leases == 0 and model.batch.active == 0 for model in demo.state.models.loaded)
