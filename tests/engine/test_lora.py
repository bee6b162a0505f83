"""Adapters change what a model says, and nothing that was computed with others is taken for theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgewise
from edgewise import EngineConfig, GenerateOptions
from edgewise.engine.models import DEMO
from edgewise.errors import InvalidArgument, ModelFileError, SystemRefused

GREEDY = GenerateOptions(temperature=0, max_tokens=24)
PROMPT = [1, *(3 + i * 7 % 400 for i in range(399))]


def answer(*adapters: tuple[str | Path, float], **settings: object) -> tuple[list[int], int]:
    """The tokens of an engine that is opened anew, and how many of the prompt's it did not compute."""
    config = EngineConfig(lora=adapters, **{"prompt_cache_bytes": 0, "context_length": 512, **settings})  # type: ignore[arg-type]
    with edgewise.open("demo", config, engine="native") as engine:
        generation = engine.generate(PROMPT, GREEDY)
        return [piece.token for piece in generation], generation.timings.cached_tokens


def test_an_adapter_and_its_scale_change_the_answer(demo_adapters: tuple[Path, Path]) -> None:
    first, second = demo_adapters
    answers = [
        answer()[0],
        answer((first, 0.5))[0],
        answer((first, -0.5))[0],
        answer((second, 0.5))[0],
        answer((first, 0.5), (second, 0.5))[0],
    ]
    assert len({tuple(tokens) for tokens in answers}) == len(answers)
    assert answer((first, 0.5)) == answer((str(first), 0.5))


def test_a_scale_of_0_changes_nothing(demo_adapters: tuple[Path, Path]) -> None:
    assert answer((demo_adapters[0], 0)) == answer()


def test_guesses_change_no_answer(demo_adapters: tuple[Path, Path]) -> None:
    adapter = (demo_adapters[0], 0.4)
    plain = answer(adapter, draft="off")
    assert answer(adapter, draft="ngram") == plain
    assert answer(adapter, draft=str(DEMO)) == plain  # the draft model is not adapted


def test_prompts_on_disk_are_found_by_the_same_adapters_and_scales_alone(
    demo_adapters: tuple[Path, Path], tmp_path: Path
) -> None:
    first, second = demo_adapters
    sets = [(), ((first, 0.5),), ((first, 0.25),), ((second, 0.5),), ((first, 0.5), (second, 0.5))]
    disk = {"prompt_cache_bytes": 1 << 30, "cache_folder": str(tmp_path)}
    for adapters in sets:
        tokens, cached = answer(*adapters, **disk)
        assert (tokens, cached) == (answer(*adapters)[0], 0)
    for adapters in sets:
        tokens, cached = answer(*adapters, **disk)
        assert cached == 384
        assert tokens == answer(*adapters)[0]


def test_an_adapter_that_was_trained_further_under_its_name_is_another(
    demo_adapters: tuple[Path, Path], tmp_path: Path
) -> None:
    first, second = demo_adapters
    path = tmp_path / "adapter.gguf"
    for source in (first, second):
        path.write_bytes(source.read_bytes())
        settings = {"prompt_cache_bytes": 1 << 30, "cache_folder": str(tmp_path)}
        assert answer((path, 0.5), **settings) == answer((source, 0.5))
        path.unlink()


def test_adapters_come_from_the_environment(demo_adapters: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = demo_adapters
    monkeypatch.setenv("EDGEWISE_LORA", f"{first}=0.5,{second}=0.25")
    with edgewise.open("demo") as engine:
        found = [piece.token for piece in engine.generate(PROMPT, GREEDY)]
    assert found == answer((first, 0.5), (second, 0.25))[0]


def test_what_is_wrong_with_an_adapter_is_named_with_its_path(
    demo_adapters: tuple[Path, Path], story_model: Path
) -> None:
    with pytest.raises(SystemRefused, match="nowhere"):
        answer(("nowhere.gguf", 1.0))
    with pytest.raises(ModelFileError, match=f"^{DEMO}: .*general.type"):
        answer((DEMO, 1.0))
    with pytest.raises(InvalidArgument, match=f"^{demo_adapters[0]}: its scale is inf"):
        answer((demo_adapters[0], 1e300))
    with pytest.raises(ModelFileError, match=f"^{demo_adapters[0]}: tensor .*64 x 4 is needed") as caught:
        edgewise.open(story_model, EngineConfig(lora=[(demo_adapters[0], 1.0)]))
    assert caught.value.hint is not None
    assert "another model" in caught.value.hint


def test_an_adapter_is_no_model(demo_adapters: tuple[Path, Path]) -> None:
    with pytest.raises(ModelFileError, match="is an adapter") as caught:
        edgewise.open(demo_adapters[0])
    assert caught.value.hint is not None
    assert "--lora" in caught.value.hint
