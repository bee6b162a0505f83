"""Bad folders: each a clear error, and no output left."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from convert.cases import CASES
from convert.folders import Stored, tensors_of, write_safetensors
from edgewise.convert.conversion import Options, convert_model
from edgewise.errors import EdgewiseError, InvalidArgument, ModelFileError, UnsupportedError

WEIGHT = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Path]:
    """Where the file would be; nothing may be there in the end."""
    folder = tmp_path / "output"
    folder.mkdir()
    yield folder / "model.gguf"
    assert not list(folder.iterdir())


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def write_weights(folder: Path, figures: dict[str, Any], change: Callable[[dict[str, Stored]], None]) -> None:
    """The weights of the llama as one file, changed."""
    tensors = tensors_of(CASES["llama"], figures["llama"]["tensors"], 1)
    change(tensors)
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    write_safetensors(folder / "model.safetensors", tensors)


def refuse(folder: Path, output: Path, kind: type[EdgewiseError], message: str, form: str = "f32") -> EdgewiseError:
    with pytest.raises(kind, match=message) as caught:
        convert_model(folder, output, Options(form))
    return caught.value


def test_a_missing_shard_is_named(folder: Path, output: Path) -> None:
    (folder / "model-00002-of-00002.safetensors").unlink()
    refuse(folder, output, ModelFileError, r"model-00002-of-00002\.safetensors is missing")


def test_a_truncated_file_names_the_tensor(folder: Path, output: Path) -> None:
    path = folder / "model-00002-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    error = refuse(folder, output, ModelFileError, "the file ends before tensor")
    assert error.hint is not None
    assert "incomplete" in error.hint


def test_a_file_that_shrinks_while_it_is_read_is_an_error(folder: Path, output: Path) -> None:
    def shrink(_done: int, _total: int, _name: str) -> None:
        path = folder / "model-00002-of-00002.safetensors"
        path.write_bytes(path.read_bytes()[:2000])

    with pytest.raises(ModelFileError, match="the file ends before"):
        convert_model(folder, output, Options("f32"), shrink)


def test_a_missing_tensor_is_named(folder: Path, output: Path, figures: dict[str, Any]) -> None:
    write_weights(folder, figures, lambda tensors: tensors.__delitem__(WEIGHT))
    refuse(folder, output, ModelFileError, f'tensor "{WEIGHT}" is missing')


def test_a_tensor_that_the_architecture_does_not_have_is_refused(
    folder: Path, output: Path, figures: dict[str, Any]
) -> None:
    extra = Stored("F32", (1,), b"\0" * 4)
    write_weights(folder, figures, lambda tensors: tensors.update({"model.layers.2.mlp.gate.weight": extra}))
    refuse(folder, output, UnsupportedError, r'tensor "model\.layers\.2\.mlp\.gate\.weight" is not one')


def test_frequencies_that_follow_from_the_configuration_are_left_out(
    folder: Path, tmp_path: Path, figures: dict[str, Any]
) -> None:
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    write_weights(folder, figures, lambda tensors: tensors.update({name: Stored("F32", (8,), b"\0" * 32)}))
    assert not convert_model(folder, tmp_path / "model.gguf", Options("f32")).notes


def test_shapes_that_do_not_match_the_configuration_are_named(folder: Path, output: Path) -> None:
    change_config(folder, intermediate_size=128)
    refuse(
        folder, output, ModelFileError, r'"model.layers.0.mlp.gate_proj.weight" is 96 x 64; config.json says 128 x 64'
    )


@pytest.mark.parametrize("form", ["f32", "f16", "bf16", "q8_0", "q4_k_m"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_named(
    folder: Path, output: Path, figures: dict[str, Any], value: float, form: str
) -> None:
    def spoil(tensors: dict[str, Stored]) -> None:
        data = bytearray(tensors[WEIGHT].data)
        data[4 * (5 * 96 + 7) :][:4] = b""
        struct.pack_into("<f", data, 4 * (5 * 96 + 7), value)
        tensors[WEIGHT] = Stored("F32", tensors[WEIGHT].shape, bytes(data))

    write_weights(folder, figures, spoil)
    refuse(folder, output, ModelFileError, rf'tensor "{WEIGHT}".*row 5.*column 7', form)


def test_an_unknown_architecture_lists_the_known_ones(folder: Path, output: Path) -> None:
    change_config(folder, architectures=["FalconForCausalLM"])
    error = refuse(folder, output, UnsupportedError, "FalconForCausalLM is not one that is converted")
    assert error.hint is not None
    for name in ("LlamaForCausalLM", "Gemma3ForCausalLM", "Phi3ForCausalLM"):
        assert name in error.hint


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"architectures": None}, UnsupportedError, "names no architecture"),
        ({"hidden_size": None}, ModelFileError, '"hidden_size" is missing'),
        ({"hidden_size": "64"}, ModelFileError, "whole number"),
        ({"num_hidden_layers": -1}, ModelFileError, "whole number"),
        ({"num_key_value_heads": 3}, ModelFileError, "divisor"),
        ({"rms_norm_eps": float("nan")}, ModelFileError, "above 0"),
        ({"hidden_act": "gelu"}, UnsupportedError, "hidden_act"),
        ({"quantization_config": {"quant_method": "gptq"}}, UnsupportedError, "quantized already"),
        ({"rope_parameters": {"rope_type": "spiral"}}, UnsupportedError, "spiral"),
        ({"vocab_size": 500}, ModelFileError, "512 x 64; config.json says 500 x 64"),
    ],
)
def test_a_configuration_that_is_wrong_is_refused(
    changes: dict[str, Any], kind: type[EdgewiseError], message: str, folder: Path, output: Path
) -> None:
    change_config(folder, **changes)
    refuse(folder, output, kind, message)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_a_configuration_that_is_no_object_is_refused(folder: Path, output: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    refuse(folder, output, ModelFileError, r"config\.json")


def test_what_gemma_files_cannot_say_is_refused(folder_of: Callable[[str], Path], output: Path) -> None:
    folder = folder_of("gemma2")
    change_config(folder, query_pre_attn_scalar=48)
    refuse(folder, output, UnsupportedError, "query_pre_attn_scalar")
    change_config(folder, query_pre_attn_scalar=32, final_logit_softcapping=None)
    refuse(folder, output, UnsupportedError, "always mean a cap")


def test_an_unknown_format_lists_the_known_ones(folder: Path, output: Path) -> None:
    error = refuse(folder, output, InvalidArgument, "q9_9", "q9_9")
    assert error.hint is not None
    assert "q4_k_m" in error.hint


def test_a_pre_tokenizer_that_the_core_does_not_know_leaves_nothing(folder: Path, output: Path) -> None:
    with pytest.raises(UnsupportedError, match="nonsense"):
        convert_model(folder, output, Options("f32", pre_tokenizer="nonsense"))


def test_a_weight_too_large_for_the_format_is_named(folder: Path, output: Path, figures: dict[str, Any]) -> None:
    large = Stored("F32", (64, 96), struct.pack("<f", 1e6) * (64 * 96))
    write_weights(folder, figures, lambda tensors: tensors.update({WEIGHT: large}))
    named = rf'tensor "{WEIGHT}", in the file "blk\.1\.ffn_down\.weight": row 0, column 0 is 1e6'
    for form in ("f16", "q8_0", "q4_k_m"):
        error = refuse(folder, output, InvalidArgument, named, form)
        assert error.hint is not None
        assert "--format bf16" in error.hint
    convert_model(folder, output, Options("bf16"))  # as the hint says
    output.unlink()


def test_a_full_disk_leaves_nothing(folder: Path, output: Path) -> None:
    program = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from edgewise.convert.conversion import Options, convert_model\n"
        "from edgewise.errors import SystemRefused\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n    convert_model(Path(sys.argv[1]), Path(sys.argv[2]), Options('f32'))\n"
        "except SystemRefused as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program, folder, output], capture_output=True, check=True, text=True)
    assert "cannot be written" in done.stdout


def test_an_interrupted_run_leaves_no_half_file_and_is_resumed(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.gguf"

    def interrupt(done: int, total: int, _name: str) -> None:
        if 2 * done > total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_model(folder, output, Options("q8_0"), interrupt)
    assert not output.exists()
    started: list[int] = []
    convert_model(folder, output, Options("q8_0", resume=True), lambda done, _total, _name: started.append(done))
    assert started[0] > 0
    resumed = output.read_bytes()
    convert_model(folder, output, Options("q8_0", replace=True))
    assert output.read_bytes() == resumed


def test_another_name_is_another_work(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.gguf"

    def interrupt(done: int, total: int, _name: str) -> None:
        if 2 * done > total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_model(folder, output, Options("q8_0", name="one"), interrupt)
    with pytest.raises(InvalidArgument, match=r"begun from something else.* other metadata"):
        convert_model(folder, output, Options("q8_0", name="other", resume=True))


def test_an_output_folder_that_does_not_exist_is_an_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgewiseError, match="cannot be written"):
        convert_model(folder, tmp_path / "nowhere" / "model.gguf", Options("f32"))


def test_an_adapter_folder_says_how_to_convert_it(tmp_path: Path, output: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    error = refuse(tmp_path, output, UnsupportedError, "is a LoRA adapter")
    assert error.hint is not None
    assert "--base DIR" in error.hint


def test_a_folder_without_a_configuration_is_an_error(tmp_path: Path, output: Path) -> None:
    refuse(tmp_path, output, ModelFileError, "no model folder")
