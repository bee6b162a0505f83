"""Converted tokenizers give the tokens that transformers gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import data
from convert.cases import CASES, VOCABULARY_SIZE
from convert.folders import GOLDEN
from convert.texts import TEXTS, digest, parts
from convert.vocabularies import tokenizer_of
from edgewise import _core
from edgewise.convert.vocabulary import TokenType, tokenizer_metadata

TOKENIZERS = sorted({case.tokenizer for case in CASES.values()})
FIGURES = json.loads((GOLDEN / "texts.json").read_text())


@pytest.fixture
def converted(tmp_path: Path) -> Callable[[str], _core.Tokenizer]:
    def convert(name: str) -> _core.Tokenizer:
        metadata, _ = tokenizer_metadata(GOLDEN / "tokenizers" / name, VOCABULARY_SIZE)
        # Engines know by the name alone that these tokens take in the white space behind them.
        family = {"general.name": "Phi-3"} if name == "phi3" else {}
        return tokenizer_of(tmp_path / "tokenizer.gguf", {**metadata, **family})

    return convert


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_texts_have_the_tokens_of_transformers(
    name: str, text: str, converted: Callable[[str], _core.Tokenizer]
) -> None:
    tokenizer = converted(name)
    texts = parts(data(TEXTS[1]).parents[1], text)
    found = [digest(tokenizer.encode(part.encode(), add_special=True, parse_special=True)) for part in texts]
    wrong = [i for i, (ours, theirs) in enumerate(zip(found, FIGURES[name][text], strict=True)) if ours != theirs]
    assert not wrong, texts[wrong[0]][:80]


def test_rows_without_a_token_have_names_of_their_own() -> None:
    metadata, vocabulary = tokenizer_metadata(GOLDEN / "tokenizers" / "qwen2", VOCABULARY_SIZE)
    assert vocabulary.types.count(TokenType.UNUSED) >= 5
    assert len(set(vocabulary.tokens)) == VOCABULARY_SIZE
    assert metadata["tokenizer.ggml.add_bos_token"] is False


def test_a_sentencepiece_model_and_its_tokenizer_json_say_the_same(tmp_path: Path) -> None:
    folder = GOLDEN / "tokenizers" / "spm"
    with_model, _ = tokenizer_metadata(folder, VOCABULARY_SIZE)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    without, _ = tokenizer_metadata(tmp_path, VOCABULARY_SIZE)
    scores = "tokenizer.ggml.scores"
    assert {**with_model, scores: None} == {**without, scores: None}


def test_a_sentencepiece_model_alone_is_enough(tmp_path: Path) -> None:
    folder = GOLDEN / "tokenizers" / "spm"
    (tmp_path / "tokenizer.model").write_bytes((folder / "tokenizer.model").read_bytes())
    alone, _ = tokenizer_metadata(tmp_path, VOCABULARY_SIZE)
    beside, _ = tokenizer_metadata(folder, VOCABULARY_SIZE)
    assert alone == beside
