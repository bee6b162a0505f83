"""A full context ends the answer, or loses its older half where that is asked for; then the caller learns of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise import EngineConfig, GenerateOptions
from edgewise.cli import main
from edgewise.engine.native import NativeEngine
from edgewise.errors import InvalidArgument

ONCE = "Once upon a time"
SHIFTING = GenerateOptions(temperature=0, max_tokens=120, context_shift=True)


def opened(path: Path, draft: str = "ngram") -> NativeEngine:
    return NativeEngine(path, EngineConfig(context_length=64, draft=draft))


def test_without_it_a_full_context_ends_the_answer(story_model: Path) -> None:
    with opened(story_model) as engine:
        answer = engine.generate(ONCE, replace(SHIFTING, context_shift=False))
        pieces = list(answer)
        assert (len(pieces), answer.finish_reason) == (64 - 5, "length")
        assert answer.timings.dropped_tokens == sum(piece.dropped_tokens for piece in pieces) == 0


@pytest.mark.parametrize("draft", ["ngram", "off"])
def test_the_answer_goes_on_exactly_as_after_a_prompt_of_what_is_left(story_model: Path, draft: str) -> None:
    with opened(story_model, draft) as engine:
        prompt = engine.tokenize(ONCE)
        answer = engine.generate(ONCE, replace(SHIFTING, keep_tokens=-1))
        pieces = list(answer)
        assert (len(pieces), answer.finish_reason) == (120, "length")
        first = next(i for i, piece in enumerate(pieces) if piece.dropped_tokens)
        dropped = pieces[first].dropped_tokens
        assert (first, dropped) == (65 - 5, 30)
        assert answer.timings.dropped_tokens == sum(piece.dropped_tokens for piece in pieces) > dropped
        told = [piece.token for piece in pieces]
        left = prompt + told[dropped:first]
        with opened(story_model, draft) as fresh:
            expected = [piece.token for piece in fresh.generate(left, replace(SHIFTING, max_tokens=20))]
        assert told[first : first + 20] == expected


def test_the_beginning_of_sequence_token_always_stays(story_model: Path) -> None:
    with opened(story_model) as engine:
        list(engine.generate(ONCE, replace(SHIFTING, max_tokens=70)))
        assert engine.session.tokens[0] == engine.tokenizer.bos


@pytest.mark.parametrize("keep_tokens", [0, 3, 63, 1000, -1])
def test_any_number_of_tokens_can_be_kept(story_model: Path, keep_tokens: int) -> None:
    with opened(story_model) as engine:
        prompt = engine.tokenize("Tom had a red ball. " * 9)[:63]
        answer = engine.generate(prompt, replace(SHIFTING, keep_tokens=keep_tokens, max_tokens=80))
        assert len(list(answer)) == 80
        kept = 63 if keep_tokens == -1 else min(max(keep_tokens, 1), 63)
        assert engine.session.tokens[:kept] == prompt[:kept]


def test_other_answers_in_between_change_nothing(story_model: Path) -> None:
    with opened(story_model) as engine:
        expected = [piece.token for piece in engine.generate(ONCE, SHIFTING)]
        answer = engine.generate(ONCE, SHIFTING)
        told = []
        for piece in answer:
            told.append(piece.token)
            if len(told) % 17 == 0:
                list(engine.generate("Tom had a red ball", replace(SHIFTING, max_tokens=3)))
        assert told == expected


def test_a_number_of_tokens_below_minus_one_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="keep_tokens"):
        GenerateOptions(keep_tokens=-2)


def test_the_command_line_says_what_was_dropped(story_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", str(story_model), "-p", ONCE, "--temp", "0", "-c", "64", "-n", "80", "-q"]
    assert main([*command, "--context-shift", "--keep", "5"]) == 0
    assert capsys.readouterr().err == "note: the context was full: 30 tokens were dropped, oldest first\n"
    assert main([*command, "--context-shift", "--keep", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dropped_tokens"] == 30
    assert main(command) == 0
    assert capsys.readouterr().err == ""
