"""Converted encoders compute what their formulas say, and cut text as their tokenizers do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.encoders import CONFIGS, TOKENS, WIDTH, Kind, states, tokenizer_json, write_folder
from edgewise import open as open_model
from edgewise.convert.conversion import Options, convert_model
from edgewise.convert.model_config import read_config
from edgewise.convert.wordpiece import read_wordpiece
from edgewise.engine.native import NativeEngine
from edgewise.errors import ModelFileError, UnsupportedError

each_kind = pytest.mark.parametrize("kind", ["bert", "nomic-bert"])


def converted(folder: Path, path: Path, form: str = "f32") -> NativeEngine:
    convert_model(folder, path, Options(form))
    engine = open_model(path, engine="native")
    assert isinstance(engine, NativeEngine)
    return engine


@each_kind
def test_states_are_those_of_the_formulas(kind: Kind, tmp_path: Path) -> None:
    write_folder(tmp_path / "model", kind)
    with converted(tmp_path / "model", tmp_path / "model.gguf") as engine:
        for length in (1, 2, 13, 40):
            tokens = [2, *((5 + i * i) % len(TOKENS) for i in range(length - 2)), 3][:length]
            found = np.array(engine.embed([tokens], "none")[0])
            assert np.abs(found - states(kind, tokens)).max() < 1e-4


@each_kind
@pytest.mark.parametrize("form", ["f16", "q8_0", "q4_0"])
def test_quantized_encoders_point_the_same_way(kind: Kind, form: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "model", kind)
    tokens = [2, 7, 8, 9, 10, 3]
    with converted(tmp_path / "model", tmp_path / "model.gguf", form) as engine:
        found, expected = np.array(engine.embed([tokens])[0][0]), states(kind, tokens).mean(axis=0)
    assert found @ expected / np.linalg.norm(found) / np.linalg.norm(expected) > 0.98


@each_kind
def test_the_file_says_what_the_folder_says(kind: Kind, tmp_path: Path) -> None:
    write_folder(tmp_path / "model", kind, pooling="cls_token")
    with converted(tmp_path / "model", tmp_path / "model.gguf") as engine:
        assert engine.default_pooling == "first"
        assert engine.context_length == 40
        assert engine.metadata["tokenizer.ggml.token_type_count"] == 2
        assert engine.detokenize(engine.tokenize("The cats, \u00dca!"), special=True) == b"[CLS]the cats , ua ![SEP]"
        assert engine.tokenize("dog") == [2, 1, 3]


def test_a_cased_tokenizer_stays_cased(tmp_path: Path) -> None:
    write_folder(tmp_path / "model", "bert")
    values = tokenizer_json()
    values["normalizer"] |= {"lowercase": False}
    values["post_processor"] = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    (tmp_path / "model" / "tokenizer.json").write_text(json.dumps(values))
    with converted(tmp_path / "model", tmp_path / "model.gguf") as engine:
        assert engine.tokenize("The \u00fca") == [2, 1, TOKENS.index("\u00fc"), TOKENS.index("##a"), 3]


def test_a_folder_that_does_not_say_how_states_are_pooled_is_noted(tmp_path: Path) -> None:
    write_folder(tmp_path / "model", "bert", pooling=None)
    report = convert_model(tmp_path / "model", tmp_path / "model.gguf", Options())
    assert any("pooled" in note for note in report.notes)
    assert any("pooler.dense" in note for note in report.notes)
    write_folder(tmp_path / "other", "bert", pooling="max_tokens")
    with pytest.raises(UnsupportedError, match="max_tokens"):
        convert_model(tmp_path / "other", tmp_path / "other.gguf", Options())
    assert not (tmp_path / "other.gguf").exists()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("bert", {"hidden_act": "relu"}),
        ("bert", {"position_embedding_type": "relative_key"}),
        ("bert", {"is_decoder": True}),
        ("nomic-bert", {"activation_function": "geglu"}),
        ("nomic-bert", {"prenorm": True}),
        ("nomic-bert", {"rotary_emb_fraction": 0.5}),
        ("nomic-bert", {"moe_every_n_layers": 2}),
    ],
)
def test_what_files_cannot_say_is_refused_by_its_field(kind: Kind, change: dict[str, Any]) -> None:
    read_config(CONFIGS[kind])
    with pytest.raises(UnsupportedError, match=r"config\.json"):
        read_config(CONFIGS[kind] | change)


@pytest.mark.parametrize(
    ("step", "change"),
    [
        ("model", {"continuing_subword_prefix": "@@"}),
        ("model", {"max_input_chars_per_word": 50}),
        ("normalizer", {"type": "NFC"}),
        ("normalizer", {"handle_chinese_chars": False}),
        ("pre_tokenizer", {"type": "Whitespace"}),
        ("post_processor", {"single": []}),
    ],
)
def test_a_tokenizer_that_prepares_text_otherwise_is_refused(step: str, change: dict[str, Any]) -> None:
    values = tokenizer_json()
    values[step] |= change
    with pytest.raises(UnsupportedError, match=r"tokenizer\.json"):
        read_wordpiece(values)


@pytest.mark.parametrize("change", [{"vocab": []}, {"vocab": {"a": "b"}}, {"unk_token": "<unk>"}])
def test_a_malformed_vocabulary_is_refused(change: dict[str, Any]) -> None:
    values = tokenizer_json()
    values["model"] |= change
    with pytest.raises(ModelFileError, match=r"tokenizer\.json"):
        read_wordpiece(values)


def test_a_wrong_shape_is_refused_by_its_name(tmp_path: Path) -> None:
    write_folder(tmp_path / "model", "bert")
    config = CONFIGS["bert"] | {"intermediate_size": WIDTH}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match=r"intermediate\.dense"):
        convert_model(tmp_path / "model", tmp_path / "model.gguf", Options())
