"""File < environment < arguments."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from edgewise.config import (
    DEFAULT_CONTEXT_LENGTH,
    EngineConfig,
    adapter,
    hugging_face_folder,
    load,
    ollama_folder,
    store_folder,
)
from edgewise.errors import InvalidArgument


def write(folder: Path, text: str) -> dict[str, str]:
    path = folder / "config.ini"
    path.write_text(text)
    return {"EDGEWISE_CONFIG": str(path)}


def test_without_anything_the_defaults_hold() -> None:
    assert load(environment={"HOME": "/nowhere"}) == EngineConfig()


def test_the_environment_overrides_the_file_and_an_argument_both(tmp_path: Path) -> None:
    environment = write(tmp_path, "[engine]\nthreads = 1\nbatch = 64\ncontext_length = 100\n")
    environment |= {"EDGEWISE_BATCH": "32", "EDGEWISE_CONTEXT_LENGTH": "200"}
    config = load({"context_length": 300}, environment=environment)
    assert (config.threads, config.batch, config.context_length) == (1, 32, 300)


def test_an_argument_of_none_is_not_given() -> None:
    assert load({"threads": None}, environment={"HOME": "/nowhere", "EDGEWISE_THREADS": "3"}).threads == 3


def test_the_file_is_found_in_the_configuration_folder(tmp_path: Path) -> None:
    (tmp_path / "edgewise").mkdir()
    write(tmp_path / "edgewise", "[engine]\nisa = scalar\n")
    assert load(environment={"XDG_CONFIG_HOME": str(tmp_path)}).isa == "scalar"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[engine]\nthread = 4\n", "'thread'"),
        ("[server]\nport = 80\n", "[server]"),
        ("[engine]\nthreads = four\n", "'four'"),
        ("threads = 4\n", "config.ini"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InvalidArgument, match=named.replace("[", r"\[")):
        load(environment=write(tmp_path, text))


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"no\.ini"):
        load(environment={"EDGEWISE_CONFIG": str(tmp_path / "no.ini")})


@pytest.mark.parametrize(
    "wrong",
    [
        {"threads": -1},
        {"batch": 0},
        {"context_length": -5},
        {"key_format": "q4_0"},
        {"engine": "onnx"},
        {"context_length": 10**20},
        {"batch": 2**31},
        {"gpu_layers": -2},
        {"threads": 1.5},
        {"isa": 5},
        {"sequences": 0},
        {"prompt_cache_bytes": -1},
        {"cache_folder": 5},
        {"engine": 1},
        {"lora": 5},
        {"lora": ["a.gguf"]},
        {"lora": [("a.gguf",)]},
        {"lora": [(5, 1.0)]},
        {"lora": [("a.gguf", "much")]},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        load(wrong, environment={"HOME": "/nowhere"})


def test_prompts_are_kept_in_the_folder_that_is_named_or_the_users_cache() -> None:
    assert EngineConfig().prompt_folder({"HOME": "/home/me"}) == Path("/home/me/.cache/edgewise/prompts")
    environment = {"HOME": "/home/me", "XDG_CACHE_HOME": "/fast"}
    assert EngineConfig().prompt_folder(environment) == Path("/fast/edgewise/prompts")
    assert EngineConfig(cache_folder="/mine").prompt_folder(environment) == Path("/mine/prompts")


def test_the_environment_turns_the_cache_of_prompts_off(tmp_path: Path) -> None:
    environment = write(tmp_path, "[engine]\nprompt_cache_bytes = 1000000\nsequences = 2\n")
    assert load(environment=environment).prompt_cache_bytes == 1_000_000
    config = load(environment={**environment, "EDGEWISE_PROMPT_CACHE_BYTES": "0"})
    assert (config.prompt_cache_bytes, config.sequences) == (0, 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.gguf", ("a.gguf", 1.0)),
        ("a.gguf=0.5", ("a.gguf", 0.5)),
        ("a=b.gguf", ("a=b.gguf", 1.0)),
        ("a=1=-2e-1", ("a=1", -0.2)),
        ("C:\\a b.gguf=2", ("C:\\a b.gguf", 2.0)),
    ],
)
def test_an_adapter_is_a_path_and_a_scale_if_there_is_one(text: str, expected: tuple[str, float]) -> None:
    assert adapter(text) == expected


def test_several_adapters_are_apart_by_commas_or_lines(tmp_path: Path) -> None:
    environment = write(tmp_path, "[engine]\nlora = a.gguf = 0.5\n  b.gguf\n")
    assert load(environment=environment).lora == (("a.gguf", 0.5), ("b.gguf", 1.0))
    assert load(environment={**environment, "EDGEWISE_LORA": "c.gguf, d.gguf=2"}).lora == (
        ("c.gguf", 1.0),
        ("d.gguf", 2),
    )
    assert load({"lora": [("e.gguf", 3)]}, environment=environment).lora == [("e.gguf", 3)]


def test_a_configuration_cannot_change() -> None:
    with pytest.raises(FrozenInstanceError):
        EngineConfig().threads = 2  # type: ignore[misc]


def test_the_context_is_the_models_own_but_not_huge_unless_asked_for() -> None:
    assert EngineConfig().context_for(512) == 512
    assert EngineConfig().context_for(131072) == DEFAULT_CONTEXT_LENGTH
    assert EngineConfig(context_length=0).context_for(131072) == 131072
    assert EngineConfig(context_length=8192).context_for(512) == 8192


@pytest.mark.parametrize(
    ("environment", "folders"),
    [
        ({"HOME": "/u"}, ("/u/.local/share/edgewise", "/u/.ollama/models", "/u/.cache/huggingface/hub")),
        ({"HOME": "/u", "XDG_DATA_HOME": "/d", "XDG_CACHE_HOME": "/c"}, ("/d/edgewise", None, "/c/huggingface/hub")),
        ({"HOME": "/u", "EDGEWISE_HOME": "/e", "XDG_DATA_HOME": "/d", "HF_HOME": "/h"}, ("/e", None, "/h/hub")),
        ({"OLLAMA_MODELS": "/o", "HF_HUB_CACHE": "/h", "LOCALAPPDATA": "/l"}, ("/l/edgewise", "/o", "/h")),
    ],
)
def test_models_are_where_their_owners_variables_say(
    environment: dict[str, str], folders: tuple[str | None, ...]
) -> None:
    found = (store_folder(environment), ollama_folder(environment), hugging_face_folder(environment))
    for path, expected in zip(found, folders, strict=True):
        assert expected is None or path == Path(expected)
