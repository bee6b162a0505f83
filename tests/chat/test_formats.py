"""Chat formats by name write the prompts that llama-cpp-python writes for those names."""

from __future__ import annotations

import pytest

from edgewise.chat.formats import FORMATS, named, text_of
from edgewise.chat.template import Message
from edgewise.errors import InvalidArgument, UnsupportedError

TALK: list[Message] = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"},
]

# Made with llama-cpp-python 0.3.36.
EXPECTED = {
    "llama-2": "[INST] <<SYS>>\nS\n<</SYS>> a [/INST]b </s><s>[INST]c  [/INST]",
    "llama-3": "<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\na<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nb<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nc<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
    "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n",
    "qwen": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
    "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n",
    "gemma": "<start_of_turn>user\na<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n"
    "<start_of_turn>user\nc<end_of_turn>\n<start_of_turn>model\n",
    "mistral-instruct": "[INST] a [/INST]b</s>[INST] c [/INST]",
    "zephyr": "<|system|>\nS</s>\n<|user|>\n\na</s>\n<|assistant|>\n\nb</s>\n<|user|>\n\nc</s>\n<|assistant|>\n\n",
}


def test_every_format_is_checked() -> None:
    assert EXPECTED.keys() == FORMATS.keys()


@pytest.mark.parametrize("name", FORMATS)
def test_a_talk_becomes_the_known_prompt(name: str) -> None:
    assert named(name).render(TALK) == EXPECTED[name]


def test_an_unknown_format_is_named_beside_the_known_ones() -> None:
    with pytest.raises(UnsupportedError, match="functionary") as caught:
        named("functionary")
    assert caught.value.hint is not None
    assert "chatml" in caught.value.hint


def test_content_may_be_a_list_of_text_parts() -> None:
    assert text_of({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}) == "ab"
    assert text_of({"role": "assistant", "content": None}) == ""


def test_content_that_is_not_text_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="text"):
        text_of({"role": "user", "content": [{"type": "image_url", "image_url": "x"}]})
