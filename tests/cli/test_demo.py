"""The model in the package answers in whole sentences and stops by itself."""

from __future__ import annotations

from typing import Any

import pytest

from edgewise import Engine, GenerateOptions, Llama
from edgewise.cli import main
from edgewise.engine import models

QUESTIONS = ["What is a language model?", "What is AI?", "What is quantization?", "What is Python?"]


def test_edgewise_run_demo_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "demo", "-p", QUESTIONS[0], "--temp", "0"]) == 0
    output = capsys.readouterr()
    assert "predicts" in output.out
    assert output.out.endswith(".\n")
    assert "decode" in output.err


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_answers_are_whole_sentences_that_end_by_themselves(question: str, temperature: float) -> None:
    with Llama(model_path=str(models.DEMO), verbose=False) as llm:
        answer: Any = llm.create_chat_completion(
            [{"role": "user", "content": question}], temperature=temperature, seed=1, max_tokens=300
        )
    text = answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert text[0].isupper()
    assert text.endswith(".")
    assert len(text.split()) >= 8


def test_the_typed_api_knows_it_by_name() -> None:
    with Engine.open("demo") as engine:
        assert "".join(piece.text for piece in engine.generate("Once", GenerateOptions(max_tokens=3)))


def test_the_template_of_the_file_is_what_chats_use() -> None:
    with Llama(model_path=str(models.DEMO), verbose=False) as llm:
        assert llm.chat_format == "chat_template.default"
        assert llm.metadata["general.architecture"] == "llama"


def test_raw_continues_instead_of_answering(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "demo", "--raw", "-p", "Once upon a time", "-n", "12", "--temp", "0"])
    raw = capsys.readouterr().out
    main(["run", "demo", "-p", "Once upon a time", "-n", "12", "--temp", "0"])
    assert raw != capsys.readouterr().out


def test_it_fits_the_package() -> None:
    assert models.DEMO.stat().st_size <= 6_000_000
