"""The typed API over the core."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgewise
from edgewise import Engine, EngineConfig, GenerateOptions
from edgewise.engine.native import NativeEngine
from edgewise.errors import ContextFull, InvalidArgument, SystemRefused, UnsupportedError

GREEDY = GenerateOptions(temperature=0, max_tokens=16)
ONCE = "Once upon a time"


@pytest.fixture
def engine(story_model: Path) -> Iterator[NativeEngine]:
    with NativeEngine(story_model, EngineConfig(context_length=512)) as native:
        yield native


def tell(engine: Engine, prompt: str, options: GenerateOptions = GREEDY) -> str:
    return "".join(piece.text for piece in engine.generate(prompt, options))


def test_open_gives_the_core_for_what_it_runs(story_model: Path) -> None:
    with edgewise.open(story_model) as engine, Engine.open(story_model, engine="native") as other:
        assert isinstance(engine, Engine)
        assert (engine.name, other.name) == ("native", "native")
        assert engine.path == story_model
        assert engine.metadata["general.architecture"] == "llama"
        assert (engine.context_length, engine.vocabulary_size) == (512, 512)


def test_pieces_have_token_text_and_logprob(engine: NativeEngine) -> None:
    pieces = list(engine.generate(ONCE, replace(GREEDY, max_tokens=3, top_logprobs=2)))
    assert [(piece.token, piece.text) for piece in pieces] == [(432, ","), (383, " there"), (286, " was")]
    assert [piece.logprob for piece in pieces] == pytest.approx([-0.032, -0.069, -0.016], abs=3e-3)
    assert pieces[0].top_logprobs[0] == (432, pieces[0].logprob)
    assert len(pieces[0].top_logprobs) == 2


def test_log_probabilities_can_be_left_away(engine: NativeEngine) -> None:
    pieces = list(engine.generate(ONCE, replace(GREEDY, logprobs=False)))
    assert {piece.logprob for piece in pieces} == {None}


def test_timings_tell_cached_tokens_from_evaluated_ones(engine: NativeEngine) -> None:
    first = engine.generate(ONCE, GREEDY)
    list(first)
    assert (first.prompt_tokens, first.timings.cached_tokens, first.timings.evaluated_tokens) == (5, 0, 5)
    second = engine.generate(ONCE + ", there was", GREEDY)
    list(second)
    assert (second.timings.cached_tokens, second.timings.evaluated_tokens) == (7, 1)
    assert second.timings.generated_tokens == 16
    assert second.timings.time_to_first_token_s >= second.timings.prefill_s > 0
    assert second.timings.decode_tokens_per_second > 0
    assert second.timings.peak_memory_bytes > 1_000_000


def test_a_cached_prefix_changes_no_answer(engine: NativeEngine) -> None:
    fresh = tell(engine, "Once there was a cat")
    tell(engine, "Once there was a dog and a")
    assert tell(engine, "Once there was a cat") == fresh
    assert tell(engine, "Once there was a cat") == fresh


def test_an_answer_closed_early_gives_its_turn_back(engine: NativeEngine) -> None:
    answer = engine.generate(ONCE, GREEDY)
    next(answer)
    answer.close()
    assert list(answer) == []
    assert answer.finish_reason is None
    assert tell(engine, "Tom had a red ball").startswith(". He liked")


def test_a_limit_of_none_fills_the_context_and_zero_says_nothing(story_model: Path) -> None:
    with NativeEngine(story_model, EngineConfig(context_length=32)) as engine:
        full = engine.generate(ONCE, replace(GREEDY, max_tokens=None))
        assert len(list(full)) == 32 - 5
        assert full.finish_reason == "length"
        nothing = engine.generate(ONCE, replace(GREEDY, max_tokens=0))
        assert (list(nothing), nothing.finish_reason) == ([], "length")


def test_a_stop_text_never_shows(engine: NativeEngine) -> None:
    answer = engine.generate(ONCE, replace(GREEDY, stop=(" named Lil",), max_tokens=64))
    shown = [piece.text for piece in answer]
    assert "".join(shown) == ", there was a little girl"
    assert answer.finish_reason == "stop"


def test_a_prompt_that_does_not_fit_is_refused_before_any_work(engine: NativeEngine) -> None:
    with pytest.raises(ContextFull, match="exceed context window of 512"):
        engine.generate([5] * 512)
    with pytest.raises(InvalidArgument, match="no tokens"):
        engine.generate([])


def test_a_token_that_is_none_is_refused_and_the_engine_goes_on(engine: NativeEngine) -> None:
    for token in (99999, -1, 2**70):
        with pytest.raises(InvalidArgument, match=str(token)):
            list(engine.generate([1, token], GREEDY))
        with pytest.raises(InvalidArgument, match=str(token)):
            engine.detokenize([token])
    assert tell(engine, ONCE).startswith(", there was")


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": -1},
        {"seed": -1},
        {"seed": 2**80},
        {"penalty_last_n": -1},
        {"top_k": 10**30},
        {"penalty_last_n": 10**30},
        {"top_logprobs": 10**30},
        {"seed": 0xFFFFFFFF},
    ],
)
def test_numbers_that_mean_all_or_any_are_understood(engine: NativeEngine, options: dict[str, int]) -> None:
    assert len(list(engine.generate(ONCE, GenerateOptions(max_tokens=2, **options)))) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": -1},
        {"top_logprobs": -1},
        {"logit_bias": {-1: 1.0}},
        {"stop": "x"},
        {"logit_bias": {2**31: 1.0}},
        {"top_p": None},
        {"mirostat": (5, "x")},
        {"stop": (b"x",)},
        {"max_tokens": 1.5},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(options))):
        GenerateOptions(**options)


@pytest.mark.parametrize("seed", [None, -1, 0xFFFFFFFF])
def test_a_seed_that_may_be_any_is_a_new_one_each_time(engine: NativeEngine, seed: int | None) -> None:
    wild = GenerateOptions(max_tokens=40, temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, seed=seed)
    assert len({tell(engine, ONCE, wild) for _ in range(3)}) > 1
    assert len({tell(engine, ONCE, replace(wild, seed=7)) for _ in range(3)}) == 1


def test_half_a_character_is_never_shown(engine: NativeEngine) -> None:
    euro = [3 + byte for byte in "€".encode()]  # the byte tokens of a SentencePiece vocabulary follow <unk>, <s>, </s>
    assert engine.detokenize(euro).decode() == "€"
    forced = iter(euro)
    pieces = list(
        engine.generate(
            ONCE,
            replace(GREEDY, max_tokens=len(euro)),
            adjust=lambda _, logits: one_hot(next(forced), len(logits) // 4),
        )
    )
    assert [piece.text for piece in pieces] == ["", "", "€"]


def one_hot(token: int, size: int) -> bytes:
    import array

    logits = array.array("f", [0.0] * size)
    logits[token] = 100.0
    return logits.tobytes()


def test_adjusted_logits_of_the_wrong_size_are_refused(engine: NativeEngine) -> None:
    with pytest.raises(InvalidArgument, match="bytes"):
        list(engine.generate(ONCE, GREEDY, adjust=lambda _, logits: logits[:-4]))


def test_a_closed_engine_says_so(engine: NativeEngine) -> None:
    engine.close()
    engine.close()
    with pytest.raises(InvalidArgument, match="closed"):
        engine.generate(ONCE)


@pytest.mark.parametrize("isa", edgewise._core.instruction_sets())
def test_every_instruction_set_tells_the_same_story(
    story_model: Path, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWISE_ISA", isa)
    with edgewise.open(story_model, engine="native") as engine:
        assert isinstance(engine, NativeEngine)
        assert engine.session.isa == isa
        assert tell(engine, ONCE) == ", there was a little girl named Lily. She loved to play"


def test_an_instruction_set_that_is_not_there_is_refused(story_model: Path) -> None:
    with pytest.raises(InvalidArgument, match="mmx") as caught:
        NativeEngine(story_model, EngineConfig(isa="mmx"))
    assert "scalar" in (caught.value.hint or "")


@pytest.mark.parametrize("cache", ["f32", "f16", "q8_0"])
def test_every_cache_format_tells_the_same_story(story_model: Path, cache: edgewise.config.CacheFormat) -> None:
    with NativeEngine(story_model, EngineConfig(key_format=cache, value_format=cache)) as engine:
        assert tell(engine, ONCE).startswith(", there was a little girl named Lily")


def test_more_threads_than_can_run_are_clamped_silently(story_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with NativeEngine(story_model, EngineConfig(threads=4096)) as engine:
        assert engine.session.threads == edgewise._core.choose_threads().limit
        assert tell(engine, ONCE).startswith(", there was")
    assert capfd.readouterr() == ("", "")


def test_a_context_that_no_memory_holds_is_an_error_not_a_crash(story_model: Path) -> None:
    with pytest.raises((SystemRefused, InvalidArgument), match=r"byte|context"):
        NativeEngine(story_model, EngineConfig(context_length=2**40))


def test_gpu_layers_on_the_native_engine_are_refused_with_the_way_out(story_model: Path) -> None:
    with pytest.raises(UnsupportedError, match="gpu_layers") as caught:
        edgewise.open(story_model, EngineConfig(gpu_layers=-1), engine="native")
    assert "llamacpp" in (caught.value.hint or "")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SystemRefused, match=r"/nowhere\.gguf"):
        edgewise.open("/nowhere.gguf")


def test_opening_is_lazy_about_weights(story_model: Path) -> None:
    started = time.perf_counter()
    with NativeEngine(story_model, EngineConfig()) as engine:
        assert 0 < engine.load_s <= time.perf_counter() - started
