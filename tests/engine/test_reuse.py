"""What prompts have in common is computed once, whichever of the last conversations it is from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import edgewise
from edgewise import EngineConfig, GenerateOptions, Llama
from edgewise.engine.native import NativeEngine

GREEDY = GenerateOptions(temperature=0, max_tokens=8)
OPENINGS = ["Once upon a time", "Tom had a red ball", "Lily saw a big cat", "The sun was hot"]


def converse(engine: edgewise.Engine, openings: list[str], rounds: int) -> list[list[int]]:
    """Lets conversations take turns; gives how many tokens each of their prompts had to evaluate."""
    texts = list(openings)
    evaluated: list[list[int]] = [[] for _ in openings]
    for _ in range(rounds):
        for i, text in enumerate(texts):
            answer = engine.generate(text, GREEDY)
            texts[i] = text + "".join(piece.text for piece in answer) + " And then"
            timings = answer.timings
            assert timings.cached_tokens + timings.evaluated_tokens == answer.prompt_tokens
            evaluated[i].append(timings.evaluated_tokens)
    return evaluated


def test_conversations_that_take_turns_each_find_their_own_beginning(story_model: Path) -> None:
    with NativeEngine(story_model, EngineConfig(context_length=512)) as engine:
        for first, *later in converse(engine, OPENINGS, rounds=4):
            assert first >= 4
            assert max(later) <= 6  # what is new, and at most a token of the answer that was split otherwise


def test_with_room_for_one_context_a_long_conversation_displaces_others_and_with_more_it_does_not(
    story_model: Path,
) -> None:
    long = "The dog ran to the park. " * 12

    def evaluated(sequences: int) -> int:
        with NativeEngine(story_model, EngineConfig(context_length=160, sequences=sequences)) as engine:
            first, second = converse(engine, [long, "The cat sat on the mat. " * 12], rounds=2)
            return max(first[-1], second[-1])

    assert evaluated(1) > 60
    assert evaluated(2) <= 6


def test_more_sequences_are_more_cache_and_no_longer_context(story_model: Path) -> None:
    with (
        NativeEngine(story_model, EngineConfig(context_length=512)) as one,
        NativeEngine(story_model, EngineConfig(context_length=512, sequences=4)) as four,
    ):
        assert one.context_length == four.context_length == 512
        assert four.session.cache_bytes == 4 * one.session.cache_bytes


def test_llama_finds_the_beginning_of_every_chat_again(story_model: Path, capfd: Any) -> None:
    with Llama(model_path=str(story_model), n_ctx=512, verbose=True) as llama:
        texts = dict.fromkeys(OPENINGS, "")
        for _ in range(3):
            for opening in OPENINGS:
                answer: Any = llama(opening + texts[opening], max_tokens=8, temperature=0)
                texts[opening] += answer["choices"][0]["text"]
    lines = [line.split() for line in capfd.readouterr().err.splitlines() if "cached" in line]
    cached = [int(line[1]) for line in lines]
    assert max(cached[: len(OPENINGS)]) <= 1  # the beginning-of-sequence token
    assert min(cached[len(OPENINGS) :]) >= 8


def test_a_prompt_is_not_found_from_another_namespace(story_model: Path) -> None:
    with NativeEngine(story_model, EngineConfig(context_length=512, sequences=2)) as engine:

        def cached(namespace: str) -> int:
            answer = engine.generate("The cat sat on the mat. " * 9, replace(GREEDY, cache_namespace=namespace))
            list(answer)
            return answer.timings.cached_tokens

        assert [cached("ours"), cached("theirs")] == [0, 0]
        assert cached("ours") > 40
