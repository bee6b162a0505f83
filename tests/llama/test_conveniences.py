"""What callers of the original find on a Llama beside completions and chats."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edgewise import Llama
from edgewise.errors import UnsupportedError

np = pytest.importorskip("numpy")


def test_the_tokenizer_alone_encodes_and_decodes(llm: Llama) -> None:
    tokenizer = llm.tokenizer()
    assert tokenizer.encode("Once upon a time") == llm.tokenize(b"Once upon a time", True, True)
    assert tokenizer.decode(tokenizer.encode("Once upon a time")) == "Once upon a time"


def test_the_state_shows_threads_tokens_and_no_cache(llm: Llama) -> None:
    llm.eval([1, 403])
    assert llm.n_threads >= 1
    assert llm.input_ids.tolist() == [1, 403]
    assert llm.cache is None


def test_logprobs_of_logits_sum_to_one() -> None:
    logprobs = Llama.logits_to_logprobs(np.array([[1.0, 2.0, 3.0]]))
    assert math.isclose(float(np.exp(logprobs).sum()), 1, rel_tol=1e-6)
    assert logprobs.argmax() == 2


@pytest.mark.parametrize(("a", "b", "shared"), [([], [1], 0), ([1, 2, 3], [1, 2, 4], 2), ([1], [1, 2], 1)])
def test_the_longest_shared_prefix(a: list[int], b: list[int], shared: int) -> None:
    assert Llama.longest_token_prefix(a, b) == shared


def test_the_types_of_the_openai_package_need_it(llm: Llama) -> None:
    messages = [{"role": "user", "content": "Once"}]
    try:
        import openai  # noqa: F401
    except ImportError:
        with pytest.raises(UnsupportedError, match="openai"):
            llm.create_chat_completion_openai_v1(messages, max_tokens=4)
    else:
        assert llm.create_chat_completion_openai_v1(messages, max_tokens=4).choices[0].message.content


def test_no_tools_are_no_tools(llm: Llama) -> None:
    messages = [{"role": "user", "content": "Once"}]
    completion: Any = llm.create_chat_completion(messages, max_tokens=2, tools=[], functions=[])
    assert completion["choices"]
