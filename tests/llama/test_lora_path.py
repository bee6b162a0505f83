"""`lora_path` and `lora_scale` mean what they mean in llama-cpp-python."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from edgewise import Llama
from edgewise.engine.models import DEMO
from edgewise.errors import InvalidArgument, ModelFileError, SystemRefused

Adapters = tuple[Path, Path]


def answer(llm: Llama) -> str:
    completion = llm("What is a model?", max_tokens=24, temperature=0)
    assert isinstance(completion, dict)
    return completion["choices"][0]["text"]


def text(**arguments: Any) -> str:
    with Llama(str(DEMO), verbose=False, **arguments) as llm:
        return answer(llm)


def test_an_adapter_changes_the_text_by_its_scale(demo_adapters: Adapters) -> None:
    path = str(demo_adapters[0])
    assert len({text(), text(lora_path=path, lora_scale=0.5), text(lora_path=path, lora_scale=-0.5)}) == 3
    assert text(lora_path=path, lora_scale=0) == text(lora_path="") == text(lora_base="base.gguf") == text()


def test_several_are_named_in_a_list(demo_adapters: Adapters) -> None:
    first, second = map(str, demo_adapters)
    both = text(lora_path=[first, second], lora_scale=[0.5, 0.25])
    assert both == text(lora_path=[first, second, first], lora_scale=[0.25, 0.25, 0.25])
    assert both != text(lora_path=first, lora_scale=0.5)
    assert text(lora_path=[first, second], lora_scale=0.25) == text(lora_path=[first, second], lora_scale=[0.25, 0.25])
    with pytest.raises(InvalidArgument, match="2 adapters, lora_scale has 1"):
        text(lora_path=[first, second], lora_scale=[1.0])


def test_a_copy_has_the_same_adapters(demo_adapters: Adapters) -> None:
    llm = Llama(str(DEMO), verbose=False, lora_path=str(demo_adapters[0]), lora_scale=0.5)
    with llm, pickle.loads(pickle.dumps(llm)) as copy:  # noqa: S301  our own bytes
        assert answer(copy) == answer(llm)


def test_an_adapter_that_does_not_load_is_a_runtime_error_in_the_words_of_llama_cpp_python(
    demo_adapters: Adapters, story_model: Path
) -> None:
    path, words = str(demo_adapters[0]), "^Failed to initialize LoRA adapter from lora path: "
    with pytest.raises(RuntimeError, match=words + r"nowhere\.gguf") as absent:
        text(lora_path="nowhere.gguf")
    assert isinstance(absent.value, SystemRefused)
    with pytest.raises(RuntimeError, match=words + path) as other:
        Llama(str(story_model), lora_path=path)
    assert isinstance(other.value, ModelFileError)
    assert isinstance(other.value, ValueError)


def test_a_state_of_other_adapters_is_refused(demo_adapters: Adapters) -> None:
    with Llama(str(DEMO), verbose=False) as plain, Llama(str(DEMO), lora_path=str(demo_adapters[0])) as adapted:
        plain.eval([1, 2, 3])
        with pytest.raises(InvalidArgument, match="another model"):
            adapted.load_state(plain.save_state())
