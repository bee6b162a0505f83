"""The llama.cpp backend sees images, with a projector of random weights."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import edgewise
from edgewise import EngineConfig, GenerateOptions
from edgewise.engine.batching import batch_of
from edgewise.engine.images import ImagePrompt, read_image
from edgewise.engine.models import DEMO
from edgewise.errors import ContextFull, InvalidArgument, ModelFileError, UnsupportedError
from pictures import RED, STRIPES, gif

pytest.importorskip("gguf")
pytest.importorskip("xllamacpp", reason="pip install 'edgewise[llamacpp]'")

from chat.models import SHAPE, model
from random_model.projector import IMAGE_TOKENS, write_projector

END = 256 + 300 + 1  # its token; answers of random weights are to have their full length
GREEDY = GenerateOptions(temperature=0, max_tokens=8, logit_bias={END: -100.0})
BEFORE, BEHIND = "Look at ", " and say what it is"
SPECIAL = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("vision")
    width = int(SHAPE["embedding_length"])
    return model(folder / "model.gguf", SPECIAL), write_projector(folder / "mmproj.gguf", width)


@pytest.fixture(scope="module")
def engine(files: tuple[Path, Path]) -> Iterator[Any]:
    with edgewise.open(files[0], EngineConfig(context_length=256, projector=str(files[1]))) as engine:
        yield engine


def seen(*images: bytes) -> ImagePrompt:
    between = (BEFORE, *[" "] * (len(images) - 1), BEHIND) if images else (BEFORE + BEHIND,)
    return ImagePrompt(between, tuple(read_image(image) for image in images))


def say(engine: Any, prompt: Any, options: GenerateOptions = GREEDY) -> tuple[str, Any]:
    answer = engine.generate(prompt, options)
    text = "".join(piece.text for piece in answer)
    assert answer.timings.generated_tokens == options.max_tokens
    assert answer.finish_reason == "length"
    return text, answer


def test_auto_opens_a_projector_with_llama_cpp(engine: Any, files: tuple[Path, Path]) -> None:
    assert (engine.name, engine.sees_images) == ("llamacpp", True)
    with pytest.raises(UnsupportedError, match="native engine sees no images"):
        edgewise.open(files[0], EngineConfig(projector=str(files[1])), engine="native")


def test_the_same_image_has_the_same_answer_and_another_one_another(engine: Any) -> None:
    red, stripes, again, none = (say(engine, seen(*images))[0] for images in ((RED,), (STRIPES,), (RED,), ()))
    assert red == again
    assert len({red, stripes, none}) == 3


def test_the_prompt_grows_by_the_tokens_of_each_image(engine: Any) -> None:
    counts = [say(engine, seen(*images))[1].prompt_tokens for images in ((), (RED,), (RED, STRIPES))]
    blank = len(engine.tokenize(" ", add_special=False))
    assert counts[1] - counts[0] in (IMAGE_TOKENS, IMAGE_TOKENS + 1)  # the text is cut in two
    assert counts[2] - counts[1] == IMAGE_TOKENS + blank
    timings = say(engine, seen(RED, STRIPES))[1].timings
    assert timings.cached_tokens + timings.evaluated_tokens == counts[2]
    assert timings.cached_tokens > IMAGE_TOKENS


def test_images_of_each_format_are_decoded(engine: Any) -> None:
    say(engine, seen(gif(8, 8)))
    pillow: Any = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    import io

    for options in ({}, {"progressive": True}):
        file = io.BytesIO()
        pillow.effect_noise((64, 48), 90).convert("RGB").save(file, "jpeg", **options)
        say(engine, seen(file.getvalue()))


def test_text_and_tokens_go_without_images(engine: Any, files: tuple[Path, Path]) -> None:
    tokens = engine.tokenize(BEFORE + BEHIND, parse_special=True)
    with edgewise.open(files[0], EngineConfig(context_length=256), engine="llamacpp") as blind:
        assert say(engine, tokens)[0] == say(blind, tokens)[0]
        assert say(engine, BEFORE + BEHIND)[0] == say(blind, BEFORE + BEHIND)[0]
        with pytest.raises(UnsupportedError, match="without what sees images"):
            blind.generate(seen(RED))
    with edgewise.open(files[0]) as native, pytest.raises(UnsupportedError, match="native engine sees no images"):
        native.generate(seen(RED))


def test_sampling_options_and_logprobs_are_those_of_text(engine: Any) -> None:
    options = GenerateOptions(temperature=0, max_tokens=3, top_logprobs=2, logit_bias={300: 100.0})
    pieces = list(engine.generate(seen(RED), options))
    assert [piece.token for piece in pieces if piece.token >= 0] == [300] * 3
    assert len(pieces[0].top_logprobs) == 2
    seeds = [
        say(
            engine,
            seen(RED),
            GenerateOptions(temperature=2.0, top_k=0, max_tokens=8, seed=seed, logit_bias=GREEDY.logit_bias),
        )
        for seed in (1, 2, 1)
    ]
    assert seeds[0][0] == seeds[2][0] != seeds[1][0]


def test_what_stands_for_an_image_is_no_secret_that_a_text_could_use(engine: Any) -> None:
    for text in ("<__media__>", "<__image__>", "<image>"):
        say(engine, ImagePrompt((text, BEHIND), (read_image(RED),)))
    with pytest.raises(InvalidArgument, match="stands for an image"):
        engine.generate(ImagePrompt((engine._marker, ""), (read_image(RED),)))


def test_images_that_do_not_fit_the_context_are_refused_with_both_numbers(engine: Any) -> None:
    with pytest.raises(ContextFull, match=r"Requested tokens \(\d+\) exceed context window of 256"):
        list(engine.generate(seen(*[RED] * 20)))
    say(engine, seen(RED))


def test_an_image_that_is_damaged_inside_is_refused_and_the_engine_goes_on(engine: Any) -> None:
    with pytest.raises(InvalidArgument, match="load image"):
        list(engine.generate(seen(gif(8, 8)[:25] + b"?")))
    say(engine, seen(RED))


def test_an_answer_to_an_image_can_be_closed_early(engine: Any) -> None:
    before = threading.active_count()
    answer = engine.generate(seen(RED), GenerateOptions(max_tokens=200, temperature=0))
    next(answer)
    answer.close()
    assert list(answer) == []
    say(engine, seen(RED))
    assert threading.active_count() <= before + 1


def test_a_batch_counts_the_tokens_of_images(engine: Any) -> None:
    with batch_of(engine) as batch:
        stream = batch.submit(seen(RED), GREEDY)
        assert "".join(piece.text for piece in stream) == say(engine, seen(RED))[0]
        assert stream.prompt_tokens == say(engine, seen(RED))[1].prompt_tokens
    with edgewise.open(DEMO) as native, batch_of(native) as batch, pytest.raises(UnsupportedError, match="no images"):
        batch.submit(seen(RED))


def test_a_projector_that_is_malformed_or_of_another_model_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(files[1].read_bytes()[:-40])
    other = write_projector(tmp_path / "other.gguf", 2 * int(SHAPE["embedding_length"]))
    for projector in (cut, other, files[0]):
        with pytest.raises(ModelFileError):
            edgewise.open(files[0], EngineConfig(projector=str(projector)))
