"""A trained model tells its story, word for word."""

from pathlib import Path

import pytest

from conformance.runs import Run
from edgewise import _core

CONTINUATIONS = {
    "Once upon a time": ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw "
    "a big, red ball. She wanted to play with it, but it was too high.",
    "Tom had a red ball": ". He liked to play with his toys.",
}


@pytest.mark.parametrize("isa", _core.instruction_sets())
@pytest.mark.parametrize(("start", "story"), CONTINUATIONS.items())
def test_the_story_model_goes_on_as_it_was_trained(start: str, story: str, isa: str, story_model: Path) -> None:
    tokenizer = _core.Tokenizer(_core.ModelFile(story_model))
    tokens = tokenizer.encode(start.encode(), add_special=True, parse_special=False)
    run = Run(story_model, 256, isa=isa)
    logits = run.evaluate(tokens)[-1]
    text = b""
    while len(text) < len(story):
        token = int(logits.argmax())
        text += tokenizer.pieces([token])
        logits = run.evaluate([token])[0]
    assert text.decode().startswith(story)
