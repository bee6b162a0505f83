"""Models without a chat template: they complete what they are given, on every endpoint."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("gguf")
pytest.importorskip("numpy")

from chat.models import model
from edgewise.config import EngineConfig
from edgewise.store.creation import Recipe
from server.running import Running


@pytest.fixture(scope="module")
def base(
    _serve: Callable[..., tuple[Running, Callable[[], None]]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A server of a model that has no template."""
    folder = tmp_path_factory.mktemp("untemplated")
    path = model(folder / "base.gguf", ["<s>", "</s>"])
    running, stop = _serve(folder, [str(path)], EngineConfig(prompt_cache_bytes=0))
    try:
        running.store.create("base-of-ada", Recipe(source=path, system="You are Ada."))
        yield running
    finally:
        stop()


def post(running: Running, path: str, **body: Any) -> Any:
    data = json.dumps({"model": "base", "stream": False, "max_tokens": 2, **body}).encode()
    with urllib.request.urlopen(f"{running.url}{path}", data) as answer:  # noqa: S310  the server of this test
        return json.load(answer)


def heard(running: Running, **body: Any) -> list[int]:
    """The tokens that the model got."""
    reply = post(running, "/api/generate", options={"num_predict": 1}, **body)
    assert reply["response"]
    return list(reply["context"][: reply["prompt_eval_count"]])


def test_a_prompt_reaches_the_model_as_it_is(base: Running) -> None:
    prompt = "What is AI?"
    assert heard(base, prompt=prompt) == heard(base, prompt=prompt, raw=True)


def test_the_system_text_stands_before_the_prompt(base: Running) -> None:
    both = heard(base, prompt="You are Ada.\n\nWho are you?", raw=True)
    assert heard(base, system="You are Ada.", prompt="Who are you?") == both
    assert heard(base, model="base-of-ada", prompt="Who are you?") == both


def test_an_answer_goes_on_from_its_context(base: Running) -> None:
    first = post(base, "/api/generate", prompt="One", options={"num_predict": 2})
    second = post(base, "/api/generate", prompt="two", context=first["context"], options={"num_predict": 2})
    assert second["context"][: len(first["context"])] == first["context"]


def test_messages_of_a_chat_stand_one_behind_the_other(base: Running) -> None:
    messages = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "two"}]
    messages.append({"role": "user", "content": "three"})
    count = len(heard(base, prompt="One\n\ntwo\n\nthree", raw=True))
    assert post(base, "/api/chat", messages=messages, options={"num_predict": 1})["prompt_eval_count"] == count
    assert post(base, "/v1/chat/completions", messages=messages)["usage"]["prompt_tokens"] == count
    assert post(base, "/v1/messages", messages=messages)["usage"]["output_tokens"] == 2
