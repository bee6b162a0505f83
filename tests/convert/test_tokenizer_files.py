"""What tokenizer files may say, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from convert.vocabularies import LLAMA3, byte_level, sentencepiece_bytes, sequence, split
from edgewise.convert import pre_tokenizers
from edgewise.convert.sentencepiece import read_model
from edgewise.convert.tokenizer_json import read_tokenizer, scores
from edgewise.convert.vocabulary import TokenType, tokenizer_metadata
from edgewise.errors import ModelFileError, UnsupportedError

PIECES = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("<0x0A>", 0.0, 6), ("\u2581a", -1.0, 1)]


def bpe(**changes: Any) -> dict[str, Any]:
    """A small tokenizer.json of byte-level BPE."""
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
    steps = sequence(split(LLAMA3), byte_level(use_regex=False))
    return {"model": model, "pre_tokenizer": steps, "added_tokens": [], **changes}


def write(folder: Path, **files: object) -> Path:
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder


def test_an_unknown_pre_tokenizer_says_what_to_pass(tmp_path: Path) -> None:
    write(tmp_path, tokenizer=bpe(pre_tokenizer=sequence(split(r"\w+"), byte_level(use_regex=False))))
    with pytest.raises(UnsupportedError, match=r"split \\w\+") as caught:
        tokenizer_metadata(tmp_path, 3)
    assert caught.value.hint is not None
    assert "--pre-tokenizer NAME" in caught.value.hint
    metadata, _ = tokenizer_metadata(tmp_path, 3, "smollm")
    assert metadata["tokenizer.ggml.pre"] == "smollm"


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (bpe(), "dbrx"),
        (bpe(model={"ignore_merges": True}), "llama-bpe"),
        (bpe(pre_tokenizer=byte_level(use_regex=True)), "gpt-2"),
        (
            bpe(pre_tokenizer=sequence({"type": "Digits", "individual_digits": True}, byte_level(use_regex=True))),
            "smollm",
        ),
        (
            bpe(
                pre_tokenizer=sequence(
                    split(LLAMA3) | {"behavior": "Removed", "invert": True}, byte_level(use_regex=False)
                )
            ),
            "dbrx",
        ),
    ],
)
def test_pre_tokenizers_are_known_by_their_steps(values: dict[str, Any], name: str) -> None:
    assert pre_tokenizers.name_of(values) == name


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": None},
        {"pre_tokenizer": byte_level(use_regex=True) | {"add_prefix_space": True}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"normalizer": {"type": "Lowercase"}},
        {"model": {"ignore_merges": True}, "pre_tokenizer": byte_level(use_regex=True)},
    ],
)
def test_steps_that_differ_from_all_names_are_not_guessed(change: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="not one that is known here"):
        pre_tokenizers.name_of(bpe(**change))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "vocab"),
        ({"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}, "a Unigram tokenizer"),
        ({"model": {"type": "WordPiece", "vocab": {"a": 0}}}, "a WordPiece tokenizer"),
        (bpe(model={"type": "BPE", "vocab": {"a": "0"}, "merges": []}), "whole numbers"),
        (bpe(model={"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]}), "no pair"),
        (bpe(model={"type": "BPE", "vocab": {"a": 0}, "merges": [], "end_of_word_suffix": "</w>"}), "end_of_word"),
        (bpe(added_tokens=[{"id": 1}]), "no id and content"),
    ],
)
def test_what_is_no_byte_pair_encoding_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises((ModelFileError, UnsupportedError), match=message):
        read_tokenizer(values)


def test_a_merge_of_unknown_tokens_is_refused(tmp_path: Path) -> None:
    write(tmp_path, tokenizer=bpe(model={"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}))
    with pytest.raises(ModelFileError, match="not one of tokens"):
        tokenizer_metadata(tmp_path, 2)


def test_more_tokens_than_the_model_has_are_refused(tmp_path: Path) -> None:
    write(tmp_path, tokenizer=bpe())
    with pytest.raises(ModelFileError, match=r"config\.json says that there are 2"):
        tokenizer_metadata(tmp_path, 2, "gpt-2")


def test_added_tokens_that_the_model_has_no_room_for_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, tokenizer=bpe(added_tokens=[{"id": 3, "content": "<image>", "special": True}]))
    _, vocabulary = tokenizer_metadata(tmp_path, 3)
    assert vocabulary.ignored == 1


def test_tokens_that_look_special_are_control_tokens(tmp_path: Path) -> None:
    added = [
        {"id": 3, "content": "<|fim_pad|>", "special": False},
        {"id": 4, "content": "\u2581\u2581", "special": False},
    ]
    write(tmp_path, tokenizer=bpe(added_tokens=added))
    _, vocabulary = tokenizer_metadata(tmp_path, 5)
    assert vocabulary.types[3:] == [TokenType.CONTROL, TokenType.USER_DEFINED]
    assert vocabulary.tokens[4] == "  "


def test_merges_that_sentencepiece_would_not_make_are_refused() -> None:
    vocabulary = {"a": 0, "b": 1, "c": 2, "bc": 3, "ab": 4, "abc": 5}
    model = {"type": "BPE", "byte_fallback": True, "vocab": vocabulary, "merges": ["b c", "a b", "ab c"]}
    with pytest.raises(UnsupportedError, match="'a' and 'bc' do not merge to the token 'abc'"):
        scores(read_tokenizer({"model": model}))
    model["merges"] = ["b c", "a b", "ab c", "a bc"]
    assert scores(read_tokenizer({"model": model})) == {"bc": 0.0, "ab": -1.0, "abc": -2.0}


def test_special_tokens_come_from_several_files(tmp_path: Path) -> None:
    added = [
        {"id": 3 + i, "content": text, "special": True} for i, text in enumerate(["<s>", "</s>", "<end>", "<stop>"])
    ]
    write(
        tmp_path,
        tokenizer=bpe(added_tokens=added),
        tokenizer_config={"bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": True},
        config={"pad_token_id": 5},
        generation_config={"eos_token_id": [4, 5, 6]},
    )
    metadata, _ = tokenizer_metadata(tmp_path, 7)
    keys = ("bos_token_id", "eos_token_id", "padding_token_id", "eot_token_id", "eom_token_id")
    assert [metadata[f"tokenizer.ggml.{key}"] for key in keys] == [3, 4, 5, 5, 6]
    assert metadata["tokenizer.ggml.add_bos_token"] is True
    assert metadata["tokenizer.ggml.add_eos_token"] is False


def test_chat_templates_come_from_a_field_a_list_or_files(tmp_path: Path) -> None:
    write(tmp_path, tokenizer=bpe(), tokenizer_config={"chat_template": "one"})
    assert tokenizer_metadata(tmp_path, 3)[0]["tokenizer.chat_template"] == "one"
    several = [{"name": "default", "template": "two"}, {"name": "tools", "template": "three"}]
    write(tmp_path, tokenizer_config={"chat_template": several})
    metadata, _ = tokenizer_metadata(tmp_path, 3)
    assert metadata["tokenizer.chat_template"] == "two"
    assert metadata["tokenizer.chat_template.tools"] == "three"
    assert metadata["tokenizer.chat_templates"] == ["tools"]
    (tmp_path / "chat_template.jinja").write_text("four")
    assert tokenizer_metadata(tmp_path, 3)[0]["tokenizer.chat_template"] == "four"


def test_a_folder_without_a_tokenizer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="has no tokenizer"):
        tokenizer_metadata(tmp_path, 3)


def test_a_sentencepiece_model_is_read() -> None:
    model = read_model(sentencepiece_bytes(PIECES, adds_blank=False), "tokenizer.model")
    assert [(piece.text, piece.score, piece.type) for piece in model.pieces] == PIECES
    assert not model.adds_blank
    assert model.special == {"unk": 0, "bos": 1, "eos": 2}


def test_a_sentencepiece_model_cut_at_every_byte_never_crashes() -> None:
    whole = sentencepiece_bytes(PIECES)
    for length in range(len(whole)):
        try:
            read_model(whole[:length], "tokenizer.model")
        except (ModelFileError, UnsupportedError):
            continue
        # Only a cut behind whole fields that say it all goes unnoticed.
        assert length > whole.rindex(b"\x12\x02")


@pytest.mark.parametrize(
    "data", [b"", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x0b", b"IQ== 0\nIg== 1\n"]
)
def test_what_is_no_sentencepiece_model_is_refused(data: bytes) -> None:
    with pytest.raises(ModelFileError, match="no SentencePiece model"):
        read_model(data, "tokenizer.model")


def test_unigram_models_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="not a byte-pair encoding"):
        read_model(sentencepiece_bytes(PIECES, model_type=1), "tokenizer.model")
