"""Installed models: the verbs that keep them, and other verbs that take their names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edgewise import _core
from edgewise.cli import main
from edgewise.cli.installed_models import open_store

Capture = pytest.CaptureFixture[str]


def output(capsys: Capture, *arguments: str | Path) -> str:
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def error(capsys: Capture, *arguments: str | Path) -> str:
    assert main([str(argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def listed(capsys: Capture) -> list[str]:
    return [model["name"] for model in json.loads(output(capsys, "list", "--json"))["models"]]


@pytest.fixture
def tiny(story_model: Path, capsys: Capture) -> str:
    return output(capsys, "import", story_model, "tiny").strip()


def test_the_demo_is_listed_where_nothing_else_is(capsys: Capture) -> None:
    lines = output(capsys, "list").splitlines()
    assert lines[0].split() == ["NAME", "DIGEST", "SIZE", "FORMAT", "KEPT", "BY", "MODIFIED"]
    assert lines[1].split()[0] == "demo:latest"
    assert "llama 3.67M Q8_0" in lines[1]


def test_what_cannot_be_opened_is_not_imported(story_model: Path, tmp_path: Path, capsys: Capture) -> None:
    data = story_model.read_bytes()
    needed, other = b"blk.0.attn_q.weight", b"blk.0.attn_z.weight"
    assert data.count(needed) == 1
    odd = tmp_path / "odd.gguf"
    odd.write_bytes(data.replace(needed, other))
    assert main(["show", str(odd)]) == 0  # its layout is sound
    capsys.readouterr()
    assert "blk.0.attn_q.weight" in error(capsys, "import", odd, "--quiet")
    assert listed(capsys) == ["demo:latest"]
    assert "unneeded 0 B" in " ".join(output(capsys, "du").split())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Llama-3.2-1B-Instruct:Q4_K_M"),
        ("model.f16.gguf", "model:f16"),
        ("big-q8_0-00001-of-00003.gguf", "big:q8_0"),
        ("my model (2).gguf", "my-model-2:latest"),
        ("plain.GGUF", "plain:latest"),
    ],
)
def test_a_file_is_called_as_its_name_says(file: str, name: str, tmp_path: Path, capsys: Capture) -> None:
    from importlib import import_module

    from edgewise.store.names import ModelName

    assert str(ModelName.parse(import_module("edgewise.cli.import").name_of(tmp_path / file))) == name


def test_an_imported_model_is_listed_shown_and_run(tiny: str, capsys: Capture) -> None:
    assert tiny == "tiny:latest"
    assert listed(capsys) == ["tiny:latest"]
    shown = output(capsys, "show", "tiny")
    assert "installed as      tiny:latest" in shown
    assert "architecture      llama" in shown
    text = output(capsys, "run", "TINY:latest", "-p", "Once upon a time", "-n", "8", "--temp", "0", "-q")
    assert len(text) > 8


def test_a_malformed_file_is_not_imported(story_model: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(story_model.read_bytes()[:-1000])
    assert "cut.gguf: tensor" in error(capsys, "import", path)
    assert listed(capsys) == ["demo:latest"]


def test_a_model_is_created_as_a_modelfile_says(tiny: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "Modelfile").write_text(
        'FROM demo\nPARAMETER num_predict 3\nPARAMETER temperature 0\nSYSTEM "Be brief."'
    )
    assert output(capsys, "create", "brief", "-f", tmp_path / "Modelfile") == "brief:latest\n"
    answer = json.loads(output(capsys, "run", "brief", "-p", "Hello", "--json"))
    assert answer["finish_reason"] == "length"
    alone = json.loads(output(capsys, "run", "demo", "-p", "Hello", "-n", "3", "--temp", "0", "--json"))
    assert answer["prompt_tokens"] > alone["prompt_tokens"]  # the system message
    longer = json.loads(output(capsys, "run", "brief", "-p", "Hello", "-n", "5", "--json"))
    assert len(longer["text"]) > len(answer["text"])
    modelfile = output(capsys, "show", "brief", "--modelfile")
    assert "SYSTEM Be brief." in modelfile
    (tmp_path / "again").write_text(modelfile)
    output(capsys, "create", "again", "-f", tmp_path / "again")
    digests = {model.name: model.digest for model in open_store().list()}
    assert digests["again:latest"] == digests["brief:latest"]


def test_paths_in_a_modelfile_are_relative_to_it(
    demo_adapters: tuple[Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    adapter = os.path.relpath(demo_adapters[0], tmp_path)
    (tmp_path / "Modelfile").write_text(f"FROM demo\nADAPTER {adapter}\nPARAMETER temperature 0")
    output(capsys, "create", "adapted", "-f", tmp_path / "Modelfile")
    arguments = ["-p", "Once upon a time", "-n", "16", "-q", "--temp", "0"]
    adapted = output(capsys, "run", "adapted", *arguments)
    assert adapted == output(capsys, "run", "demo", "--lora", demo_adapters[0], *arguments)
    assert adapted != output(capsys, "run", "demo", *arguments)


def test_a_mistake_in_a_modelfile_is_named_with_its_line(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "Modelfile").write_text("FROM demo\nPARAMETER warmth 3")
    message = error(capsys, "create", "x", "-f", tmp_path / "Modelfile")
    assert message.startswith("error: Modelfile, line 2: unknown parameter 'warmth'\nhint: ")
    assert "nothing" in error(capsys, "create", "x", "-f", tmp_path / "nothing")


def test_a_model_is_quantized_on_its_way(tmp_path: Path, capsys: Capture) -> None:
    from quantize.models import model

    source = model(tmp_path)
    output(capsys, "import", source, "small", "-q", "q4_k_m", "--quiet")
    installed = open_store().resolve("small")
    assert installed.details.quantization_level == "Q4_K_M"
    assert installed.size_bytes < source.stat().st_size / 2


def test_a_copy_takes_no_space_and_outlives_its_source(tiny: str, capsys: Capture) -> None:
    before = json.loads(output(capsys, "du", "--json"))
    output(capsys, "cp", "tiny", "me/other:v2")
    after = json.loads(output(capsys, "du", "--json"))
    assert after["total"] == before["total"]
    assert (before["alone"]["tiny:latest"], after["alone"]["tiny:latest"]) == (before["total"], 0)
    output(capsys, "rm", "tiny")
    assert listed(capsys) == ["me/other:v2"]
    output(capsys, "rm", "me/other:v2")
    assert json.loads(output(capsys, "du", "--json"))["total"] == 0


def test_unknown_names_are_errors_with_hints(capsys: Capture) -> None:
    for arguments in (["rm", "nothing"], ["cp", "nothing", "x"]):
        assert error(capsys, *arguments) == (
            "error: model 'nothing:latest' not found\nhint: `edgewise list` says which models are there\n"
        )
    assert "no such file" in error(capsys, "show", "nothing")
    assert "invalid model name" in error(capsys, "rm", "../x")


def test_damage_is_found_named_and_mended(story_model: Path, tiny: str, capsys: Capture) -> None:
    assert output(capsys, "verify") == "all is sound\n"
    path = open_store().resolve("tiny").path
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(-10, 2)
        byte = file.read(1)
        file.seek(-10, 2)
        file.write(bytes([byte[0] ^ 1]))
    assert main(["verify", "--remove"]) == 1
    assert "(needed by tiny:latest)" in capsys.readouterr().out
    assert main(["verify"]) == 1
    assert "it is missing" in capsys.readouterr().out
    output(capsys, "import", story_model, "tiny")
    assert output(capsys, "verify") == "all is sound\n"


def test_garbage_is_removed(tiny: str, capsys: Capture) -> None:
    with open_store().upload() as upload:
        upload.write(b"x" * 2000)
        upload.commit()
    assert "unneeded 2.0 kB" in [" ".join(line.split()) for line in output(capsys, "du").splitlines()]
    assert output(capsys, "gc") == "0 B freed\n"
    assert output(capsys, "gc", "--all") == "2.0 kB freed\n"
    assert listed(capsys) == ["tiny:latest"]


def test_verbs_that_write_files_put_them_here_and_not_into_the_store(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    output(capsys, "quantize", "tiny", "q8_0", "-q")
    output(capsys, "split", "tiny", "--max-tensors", "30", "-q")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "tiny-latest-00001-of-00002.gguf",
        "tiny-latest-00002-of-00002.gguf",
        "tiny-latest-q8_0.gguf",
    ]
    output(capsys, "import", tmp_path / "tiny-latest-00001-of-00002.gguf", "parts")
    assert len(_core.ModelFile(open_store().resolve("parts").path).tensors()) == 47
    assert output(capsys, "verify") == "all is sound\n"


def test_a_file_comes_before_a_name(
    tiny: str, story_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").write_bytes(Path(story_model).read_bytes())
    assert json.loads(output(capsys, "show", "tiny", "--json"))["path"] == "tiny"
    (tmp_path / "tiny").unlink()
    (tmp_path / "tiny").mkdir()
    assert json.loads(output(capsys, "show", "tiny", "--json"))["installed"]["installed as"] == "tiny:latest"
