"""Guesses change the speed of an answer and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from edgewise import EngineConfig, GenerateOptions, Llama, _core
from edgewise.chat.conversation import Conversation
from edgewise.engine.answer import Answer
from edgewise.engine.models import DEMO
from edgewise.engine.native import NativeEngine
from edgewise.errors import InvalidArgument

TALE = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
GREEDY = GenerateOptions(temperature=0, max_tokens=120)
SAMPLED = [
    GenerateOptions(temperature=temperature, repeat_penalty=penalty, seed=seed, max_tokens=80, top_logprobs=2)
    for temperature, penalty in [(0.4, 1.0), (1.0, 1.0), (0.8, 1.2)]
    for seed in (1, 2, 3)
]


class Guess:
    """Guesses by rule, right or wrong."""

    def __init__(self, *tokens: int) -> None:
        self.tokens = tokens

    def propose(self, tokens: Sequence[int], count: int) -> list[int]:
        return list(self.tokens)[:count]


keen = partial(_core.Controller, eager=True)
"""Guesses as much as it may, whatever comes of it."""


def finished(answer: Answer) -> tuple[list[int], str, str | None, list[float | None]]:
    pieces = list(answer)
    text = "".join(piece.text for piece in pieces)
    return answer.tokens, text, answer.finish_reason, [piece.logprob for piece in pieces]


@pytest.fixture
def plain(story_model: Path) -> NativeEngine:
    return NativeEngine(story_model, EngineConfig(draft="off", context_length=512))


@pytest.fixture
def guessing(story_model: Path, monkeypatch: pytest.MonkeyPatch) -> NativeEngine:
    monkeypatch.setattr(_core, "Controller", keen)
    return NativeEngine(story_model, EngineConfig(draft="ngram", context_length=512))


@pytest.mark.parametrize("options", [GREEDY, *SAMPLED], ids=repr)
def test_text_and_probabilities_are_those_of_plain_decoding(
    plain: NativeEngine, guessing: NativeEngine, options: GenerateOptions
) -> None:
    for prompt in (TALE, TALE + TALE[:30]):
        assert finished(guessing.generate(prompt, options)) == finished(plain.generate(prompt, options))


def test_an_answer_that_stands_in_the_prompt_takes_few_steps() -> None:
    with NativeEngine(DEMO, EngineConfig(draft="ngram", context_length=1024)) as engine:
        conversation = Conversation(engine, GREEDY)
        first = conversation.ask("What is quantization?")
        conversation.answered("".join(piece.text for piece in first))
        again = conversation.ask("What is quantization?")
        list(again)
    assert again.timings.accepted_tokens > 0.5 * again.timings.generated_tokens
    assert again.timings.accepted_tokens <= again.timings.drafted_tokens


@pytest.mark.parametrize("guess", [(), (1,), (511, 3, 7, 511, 2, 9, 4, 5, 6), (10**6, 1), (3, -1)])
def test_wrong_guesses_change_nothing(plain: NativeEngine, guess: tuple[int, ...], story_model: Path) -> None:
    engine = NativeEngine(story_model, EngineConfig(draft="off", context_length=512))
    engine.draft_with(lambda: Guess(*guess))
    for options in (GREEDY, SAMPLED[0]):
        assert finished(engine.generate(TALE, options)) == finished(plain.generate(TALE, options))


def test_stop_texts_and_limits_end_an_answer_within_accepted_guesses(
    plain: NativeEngine, guessing: NativeEngine
) -> None:
    prompt = TALE + TALE[:40]
    for options in [replace(GREEDY, max_tokens=n) for n in (1, 2, 5, 9)] + [replace(GREEDY, stop=("girl named",))]:
        assert finished(guessing.generate(prompt, options)) == finished(plain.generate(prompt, options))


def test_the_context_is_filled_to_the_last_token(story_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "Controller", keen)
    options = replace(GREEDY, max_tokens=None)
    found = [
        finished(NativeEngine(story_model, EngineConfig(draft=draft, context_length=70)).generate(TALE, options))
        for draft in ("ngram", "off")
    ]
    assert found[0] == found[1]
    assert found[0][2] == "length"


def test_answers_that_take_turns_do_not_mix_their_guesses(plain: NativeEngine, guessing: NativeEngine) -> None:
    prompts = [TALE + TALE[:40], "One day, a dog" + TALE]
    expected = [finished(plain.generate(prompt, GREEDY))[1] for prompt in prompts]
    answers = [guessing.generate(prompt, GREEDY) for prompt in prompts]
    texts = ["", ""]
    is_going_on = True
    while is_going_on:
        is_going_on = False
        for i, answer in enumerate(answers):
            for piece in answer:
                texts[i] += piece.text
                is_going_on = True
                break
    assert texts == expected


def test_an_answer_closed_within_its_guesses_leaves_the_engine_sound(
    plain: NativeEngine, guessing: NativeEngine
) -> None:
    answer = guessing.generate(TALE + TALE[:40], GREEDY)
    for _ in range(3):
        next(answer)
    answer.close()
    # Probabilities differ by the order of sums: another part of the prompt was evaluated at once.
    assert finished(guessing.generate(TALE, GREEDY))[:3] == finished(plain.generate(TALE, GREEDY))[:3]


def test_a_model_that_guesses_for_itself_is_always_right(plain: NativeEngine, story_model: Path) -> None:
    with NativeEngine(story_model, EngineConfig(draft=str(story_model), context_length=512)) as engine:
        answer = engine.generate(TALE, GREEDY)
        assert finished(answer) == finished(plain.generate(TALE, GREEDY))
        assert answer.timings.accepted_tokens == answer.timings.drafted_tokens > 0
        sampled = engine.generate(TALE, SAMPLED[3])
        assert finished(sampled) == finished(plain.generate(TALE, SAMPLED[3]))


def test_a_draft_model_of_another_vocabulary_is_refused(story_model: Path) -> None:
    with pytest.raises(InvalidArgument, match="its vocabulary is not that of"):
        NativeEngine(story_model, EngineConfig(draft=str(DEMO)))


def test_a_function_of_the_caller_guesses_for_llama(story_model: Path) -> None:
    numpy = pytest.importorskip("numpy")
    asked: list[int] = []

    def lookup(tokens: Sequence[int], **_: object) -> object:
        asked.append(len(tokens))
        return numpy.array([3, 4], dtype=numpy.intc)

    plain = Llama(model_path=str(story_model), n_ctx=512, verbose=False)
    drafted = Llama(model_path=str(story_model), n_ctx=512, verbose=False, draft_model=lookup)
    texts = [llm(TALE, max_tokens=20, temperature=0)["choices"][0]["text"] for llm in (plain, drafted)]  # type: ignore[index]
    assert texts[0] == texts[1]
    assert asked
    with pytest.raises(InvalidArgument, match="draft_model must be a function"):
        Llama(model_path=str(story_model), draft_model=3)
