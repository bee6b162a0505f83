"""Completions are the dicts that llama-cpp-python gives. Expected values were made with its version 0.3.36."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewise import Llama, UnsupportedError
from edgewise.errors import ContextFull, InvalidArgument, ModelFileError, SystemRefused

ONCE = "Once upon a time"
STORY = (
    ", there was a little girl named Lily. She loved to play outside in the park. "
    "One day, she saw a big, red ball. She wanted to play with it, but it was too high."
)


def complete(llm: Llama, prompt: str | list[int] = ONCE, **arguments: Any) -> Any:
    return llm(prompt, temperature=0, **arguments)


def text_of(completion: Any) -> str:
    text: str = completion["choices"][0]["text"]
    return text


def test_the_snippet_of_the_readme_runs_silently(story_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    llm = Llama(model_path=str(story_model), n_gpu_layers=-1, n_threads=8, n_batch=512, n_ctx=2048, verbose=False)
    answer = llm("What is machine learning?", max_tokens=256, temperature=0.7, echo=False)
    assert isinstance(answer, dict)
    assert isinstance(answer["choices"][0]["text"], str)
    assert llm.n_ctx() == 2048
    assert capfd.readouterr() == ("", "")


def test_the_story_model_tells_its_story(llm: Llama) -> None:
    assert text_of(complete(llm, max_tokens=128)).startswith(STORY)
    assert text_of(complete(llm, "Tom had a red ball", max_tokens=32)).startswith(". He liked to play with his toys.")


def test_a_completion_has_the_known_shape(llm: Llama, story_model: Path) -> None:
    before = int(time.time())
    completion = complete(llm)
    assert list(completion) == ["id", "object", "created", "model", "choices", "usage"]
    assert re.fullmatch(r"cmpl-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", completion["id"])
    assert before <= completion["created"] <= time.time()
    del completion["id"], completion["created"]
    assert completion == {
        "object": "text_completion",
        "model": str(story_model),
        "choices": [
            {
                "text": ", there was a little girl named Lily. She loved to play",
                "index": 0,
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 16, "total_tokens": 21},
    }


def test_a_stream_has_a_chunk_per_token_and_one_that_says_why_it_ended(llm: Llama) -> None:
    chunks: list[Any] = list(complete(llm, max_tokens=6, stream=True))
    assert [chunk["choices"][0] for chunk in chunks] == [
        *(
            {"text": text, "index": 0, "logprobs": None, "finish_reason": None}
            for text in (",", " there", " was", " a", " little", " g")
        ),
        {"text": "", "index": 0, "logprobs": None, "finish_reason": "length"},
    ]
    assert {tuple(chunk) for chunk in chunks} == {("id", "object", "created", "model", "choices")}
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_a_stream_and_a_whole_completion_say_the_same(llm: Llama) -> None:
    arguments: dict[str, Any] = {"max_tokens": 80, "stop": ["ball"]}
    stream: Iterator[Any] = complete(llm, stream=True, **arguments)
    assert "".join(text_of(chunk) for chunk in stream) == text_of(complete(llm, **arguments))


@pytest.mark.parametrize(
    ("stop", "text", "tokens"),
    [
        (["Lily", "park"], ", there was a little girl named ", 10),
        (" girl na", ", there was a little", 9),
        ([], ", there was a little girl named Lily. She loved to play", 16),
        (None, ", there was a little girl named Lily. She loved to play", 16),
    ],
)
def test_a_stop_text_ends_the_answer_across_token_borders(
    llm: Llama, stop: list[str] | str | None, text: str, tokens: int
) -> None:
    completion = complete(llm, stop=stop)
    assert text_of(completion) == text
    assert completion["usage"]["completion_tokens"] == tokens
    assert completion["choices"][0]["finish_reason"] == ("stop" if stop else "length")


def test_echo_puts_the_prompt_first(llm: Llama) -> None:
    assert text_of(complete(llm, max_tokens=4, echo=True)) == "Once upon a time, there was a"


def test_a_prompt_may_be_tokens(llm: Llama) -> None:
    completion = complete(llm, llm.tokenize(ONCE.encode()), max_tokens=5)
    assert text_of(completion) == ", there was a little"
    assert completion["usage"] == {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}


def test_an_empty_prompt_begins_with_the_bos_token_which_counts(llm: Llama) -> None:
    completion = complete(llm, "", max_tokens=5)
    assert text_of(completion) == ONCE
    assert completion["usage"] == {"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6}


@pytest.mark.parametrize("unlimited", [None, 0, -1])
def test_without_a_limit_the_context_is_filled(llm: Llama, unlimited: int | None) -> None:
    completion = complete(llm, max_tokens=unlimited)
    assert completion["usage"] == {"prompt_tokens": 5, "completion_tokens": 507, "total_tokens": 512}
    assert completion["choices"][0]["finish_reason"] == "length"


def test_the_model_can_go_by_another_name(llm: Llama) -> None:
    assert complete(llm, max_tokens=1, model="mine")["model"] == "mine"


def test_logit_bias_takes_ids_as_numbers_or_text(llm: Llama) -> None:
    assert text_of(complete(llm, max_tokens=5, logit_bias={"403": 100.0})) == " Once Once Once Once Once"
    assert text_of(complete(llm, max_tokens=2, logit_bias={403: 100.0})) == " Once Once"


def test_penalties_change_the_text_as_they_do_there(llm: Llama) -> None:
    assert text_of(complete(llm, max_tokens=100, repeat_penalty=1.3)) == (
        ", there was a little girl named Lily. She loved to play outside in the park with her friends. One day, she "
        "saw something unexpected happened. There were many coins and balls!\nLily was so happy that she dropped it on "
        "a table to the park. She found"
    )
    assert text_of(complete(llm, max_tokens=60, frequency_penalty=0.5, presence_penalty=0.5)) == (
        ", there was a little girl named Lily. She loved to play outside in the park with her friends. One day, she "
        "saw a big box of chair on the ground. She wanted to see"
    )


def test_the_same_seed_gives_the_same_text(llm: Llama) -> None:
    first, second, other = (text_of(llm(ONCE, max_tokens=40, temperature=1.5, seed=seed)) for seed in (7, 7, 8))
    assert first == second != other


def test_without_a_seed_two_completions_differ_and_two_programs_do_not(story_model: Path) -> None:
    texts = []
    for _ in range(2):
        with Llama(model_path=str(story_model), verbose=False) as llm:
            texts.append([text_of(llm(ONCE, max_tokens=40, temperature=1.5)) for _ in range(2)])
    assert texts[0] == texts[1]
    assert texts[0][0] != texts[0][1]


def test_a_negative_temperature_samples_from_the_plain_distribution(llm: Llama) -> None:
    assert llm(ONCE, temperature=-1.0, max_tokens=4, seed=1) is not None
    assert text_of(llm(ONCE, temperature=1.0, mirostat_mode=2, max_tokens=4, seed=1))


def test_log_probabilities_need_logits_all(llm: Llama) -> None:
    with pytest.raises(ValueError, match="logprobs is not supported for models created with logits_all=False"):
        llm(ONCE, logprobs=1)


def test_log_probabilities_have_the_known_shape(story_model: Path) -> None:
    with Llama(model_path=str(story_model), logits_all=True, verbose=False) as llm:
        plain = complete(llm, "Once upon", max_tokens=3, logprobs=2)["choices"][0]["logprobs"]
        echoed = complete(llm, "Once upon", max_tokens=3, logprobs=2, echo=True)["choices"][0]["logprobs"]
        streamed = [
            chunk["choices"][0]["logprobs"]
            for chunk in complete(llm, "Once upon", max_tokens=3, logprobs=2, stream=True)
        ]
    assert plain == {
        "tokens": [" a", " time", ","],
        "text_offset": [9, 11, 16],
        "token_logprobs": pytest.approx([-0.012, -0.001, -0.032], abs=2e-3),
        "top_logprobs": [
            pytest.approx({" a": -0.012, " upon": -5.439}, abs=1e-2),
            pytest.approx({" time": -0.001, "re": -7.852}, abs=1e-2),
            pytest.approx({",": -0.032, " there": -3.548}, abs=1e-2),
        ],
    }
    assert echoed["tokens"] == [" Once", " upon", " a", " time", ","]
    assert echoed["text_offset"] == [0, 5, 10, 12, 17]
    assert echoed["token_logprobs"][0] is echoed["top_logprobs"][0] is None
    assert echoed["token_logprobs"][1:] == pytest.approx([-0.018, -0.012, -0.001, -0.032], abs=2e-3)
    assert [logprobs["tokens"] for logprobs in streamed[:-1]] == [[" a"], [" time"], [","]]
    assert [logprobs["text_offset"] for logprobs in streamed[:-1]] == [[9], [11], [16]]
    assert streamed[-1] is None


def test_a_prompt_that_exceeds_the_context_is_a_value_error(llm: Llama) -> None:
    with pytest.raises(ValueError, match=r"^Requested tokens \(802\) exceed context window of 512$") as caught:
        llm("a b c d " * 200)
    assert isinstance(caught.value, ContextFull)


def test_a_path_that_does_not_exist_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^Model path does not exist: /nowhere\.gguf$"):
        Llama(model_path="/nowhere.gguf")


def test_a_file_that_is_no_model_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF but not really")
    with pytest.raises(ValueError, match=f"^Failed to load model from file: {re.escape(str(path))}") as caught:
        Llama(model_path=str(path))
    assert isinstance(caught.value, ModelFileError)


def test_an_empty_path_does_not_exist() -> None:
    with pytest.raises(ValueError, match=r"^Model path does not exist: $"):
        Llama(model_path="")


@pytest.mark.parametrize("path", [Path(__file__).parent, Path(os.devnull)], ids=["folder", "device"])
def test_what_is_no_file_is_a_value_error_that_says_what_it_is(path: Path) -> None:
    with pytest.raises(ValueError, match=f"^Failed to load model from file: {re.escape(str(path))}: is a "):
        Llama(model_path=str(path))


def test_a_model_that_no_engine_runs_is_a_value_error_and_unsupported(
    story_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWISE_ENGINE", "native")
    path = tmp_path / "other.gguf"
    path.write_bytes(story_model.read_bytes().replace(b"llama", b"lmaal"))
    with pytest.raises(UnsupportedError, match=f"^Failed to load model from file: {re.escape(str(path))}") as caught:
        Llama(model_path=str(path))
    assert isinstance(caught.value, ValueError)


def test_memory_that_is_not_there_is_a_value_error_and_refused_by_the_system(story_model: Path) -> None:
    with pytest.raises(SystemRefused, match=r"^Failed to load model from file") as caught:
        Llama(model_path=str(story_model), n_ctx=2**31 - 1)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "argument",
    [
        {"kv_overrides": {"a": 1}},
        {"chat_handler": object()},
        {"rope_freq_base": 1e6},
        {"tokenizer": object()},
        {"type_k": 2},
        {"pooling_type": 4},
    ],
)
def test_what_is_not_there_is_named_in_the_constructor(story_model: Path, argument: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match=next(iter(argument))):
        Llama(model_path=str(story_model), **argument)


@pytest.mark.parametrize("argument", [{"suffix": "end"}, {"mirostat_mode": 1}])
def test_what_is_not_there_is_named_in_a_completion(llm: Llama, argument: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match=next(iter(argument))):
        llm(ONCE, **argument)


def test_from_pretrained_is_not_there() -> None:
    with pytest.raises(UnsupportedError, match="from_pretrained"):
        Llama.from_pretrained("someone/something", "*.gguf")


@pytest.mark.parametrize(
    "option",
    [
        {"temperature": float("nan")},
        {"temperature": 10**400},
        {"temperature": "warm"},
        {"repeat_penalty": 0.0},
        {"logit_bias": {10**12: 1}},
        {"logit_bias": {"a": 1}},
        {"logit_bias": {1: "much"}},
        {"stop": [5]},
        {"stop": ["\ud800"]},
        {"seed": "x"},
        {"top_k": 1.5},
    ],
)
def test_an_option_out_of_range_is_named(llm: Llama, option: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(option))):
        llm(ONCE, **option)


def test_more_tokens_than_there_are_means_all(llm: Llama) -> None:
    every = text_of(llm(ONCE, max_tokens=8, seed=1, temperature=1.5, top_k=0))
    assert text_of(llm(ONCE, max_tokens=8, seed=1, temperature=1.5, top_k=10**30)) == every
    assert len(llm.tokenize(text_of(llm(ONCE, max_tokens=10**30)).encode())) > 1


@pytest.mark.parametrize(
    "argument",
    [
        {"n_ctx": 10**30},
        {"n_ctx": -1},
        {"n_ctx": "many"},
        {"n_threads": -1},
        {"n_threads": 1.5},
        {"n_batch": None},
        {"seed": "x"},
        {"last_n_tokens_size": "x"},
        {"pooling_type": "mean"},
    ],
)
def test_a_number_out_of_range_is_named_in_the_constructor(story_model: Path, argument: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(argument))):
        Llama(model_path=str(story_model), **argument)


def test_more_threads_and_batch_than_there_can_be_are_clamped(story_model: Path) -> None:
    with Llama(model_path=str(story_model), n_threads=10**30, n_batch=10**30, verbose=False) as llm:
        assert llm.n_batch == 512
        assert text_of(llm(ONCE, temperature=0)).startswith(", there was")


@pytest.mark.parametrize("seed", [-1, 0xFFFFFFFF])
def test_the_seeds_that_ask_for_any_seed_differ_each_time(llm: Llama, seed: int) -> None:
    def one() -> str:
        return text_of(llm(ONCE, max_tokens=40, temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, seed=seed))

    assert len({one() for _ in range(3)}) > 1


def test_an_instance_may_start_from_any_seed(story_model: Path) -> None:
    texts = set()
    for _ in range(3):
        with Llama(model_path=str(story_model), seed=-1, verbose=False) as llm:
            texts.add(text_of(llm(ONCE, max_tokens=40, temperature=1.5)))
    assert len(texts) > 1
