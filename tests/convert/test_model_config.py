"""Configurations of several generations of transformers mean the same."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edgewise.convert.fields import Fields
from edgewise.convert.model_config import ModelConfig, read_config, size_label
from edgewise.convert.rope import read_rope
from edgewise.errors import EdgewiseError, ModelFileError, UnsupportedError

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def rope_metadata(config: ModelConfig) -> dict[str, object]:
    return {key.partition(".")[2]: value for key, value in config.metadata.items() if ".rope." in key}


def test_old_and_new_spellings_of_rotary_scaling_mean_the_same() -> None:
    old = read_config(LLAMA | {"rope_theta": 5e5, "rope_scaling": LLAMA3})
    new = read_config(LLAMA | {"rope_parameters": LLAMA3 | {"rope_theta": 5e5}})
    older = read_config(LLAMA | {"rope_theta": 5e5, "rope_scaling": {**LLAMA3, "type": "llama3", "rope_type": None}})
    assert old == new == older
    factors = old.rope.factors["rope_freqs.weight"]
    assert factors[0] == 1.0
    assert factors[-1] == 8.0
    assert factors == sorted(factors)


def test_sizes_that_are_left_out_follow_from_others() -> None:
    config = read_config({**LLAMA, "num_key_value_heads": None})
    assert config.head_count_kv == 4
    assert config.sizes["head"] == 16
    assert config.metadata["llama.attention.head_count_kv"] == 4


def test_linear_scaling() -> None:
    config = read_config(LLAMA | {"rope_scaling": {"type": "linear", "factor": 4.0}})
    assert rope_metadata(config)["rope.scaling.type"] == "linear"
    assert rope_metadata(config)["rope.scaling.factor"] == 4.0


def test_yarn() -> None:
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    metadata = rope_metadata(read_config(LLAMA | {"rope_scaling": yarn}))
    assert metadata["rope.scaling.original_context_length"] == 32768
    assert "rope.scaling.attn_factor" not in metadata
    equal = rope_metadata(read_config(LLAMA | {"rope_scaling": yarn | {"mscale": 1.0, "mscale_all_dim": 1.0}}))
    assert equal["rope.scaling.attn_factor"] == pytest.approx(1 / (1 + 0.1 * math.log(4)))


def test_longrope_of_old_phi3_files() -> None:
    values = LLAMA | {
        "architectures": ["Phi3ForCausalLM"],
        "original_max_position_embeddings": 4096,
        "rope_scaling": {"type": "su", "long_factor": [2.0] * 8, "short_factor": [1.0] * 8},
    }
    config = read_config(values)
    factor = rope_metadata(config)["rope.scaling.attn_factor"]
    assert factor == pytest.approx(math.sqrt(1 + math.log(32) / math.log(4096)))
    assert config.rope.factors["rope_factors_long.weight"] == [2.0] * 8
    values["rope_scaling"] = {"type": "longrope", "long_factor": [2.0] * 8, "short_factor": [1.0] * 7}
    with pytest.raises(ModelFileError, match="8 numbers above 0"):
        read_config(values)


def test_dynamic_scaling_is_noted() -> None:
    assert read_config(LLAMA | {"rope_scaling": {"type": "dynamic", "factor": 2.0}}).notes


@pytest.mark.parametrize("change", [{"beta_fast": 16}, {"truncate": False}])
def test_yarn_with_other_settings_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UnsupportedError, match="yarn with"):
        read_config(LLAMA | {"rope_scaling": {"type": "yarn", "factor": 4.0, **change}})


def test_partial_rotation_is_for_those_that_can_say_it() -> None:
    phi = LLAMA | {"architectures": ["Phi3ForCausalLM"], "partial_rotary_factor": 0.75}
    assert read_config(phi).metadata["phi3.rope.dimension_count"] == 12
    with pytest.raises(UnsupportedError, match="partial_rotary_factor"):
        read_config(LLAMA | {"partial_rotary_factor": 0.5})
    with pytest.raises(ModelFileError, match="even number"):
        read_config(phi | {"partial_rotary_factor": 0.7})


def test_a_window_that_the_file_cannot_say_is_noted() -> None:
    mistral = LLAMA | {"architectures": ["MistralForCausalLM"], "sliding_window": 4096}
    assert "4096 positions" in read_config(mistral).notes[0]
    assert not read_config(mistral | {"sliding_window": None}).notes
    assert not read_config(
        LLAMA | {"architectures": ["Qwen2ForCausalLM"], "sliding_window": 4096, "use_sliding_window": False}
    ).notes


GEMMA3 = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "vision_config": {"hidden_size": 1152},
}


def test_the_text_part_of_a_model_that_sees_may_leave_most_fields_out() -> None:
    config = read_config(GEMMA3)
    assert config.is_tied
    assert config.sizes["vocabulary"] == 262208
    assert config.metadata["gemma3.attention.key_length"] == 256
    assert config.metadata["gemma3.rope.freq_base"] == 1e6
    assert config.metadata["gemma3.rope.freq_base_swa"] == 1e4
    assert "gemma3.attention.sliding_window_pattern" not in config.metadata


def test_gemma_of_27b_scales_queries_by_its_width() -> None:
    text = GEMMA3["text_config"] | {  # type: ignore[operator]
        "hidden_size": 5376,
        "num_hidden_layers": 62,
        "num_attention_heads": 32,
        "num_key_value_heads": 16,
        "head_dim": 128,
        "query_pre_attn_scalar": 168,
    }
    read_config(GEMMA3 | {"text_config": text})
    with pytest.raises(UnsupportedError, match="query_pre_attn_scalar"):
        read_config(GEMMA3 | {"text_config": text | {"query_pre_attn_scalar": 128}})


@pytest.mark.parametrize("layers", [["full_attention"], ["other"] * 34, "sliding_attention"])
def test_kinds_of_layers_are_checked(layers: object) -> None:
    with pytest.raises(ModelFileError, match="layer_types"):
        read_config(GEMMA3 | {"text_config": GEMMA3["text_config"] | {"layer_types": layers}})  # type: ignore[operator]


@pytest.mark.parametrize("value", [True, 0, -1, 1.5, "1", [], {}, float("inf"), 2**31, None])
def test_fields_have_their_types(value: object) -> None:
    fields = Fields({"x": value}, "config.json")
    with pytest.raises(ModelFileError, match='"x"'):
        fields.whole("x")
    for read in (fields.number, fields.text):
        if value not in (1.5, "1", 2**31):
            with pytest.raises(ModelFileError, match='"x"'):
                read("x")


@pytest.mark.parametrize("value", [[], "llama3", 3])
def test_rotary_parameters_that_are_no_object_are_refused(value: object) -> None:
    with pytest.raises(EdgewiseError):
        read_rope(Fields({"rope_parameters": value}, "config.json"), 16, 1024, 1e4)


@pytest.mark.parametrize(("count", "label"), [(260_000, "260K"), (3_700_000, "3.7M"), (8_000_000_000, "8B")])
def test_size_labels(count: int, label: str) -> None:
    assert size_label(count) == label
