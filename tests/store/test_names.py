"""Names by Ollama's rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.errors import InvalidArgument
from edgewise.store.names import ModelName


@pytest.mark.parametrize(
    ("text", "parts", "shortest"),
    [
        ("llama3.2", ("registry.ollama.ai", "library", "llama3.2", "latest"), "llama3.2:latest"),
        ("llama3.2:1b", ("registry.ollama.ai", "library", "llama3.2", "1b"), "llama3.2:1b"),
        ("me/model", ("registry.ollama.ai", "me", "model", "latest"), "me/model:latest"),
        ("hf.co/User/Repo-GGUF:Q4_K_M", ("hf.co", "User", "Repo-GGUF", "Q4_K_M"), "hf.co/User/Repo-GGUF:Q4_K_M"),
        ("localhost:5000/a/b:c", ("localhost:5000", "a", "b", "c"), "localhost:5000/a/b:c"),
        ("https://host/a/b", ("host", "a", "b", "latest"), "host/a/b:latest"),
        ("registry.ollama.ai/library/x:y", ("registry.ollama.ai", "library", "x", "y"), "x:y"),
    ],
)
def test_a_name_has_four_parts_and_a_shortest_form(text: str, parts: tuple[str, ...], shortest: str) -> None:
    name = ModelName.parse(text)
    assert (name.host, name.namespace, name.model, name.tag) == parts
    assert str(name) == shortest
    assert ModelName.parse(shortest) == name


def test_names_that_differ_in_case_are_one_name() -> None:
    first, second = ModelName.parse("HF.co/User/Repo:Q4_K_M"), ModelName.parse("hf.co/user/repo:q4_k_m")
    assert first.key == second.key
    assert first.file == second.file


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":tag",
        "model:",
        "a/",
        "/a",
        "a//b",
        "../model",
        "a/../b",
        "..",
        ".hidden",
        "-x",
        "a b",
        "a\\b",
        "a\0b",
        "modèle",
        "a:b:c",
        "a/b/c/d",
        "ftp://host/a/b",
        "name.space/model",
        "model@sha256:00",
        "x" * 81,
        "model:" + "t" * 81,
        "h" * 251 + "/a/b",
        "a\n",
        "~/a",
        "C:\\models\\a.gguf",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    if text == "a\n":
        text = "a\nb"  # blanks around a name are cut off
    with pytest.raises(InvalidArgument, match="invalid model name"):
        ModelName.parse(text)


@pytest.mark.parametrize("text", ["con", "NUL.x:aux", "com1/lpt9:prn", "a.", "a:b.", "h:1/x/y"])
def test_a_name_is_a_file_on_every_system(text: str) -> None:
    file = ModelName.parse(text).file
    assert len(file.parts) == 4
    for part in file.parts:
        bare = part.removesuffix(".json")
        assert bare.split(".")[0] not in {"con", "nul", "aux", "prn", "com1", "lpt9"}
        assert not part.endswith(".")
        assert not bare.endswith(".")
        assert ":" not in part
        assert len(part) <= 255


def test_different_names_have_different_files() -> None:
    texts = ["a", "a.", "a:b", "b/a", "h/b/a", "h:1/b/a", "con", "con.x", "_con"]
    assert len({ModelName.parse(text).file for text in texts}) == len(texts)


def test_no_name_leaves_its_folder(tmp_path: Path) -> None:
    for text in ("a", "x/y:z", "h:80/x/y:..."[:-3] + "q"):
        assert (tmp_path / ModelName.parse(text).file).resolve().is_relative_to(tmp_path.resolve())
