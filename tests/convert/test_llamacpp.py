"""llama.cpp loads what was converted, and continues texts alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgewise
from convert.cases import CASES, PROMPT_LENGTH, prompt
from convert.folders import wide, write_folder
from convert.runs import Run
from edgewise import Engine, EngineConfig, GenerateOptions
from edgewise.config import EngineName
from edgewise.convert.conversion import Options, convert_model
from speed.quality_models import write_as_f32

pytest.importorskip("xllamacpp", reason="pip install 'edgewise[llamacpp]'")

CONFIG = EngineConfig(context_length=256, key_format="f32", value_format="f32", prompt_cache_bytes=0)
STEPS = 32


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_both_engines_give_the_same_greedy_text(name: str, folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    convert_model(folder_of(name), path, Options("f32"))

    def text(engine: EngineName) -> str:
        with edgewise.open(path, replace(CONFIG, engine=engine)) as opened:
            generation = opened.generate("To be, or not to be", GenerateOptions(temperature=0, max_tokens=48))
            return "".join(piece.text for piece in generation)

    assert text("llamacpp") == text("native")


@pytest.mark.long
@pytest.mark.parametrize("mix", ["q8_0", "q4_k_m", "iq4_xs", "q2_k"])
@pytest.mark.parametrize("name", CASES)
def test_both_engines_choose_the_same_tokens_of_quantized_models(
    name: str, mix: str, figures: dict[str, Any], tmp_path: Path
) -> None:
    """Both engines round activations to 8 bits, each in its own way, so that near ties may fall either way.

    How far rounding moves a logit is measured: `noise` is the root mean square of the differences to the same weights
    with activations that stay floats. The lead of one logit over another then differs between two engines by twice as
    much, as a standard deviation: four roundings that know nothing of each other. Where the best logit leads by more
    than six of those, its token must be llama.cpp's too. Each is chosen behind the tokens that are chosen here.
    """
    path, floats = tmp_path / "model.gguf", tmp_path / "floats.gguf"
    convert_model(write_folder(tmp_path / name, *wide(CASES[name], figures[name])), path, Options(mix))
    write_as_f32(path, floats)
    rounded, exact = Run(path), Run(floats)
    tokens, leads, differences = prompt(CASES[name]), [], []
    behind = tokens
    for _ in range(STEPS):
        logits, unrounded = (run.evaluate(behind)[-1] for run in (rounded, exact))
        differences.append(logits - unrounded)
        second, best = np.sort(logits)[-2:]
        leads.append(best - second)
        behind = [int(logits.argmax())]
        tokens = tokens + behind
    noise = np.sqrt(np.mean(np.square(differences)))
    compared = 0
    with edgewise.open(path, replace(CONFIG, engine="llamacpp", threads=1)) as llamacpp:
        for at, lead in enumerate(leads, PROMPT_LENGTH):
            ours = _text(llamacpp, tokens[at - 1], tokens[at])
            # llama.cpp tells the text of a token, which parts of characters and control tokens do not have.
            if lead <= 12 * noise or ours in ("", "\ufffd"):
                continue
            answer = llamacpp.generate(tokens[:at], GenerateOptions(temperature=0, max_tokens=1))
            assert "".join(piece.text for piece in answer) == ours, (at, lead, noise)
            compared += 1
    assert compared >= 3


def _text(engine: Engine, before: int, token: int) -> str:
    """The text of a token that is not the first one, which may begin with a space."""
    text = engine.detokenize([before, token]).removeprefix(engine.detokenize([before]))
    return text.decode(errors="replace")
