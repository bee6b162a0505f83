"""Published vocabularies keep their tokens, whichever file they come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import data
from convert.vocabularies import (
    PUBLISHED,
    arrays_of,
    sentencepiece_bytes,
    tokenizer_of,
    write_byte_level,
    write_fallback,
)
from edgewise import _core
from edgewise.convert.metadata import Metadata
from edgewise.convert.vocabulary import TokenType, tokenizer_metadata

SPM = ("llama-spm", "phi-3")


def assert_tokens(tokenizer: _core.Tokenizer, name: str) -> None:
    """The fixture's texts have the fixture's tokens."""
    texts = data(f"vocab/ggml-vocab-{name}.gguf.inp").read_bytes().split(b"\n__ggml_vocab_test__\n")
    lines = data(f"vocab/ggml-vocab-{name}.gguf.out").read_text().splitlines()
    expected = [[int(token) for token in line.split()] for line in lines]
    # Behind the last text there is a separator, too.
    found = [tokenizer.encode(text, add_special=False, parse_special=False) for text in texts[: len(expected)]]
    assert found == expected


def assert_same(metadata: Metadata, arrays: dict[str, list[object]], *names: str) -> None:
    for name in names:
        assert metadata[f"tokenizer.ggml.{name}"] == arrays[name], name


@pytest.mark.parametrize("name", PUBLISHED)
def test_byte_level_vocabularies_come_back(name: str, tmp_path: Path) -> None:
    arrays = arrays_of(data(f"vocab/ggml-vocab-{name}.gguf"))
    write_byte_level(tmp_path, name, arrays)
    metadata, _ = tokenizer_metadata(tmp_path, len(arrays["tokens"]))
    assert metadata["tokenizer.ggml.pre"] == name
    assert_same(metadata, arrays, "tokens", "token_type", "merges")
    assert_tokens(tokenizer_of(tmp_path / "tokenizer.gguf", metadata), name)


@pytest.mark.parametrize("name", SPM)
def test_sentencepiece_models_come_back(name: str, tmp_path: Path) -> None:
    arrays = arrays_of(data(f"vocab/ggml-vocab-{name}.gguf"))
    pieces = list(zip(arrays["tokens"], arrays["scores"], arrays["token_type"], strict=True))
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_bytes(pieces))
    metadata, _ = tokenizer_metadata(tmp_path, len(pieces))
    assert_same(metadata, arrays, "tokens", "token_type", "scores")
    assert_tokens(tokenizer_of(tmp_path / "tokenizer.gguf", metadata), name)


@pytest.mark.parametrize("name", SPM)
def test_merges_made_from_a_sentencepiece_model_give_its_tokens(name: str, tmp_path: Path) -> None:
    arrays = arrays_of(data(f"vocab/ggml-vocab-{name}.gguf"))
    write_fallback(tmp_path, arrays)
    metadata, vocabulary = tokenizer_metadata(tmp_path, len(arrays["tokens"]))
    assert_same(metadata, arrays, "tokens")
    # The fixture calls its padding unknown.
    padding = {token for token, kind in enumerate(arrays["token_type"]) if kind == TokenType.UNKNOWN and token}
    kinds = enumerate(vocabulary.types)
    assert all(kind == arrays["token_type"][token] for token, kind in kinds if token not in padding)
    assert_tokens(tokenizer_of(tmp_path / "tokenizer.gguf", metadata), name)
