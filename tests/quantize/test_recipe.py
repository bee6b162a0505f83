"""The choice of formats is llama.cpp's, and says why."""

from __future__ import annotations

import json

import pytest

from edgewise.errors import InvalidArgument
from edgewise.quantize.mixes import MIXES, named_format, named_mix
from edgewise.quantize.recipe import Wishes, choose
from edgewise.quantize.roles import Tensor
from quantize.cases import CASES, Case
from quantize.tables import PATH, golden, tabulate, with_importance

BY_NAME = {case.name: case for case in CASES}
QUANTIZED = [name for name in MIXES if name not in ("f32", "f16", "bf16")]


def table(case: Case, mix: str, *, has_importance: bool) -> dict[str, str]:
    choices = choose(case.facts(), MIXES[mix], case.wishes, has_importance=has_importance)
    shapes = {tensor.name: tensor.shape for tensor in case.facts().tensors}
    return tabulate({name: choice.format for name, choice in choices.items() if len(shapes[name]) > 1})


@pytest.mark.parametrize("has_importance", [False, True], ids=["plain", "with importance"])
@pytest.mark.parametrize("mix", QUANTIZED)
@pytest.mark.parametrize("name", BY_NAME)
def test_every_tensor_gets_the_format_that_llama_cpp_gives_it(name: str, mix: str, has_importance: bool) -> None:
    expected = golden(name, mix, has_importance=has_importance)
    assert table(BY_NAME[name], mix, has_importance=has_importance) == expected


@pytest.mark.parametrize("mix", ["f16", "bf16"])
@pytest.mark.parametrize("name", [case.name for case in CASES if case.wishes == Wishes()])
def test_floats_are_the_same_for_all_matrices(name: str, mix: str) -> None:
    assert table(BY_NAME[name], mix, has_importance=False) == golden(name, mix, has_importance=False)


def test_the_tables_show_what_an_importance_matrix_changes() -> None:
    tables = json.loads(PATH.read_text(encoding="utf-8"))["tables"]
    changed = {mix for columns in tables.values() for mix in QUANTIZED if with_importance(mix) in columns}
    assert changed == {"q4_0", "q5_0", "iq4_nl", "iq4_xs"}


def test_vectors_and_norms_keep_their_format() -> None:
    choices = choose(BY_NAME["qwen3-36-layers"].facts(), MIXES["q2_k"])
    kept = {name for name, choice in choices.items() if choice.format == "f32"}
    assert kept == {name for name in choices if "norm" in name}
    assert choices["blk.3.attn_q_norm.weight"].reason == "kept: a vector"


def test_a_pattern_counts_for_float_mixes_too() -> None:
    wishes = Wishes(patterns=(("attn_v", "q8_0"),))
    choices = choose(BY_NAME["llama-8-layers"].facts(), MIXES["f16"], wishes)
    assert choices["blk.0.attn_v.weight"].format == "q8_0"
    assert choices["blk.0.attn_q.weight"].format == "f16"


def test_the_first_pattern_that_fits_counts() -> None:
    wishes = Wishes(patterns=(("attn_(q|k)", "q5_0"), ("attn", "q8_0")))
    choices = choose(BY_NAME["llama-8-layers"].facts(), MIXES["q4_k_m"], wishes)
    assert choices["blk.7.attn_q.weight"].format == "q5_0"
    assert choices["blk.7.attn_output.weight"].format == "q8_0"


@pytest.mark.parametrize(
    ("name", "tensor", "reason"),
    [
        ("llama-8-layers", "blk.1.attn_q.weight", "what q4_k_m gives most matrices"),
        ("llama-8-layers", "output.weight", "more bits: the output projection"),
        ("gemma2-26-layers", "token_embd.weight", "more bits: the embedding, which is the output projection too"),
        (
            "llama-8-layers",
            "blk.0.attn_v.weight",
            "more bits: attention values in the outer eighths and every third layer",
        ),
        (
            "llama-288-columns",
            "blk.1.attn_q.weight",
            "288 columns are no whole blocks of q4_k (what q4_k_m gives most matrices)",
        ),
        ("llama-8-experts", "blk.1.ffn_gate_inp.weight", "kept: chooses among experts"),
        ("wishes", "blk.1.attn_v.weight", "asked for: --tensor-type attn_v=q8_0"),
        ("wishes", "output.weight", "asked for: --output-tensor"),
        ("wishes-tied", "token_embd.weight", "asked for: --output-tensor, which is the embedding too"),
    ],
)
def test_a_choice_says_why(name: str, tensor: str, reason: str) -> None:
    case = BY_NAME[name]
    assert choose(case.facts(), MIXES["q4_k_m"], case.wishes)[tensor].reason == reason


def test_choices_do_not_depend_on_the_order_of_the_file() -> None:
    facts = BY_NAME["llama-16-layers-tied"].facts()
    turned = type(facts)(**{**vars(facts), "tensors": facts.tensors[::-1]})
    assert choose(turned, MIXES["q3_k_m"]) == choose(facts, MIXES["q3_k_m"])
    assert list(choose(turned, MIXES["q3_k_m"])) == [tensor.name for tensor in facts.tensors[::-1]]


def test_a_matrix_of_one_row_is_a_vector() -> None:
    facts = BY_NAME["llama-1-layer"].facts()
    single = type(facts)(**{**vars(facts), "tensors": (Tensor("blk.0.attn_q.weight", "f16", (256, 1)),)})
    assert choose(single, MIXES["q4_k_m"])["blk.0.attn_q.weight"].format == "f16"


def test_names_are_found_in_any_case_and_under_their_short_forms() -> None:
    assert named_mix("Q4_K_M").name == "q4_k_m"
    assert named_mix("q4_k").name == "q4_k_m"
    assert named_format("Q6_K") == "q6_k"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidArgument, match="no mix of formats is called 'q9_z'\nhint: known: f32, f16"):
        named_mix("q9_z")
    with pytest.raises(InvalidArgument, match="no format is called 'q4_k_m'"):
        named_format("q4_k_m")
