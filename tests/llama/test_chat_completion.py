"""Answers to messages are the dicts that llama-cpp-python gives. Expected values were made with its version 0.3.36."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from edgewise import Llama, UnsupportedError
from edgewise.dropin import chat
from edgewise.errors import InvalidArgument, ModelFileError

HELLO = [{"role": "user", "content": "Hello"}]


def test_without_a_template_llama_2_is_the_format(llm: Llama, story_model: Path) -> None:
    answer: Any = llm.create_chat_completion(
        [{"role": "system", "content": "You are"}, *HELLO], temperature=0, max_tokens=8
    )
    assert llm.chat_format == "llama-2"
    assert re.fullmatch(r"chatcmpl-[0-9a-f-]{36}", answer.pop("id"))
    assert isinstance(answer.pop("created"), int)
    assert answer == {
        "object": "chat.completion",
        "model": str(story_model),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": ". What is that"},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": {"prompt_tokens": 41, "completion_tokens": 8, "total_tokens": 49},
    }


def test_a_stream_names_the_role_first(llm: Llama) -> None:
    chunks: list[Any] = list(llm.create_chat_completion(HELLO, temperature=0, max_tokens=3, stream=True))
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant"},
        {"content": "."},
        {"content": " "},
        {"content": "A"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, None, "length"]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_log_probabilities_come_token_by_token(story_model: Path) -> None:
    with Llama(model_path=str(story_model), logits_all=True, verbose=False) as llm:
        answer: Any = llm.create_chat_completion(HELLO, temperature=0, max_tokens=3, logprobs=True, top_logprobs=1)
    content = answer["choices"][0]["logprobs"]["content"]
    assert [token["token"] for token in content] == [".", " ", "A"]
    assert list(content[0]) == ["token", "bytes", "logprob", "top_logprobs"]
    assert list(content[0]["top_logprobs"][0]) == ["token", "logprob", "bytes"]


def test_a_format_can_be_named(story_model: Path) -> None:
    with Llama(model_path=str(story_model), chat_format="chatml", verbose=False) as llm:
        answer: Any = llm.create_chat_completion(HELLO, max_tokens=2)
    assert answer["usage"]["prompt_tokens"] > 20


def test_an_unknown_format_is_named(story_model: Path) -> None:
    with (
        Llama(model_path=str(story_model), chat_format="functionary-v2", verbose=False) as llm,
        pytest.raises(UnsupportedError, match="functionary-v2"),
    ):
        llm.create_chat_completion(HELLO)


@pytest.mark.parametrize("messages", [["Hello"], [{"content": "Hello"}], [{"role": "user", "content": 5}]])
def test_messages_that_are_none_are_refused(llm: Llama, messages: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"message"):
        llm.create_chat_completion(messages)


def test_a_template_that_is_no_text_is_a_fault_of_the_file() -> None:
    metadata: dict[str, object] = {"tokenizer.chat_template": 5}
    with pytest.raises(ModelFileError, match=r"tokenizer\.chat_template"):
        chat.template_source(metadata, chat.default_format(metadata))
