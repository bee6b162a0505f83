"""LoRA adapters, merged in and as files of their own."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.cases import ADAPTERS, CASES, POSITIONS, TOLERANCE, prompt
from convert.folders import GOLDEN, Stored, tensors_of, write_adapter, write_safetensors
from convert.runs import Run, metadata_of, values_of
from edgewise import _core
from edgewise.convert.adapters import convert_adapter
from edgewise.convert.conversion import Options, convert_model
from edgewise.errors import EdgewiseError, InvalidArgument, ModelFileError, SystemRefused, UnsupportedError

FolderOf = Callable[[str], Path]
LAYER = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def adapter_of(tmp_path: Path, figures: dict[str, Any]) -> FolderOf:
    return lambda name: write_adapter(tmp_path / name, name, figures[name])


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_merged_adapter_gives_the_logits_of_peft(
    name: str, folder_of: FolderOf, adapter_of: FolderOf, figures: dict[str, Any], tmp_path: Path
) -> None:
    base, path = ADAPTERS[name][0], tmp_path / "model.gguf"
    convert_model(folder_of(base), path, Options("f32", adapters=((adapter_of(name), 1.0),)))
    logits = np.load(GOLDEN / "logits.npz")
    found = Run(path).evaluate(prompt(CASES[base]))[list(POSITIONS)]
    assert np.abs(found - logits[name]).max() <= TOLERANCE * figures[name]["range"]
    assert np.abs(found - logits[base]).max() > 10 * TOLERANCE * figures[name]["range"]


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_that_is_applied_gives_the_logits_of_peft(
    name: str, folder_of: FolderOf, adapter_of: FolderOf, figures: dict[str, Any], tmp_path: Path
) -> None:
    base, model, path = folder_of(ADAPTERS[name][0]), tmp_path / "model.gguf", tmp_path / "adapter.gguf"
    convert_model(base, model, Options("f32"))
    convert_adapter(adapter_of(name), base, path)
    found = Run(model, path).evaluate(prompt(CASES[ADAPTERS[name][0]]))[list(POSITIONS)]
    expected = np.load(GOLDEN / "logits.npz")[name]
    assert np.abs(found - expected).max() <= TOLERANCE * figures[name]["range"]


def test_an_adapter_merged_with_scale_0_changes_nothing(
    folder_of: FolderOf, adapter_of: FolderOf, tmp_path: Path
) -> None:
    folder, plain, merged = folder_of("llama"), tmp_path / "plain.gguf", tmp_path / "merged.gguf"
    convert_model(folder, plain, Options("f32"))
    convert_model(folder, merged, Options("f32", adapters=((adapter_of("llama-lora"), 0.0),)))
    assert plain.read_bytes() == merged.read_bytes()


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (float("nan"), "its scale is nan, a finite number is needed"),
        (float("-inf"), "its scale is -inf, a finite number is needed"),
        (1e300, "its scale is 1e[+]300, which times 8 / 4 is beyond the numbers of an f32"),
        (8e37, "layers.0.*q_proj.*lora in scale 8e[+]37 added is beyond the numbers of an f32"),
    ],
)
def test_a_scale_that_no_weight_can_take_is_named(
    scale: float, message: str, folder_of: FolderOf, adapter_of: FolderOf, figures: dict[str, Any], tmp_path: Path
) -> None:
    adapter, path = adapter_of("llama-lora"), tmp_path / "model.gguf"
    tensors = tensors_of(CASES["llama"], figures["llama-lora"]["tensors"], 1)
    large = Stored("F32", (64, 4), np.full((64, 4), 1e3, "<f4").tobytes())
    write_safetensors(adapter / "adapter_model.safetensors", tensors | {f"{LAYER}.lora_B.weight": large})
    with pytest.raises(InvalidArgument, match=message) as caught:  # warnings are errors here
        convert_model(folder_of("llama"), path, Options("f32", adapters=((adapter, scale),)))
    assert str(adapter) in caught.value.message
    assert not list(tmp_path.glob("*.gguf*"))


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_file_of_an_adapter_holds_what_merging_adds(
    name: str, folder_of: FolderOf, adapter_of: FolderOf, tmp_path: Path
) -> None:
    folder, adapter = folder_of(ADAPTERS[name][0]), adapter_of(name)
    plain, merged, path = (tmp_path / f"{file}.gguf" for file in ("plain", "merged", "adapter"))
    convert_model(folder, plain, Options("f32"))
    convert_model(folder, merged, Options("f32", adapters=((adapter, 1.0),)))
    convert_adapter(adapter, folder, path)
    alpha = metadata_of(path)["adapter.lora.alpha"]
    assert isinstance(alpha, float)
    names = {tensor for tensor, *_ in _core.ModelFile(path).tensors()}
    changed = {tensor.rpartition(".")[0] for tensor in names}
    assert {f"{tensor}.lora_{half}" for tensor in changed for half in "ab"} == names
    for tensor, *_ in _core.ModelFile(plain).tensors():
        difference = values_of(merged, tensor) - values_of(plain, tensor)
        if tensor not in changed:
            assert not difference.any()
            continue
        a, b = values_of(path, f"{tensor}.lora_a"), values_of(path, f"{tensor}.lora_b")
        rank = b.shape[1]
        # An embedding's rows are looked up: a has a row for each token.
        product = a @ b.T if tensor == "token_embd.weight" else b @ a
        np.testing.assert_allclose(difference, alpha / rank * product, atol=2e-6)
        assert difference.any()


def test_the_keys_of_an_adapter_file(folder_of: FolderOf, adapter_of: FolderOf, tmp_path: Path) -> None:
    path = tmp_path / "adapter.gguf"
    report = convert_adapter(adapter_of("llama-lora"), folder_of("llama"), path, "f16")
    metadata = metadata_of(path)
    assert metadata["general.type"] == "adapter"
    assert metadata["adapter.type"] == "lora"
    assert metadata["general.architecture"] == "llama"
    assert report.formats == {"f16": 2 * 2 * 7}


def test_the_base_needs_no_weights(folder_of: FolderOf, adapter_of: FolderOf, tmp_path: Path) -> None:
    folder = folder_of("llama")
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    convert_adapter(adapter_of("llama-lora"), folder, tmp_path / "adapter.gguf")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "LOHA"}, "type LOHA"),
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"lora_bias": True}, "lora_bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"trainable_token_indices": [0, 1]}, "trainable_token_indices"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
        ({"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens.*part of the text"),
        ({"init_lora_weights": "pissa_niter_16"}, "init_lora_weights.*pissa_niter_16"),
        ({"r": 5}, "says rank 5"),
        ({"rank_pattern": {"[": 2}}, "regular expression"),
        ({"lora_alpha": None}, "lora_alpha"),
    ],
)
def test_other_adapters_are_refused(
    change: dict[str, Any], message: str, folder_of: FolderOf, adapter_of: FolderOf, tmp_path: Path
) -> None:
    adapter, path = adapter_of("llama-lora"), tmp_path / "model.gguf"
    config = json.loads((adapter / "adapter_config.json").read_text()) | change
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises((ModelFileError, UnsupportedError), match=message):
        convert_model(folder_of("llama"), path, Options("f32", adapters=((adapter, 1.0),)))
    with pytest.raises((ModelFileError, UnsupportedError), match=message):
        convert_adapter(adapter, folder_of("llama"), path)
    assert not list(tmp_path.glob("*.gguf*"))


def test_an_adapter_of_another_model_is_refused(folder_of: FolderOf, adapter_of: FolderOf, tmp_path: Path) -> None:
    adapter, other = adapter_of("llama-lora"), folder_of("phi3-short")
    with pytest.raises(ModelFileError, match="has no such matrix"):
        convert_model(other, tmp_path / "model.gguf", Options("f32", adapters=((adapter, 1.0),)))
    with pytest.raises(ModelFileError, match="has no such matrix"):
        convert_adapter(adapter, other, tmp_path / "adapter.gguf")


def test_half_a_pair_is_refused(folder_of: FolderOf, adapter_of: FolderOf, tmp_path: Path) -> None:
    adapter = adapter_of("llama-lora")
    half = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": Stored("F32", (4, 64), b"\0" * 1024)}
    write_safetensors(adapter / "adapter_model.safetensors", half)
    with pytest.raises(ModelFileError, match="lora_A, and not the other half"):
        convert_adapter(adapter, folder_of("llama"), tmp_path / "adapter.gguf")


def test_errors_say_which_of_several_adapters(folder_of: FolderOf, adapter_of: FolderOf, tmp_path: Path) -> None:
    good, bad, other = adapter_of("llama-lora"), tmp_path / "bad", adapter_of("phi3-lora")
    write_adapter(bad, "llama-lora", json.loads((GOLDEN / "figures.json").read_text())["cases"]["llama-lora"])
    config = json.loads((bad / "adapter_config.json").read_text())
    for change, adapter in (({"r": 5}, bad), ({"use_dora": True}, bad), ({"r": "4"}, bad), ({}, other)):
        (bad / "adapter_config.json").write_text(json.dumps(config | change))
        with pytest.raises(EdgewiseError, match=f"^{re.escape(str(adapter))}\\b"):
            convert_model(
                folder_of("llama"), tmp_path / "model.gguf", Options("f32", adapters=((good, 1.0), (adapter, 1.0)))
            )


def test_a_folder_that_is_not_there_is_named_once(folder_of: FolderOf, adapter_of: FolderOf, tmp_path: Path) -> None:
    nowhere, path = tmp_path / "nosuch", tmp_path / "file.gguf"
    with pytest.raises(SystemRefused, match=r"nosuch/config\.json cannot be read: No such file or directory$"):
        convert_adapter(adapter_of("llama-lora"), nowhere, path)
    with pytest.raises(ModelFileError) as caught:
        convert_model(folder_of("llama"), path, Options("f32", adapters=((nowhere, 1.0),)))
    assert caught.value.message == f"{nowhere} is no folder of a LoRA adapter: it has no adapter_config.json"


def test_an_adapter_without_weights_says_which_file_is_missing(
    folder_of: FolderOf, adapter_of: FolderOf, tmp_path: Path
) -> None:
    adapter = adapter_of("llama-lora")
    # Neither a model's weights nor a pickle take their place.
    (adapter / "adapter_model.safetensors").rename(adapter / "model.safetensors")
    with pytest.raises(ModelFileError, match=r"it has no adapter_model\.safetensors"):
        convert_adapter(adapter, folder_of("llama"), tmp_path / "adapter.gguf")
    (adapter / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(UnsupportedError, match=r"as a pickle, adapter_model\.bin"):
        convert_adapter(adapter, folder_of("llama"), tmp_path / "adapter.gguf")


@pytest.mark.parametrize(
    "name",
    [
        f"{LAYER}.lora_B.bias",
        f"{LAYER}.lora_B.default.bias",
        f"{LAYER}.lora_magnitude_vector",
        f"{LAYER}.lora_diag",
        f"{LAYER}.bias",
        "base_model.model.lm_head.weight",
        "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",
        "base_model.model.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.lora_A.weight",
    ],
)
def test_a_tensor_that_is_no_half_of_a_pair_is_named(
    name: str, folder_of: FolderOf, adapter_of: FolderOf, figures: dict[str, Any], tmp_path: Path
) -> None:
    adapter, path = adapter_of("llama-lora"), tmp_path / "model.gguf"
    tensors = tensors_of(CASES["llama"], figures["llama-lora"]["tensors"], 1)
    write_safetensors(adapter / "adapter_model.safetensors", tensors | {name: Stored("F32", (4,), b"\0" * 16)})
    message = f'"{re.escape(name)}" is no half of a LoRA pair'
    with pytest.raises(UnsupportedError, match=message) as caught:
        convert_model(folder_of("llama"), path, Options("f32", adapters=((adapter, 1.0),)))
    assert "merge_and_unload" in str(caught.value.hint)
    with pytest.raises(UnsupportedError, match=message):
        convert_adapter(adapter, folder_of("llama"), path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{LAYER}.lora_A.second.weight", "are the same half of a pair"),
        ("base_model.model.other.layers.0.self_attn.q_proj.lora_A.weight", "is a second pair that changes"),
    ],
)
def test_no_pair_takes_the_place_of_another(
    name: str, message: str, folder_of: FolderOf, adapter_of: FolderOf, figures: dict[str, Any], tmp_path: Path
) -> None:
    adapter = adapter_of("llama-lora")
    tensors = tensors_of(CASES["llama"], figures["llama-lora"]["tensors"], 1)
    more = {name: tensors[f"{LAYER}.lora_A.weight"]}
    if ".other." in name:
        more[name.replace("lora_A", "lora_B")] = tensors[f"{LAYER}.lora_B.weight"]
    write_safetensors(adapter / "adapter_model.safetensors", tensors | more)
    with pytest.raises((ModelFileError, UnsupportedError), match=message):
        convert_adapter(adapter, folder_of("llama"), tmp_path / "adapter.gguf")


def test_adapters_are_stored_as_floats(folder_of: FolderOf, adapter_of: FolderOf, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="not as 'q4_k'"):
        convert_adapter(adapter_of("llama-lora"), folder_of("llama"), tmp_path / "adapter.gguf", "q4_k")


def test_merging_without_numpy_says_what_to_install(
    folder_of: FolderOf, adapter_of: FolderOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, adapter, path = folder_of("llama"), adapter_of("llama-lora"), tmp_path / "model.gguf"
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(UnsupportedError, match="needs numpy") as caught:
        convert_model(folder, path, Options("f32", adapters=((adapter, 1.0),)))
    assert caught.value.hint == "pip install 'edgewise[convert]'"
    convert_model(folder, path, Options("q8_0"))
