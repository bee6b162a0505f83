"""Models that Ollama and the Hugging Face cache hold run where they are."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise.errors import InvalidArgument, NotFound, UnsupportedError
from edgewise.store.creation import Recipe
from edgewise.store.hugging_face import quantization_in
from edgewise.store.store import Store
from store.files import CHATML, cut, everything, gguf


class OllamaFolder:
    """A folder as Ollama writes it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def blob(self, data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (self.root / "blobs").mkdir(parents=True, exist_ok=True)
        (self.root / "blobs" / f"sha256-{digest}").write_bytes(data)
        return {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    def model(self, name: str, file: Path) -> bytes:
        config = {
            "model_format": "gguf",
            "model_family": "llama",
            "model_families": ["llama"],
            "model_type": "1.2B",
            "file_type": "Q4_K_M",
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": []},
        }
        layers = [
            self.blob(file.read_bytes(), "model"),
            self.blob(b"{{ .System }} {{ .Prompt }}", "template"),
            self.blob(b"Be brief.", "system"),
            self.blob(json.dumps({"stop": ["<|eot_id|>"], "num_ctx": 4096}).encode(), "params"),
        ]
        manifest = {"schemaVersion": 2, "config": self.blob(json.dumps(config).encode(), "x"), "layers": layers}
        path = self.root / "manifests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(manifest))
        return path.read_bytes()


@pytest.fixture
def ollama(tmp_path: Path) -> OllamaFolder:
    return OllamaFolder(tmp_path / "ollama")


def test_a_model_of_ollama_runs_where_it_is(ollama: OllamaFolder, model: Path, tmp_path: Path) -> None:
    manifest = ollama.model("registry.ollama.ai/library/llama3.2/1b", model)
    before = everything(ollama.root)
    store = Store(tmp_path / "home", ollama_folder=ollama.root)
    found = store.resolve("Llama3.2:1b")
    assert found in store.list()
    assert found.origin == "ollama"
    assert found.path.is_relative_to(ollama.root)
    assert found.path.read_bytes() == model.read_bytes()
    assert found.digest == f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    assert (found.system, found.parameters["num_ctx"], found.details.parameter_size) == ("Be brief.", 4096, "1.2B")
    with pytest.raises(InvalidArgument, match="kept by ollama"):
        store.delete("llama3.2:1b")
    assert everything(ollama.root) == before
    assert not (tmp_path / "home" / "blobs").exists()


def test_a_model_is_made_from_one_of_ollama(ollama: OllamaFolder, model: Path, tmp_path: Path) -> None:
    ollama.model("registry.ollama.ai/library/base/latest", model)
    store = Store(tmp_path / "home", ollama_folder=ollama.root)
    made = store.create("made", Recipe(source="base", parameters={"top_k": 3}))
    assert made.parameters == {"stop": ["<|eot_id|>"], "num_ctx": 4096, "top_k": 3}
    assert made.template == "{{ .System }} {{ .Prompt }}"
    shutil.rmtree(ollama.root)
    assert store.resolve("made").path.read_bytes() == model.read_bytes()


def test_a_go_template_of_ollama_that_is_not_known_means_the_files_own(
    ollama: OllamaFolder, model: Path, tmp_path: Path
) -> None:
    ollama.model("registry.ollama.ai/library/odd/latest", model)
    found = Store(tmp_path / "home", ollama_folder=ollama.root).resolve("odd")
    odd = replace(found, template="### {{ .Prompt }}")
    assert odd.chat_template(CHATML) is None
    with pytest.raises(UnsupportedError):
        odd.chat_template(None)
    with pytest.raises(UnsupportedError):
        replace(odd, origin="edgewise").chat_template(CHATML)


def test_what_is_not_whole_in_ollamas_folder_is_left_out(ollama: OllamaFolder, model: Path, tmp_path: Path) -> None:
    ollama.model("registry.ollama.ai/library/good/latest", model)
    other = gguf(tmp_path / "other.gguf", fill=9)
    ollama.model("registry.ollama.ai/library/partial/latest", other)
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    cut(ollama.root / "blobs" / f"sha256-{digest}")
    (ollama.root / "manifests" / "registry.ollama.ai" / "library" / "good" / "broken").write_text("{")
    hostile = ollama.root / "manifests" / "registry.ollama.ai" / "library" / "good" / "hostile"
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../../etc/passwd", "size": 1}
    hostile.write_text(json.dumps({"schemaVersion": 2, "config": layer, "layers": [layer]}))
    store = Store(tmp_path / "home", ollama_folder=ollama.root)
    assert [one.name for one in store.list()] == ["good:latest"]


def test_an_installed_model_comes_before_one_of_ollama(ollama: OllamaFolder, model: Path, tmp_path: Path) -> None:
    ollama.model("registry.ollama.ai/library/tiny/latest", gguf(tmp_path / "other.gguf", fill=9))
    store = Store(tmp_path / "home", ollama_folder=ollama.root)
    store.create("tiny", Recipe(source=model))
    assert [(one.name, one.origin) for one in store.list()] == [("tiny:latest", "edgewise")]
    assert store.resolve("tiny").origin == "edgewise"


def hub(root: Path, files: dict[str, Path]) -> Path:
    """A cache as huggingface_hub writes it."""
    repository = root / "models--Some-User--Tiny-GGUF"
    snapshot = repository / "snapshots" / "abc123"
    for folder in (repository / "refs", repository / "blobs", snapshot):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc123")
    for name, file in files.items():
        blob = repository / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, blob)
        (snapshot / name).symlink_to(Path("..", "..", "blobs", blob.name))
    return root


def test_models_in_the_hugging_face_cache_run_where_they_are(model: Path, tmp_path: Path) -> None:
    other = gguf(tmp_path / "other.gguf", fill=9)
    adapter = gguf(tmp_path / "adapter.gguf", kind="adapter")
    partial = cut(gguf(tmp_path / "partial.gguf"))
    files = {"Tiny-Q8_0.gguf": model, "Tiny.IQ4_XS.gguf": other, "lora-f16.gguf": adapter, "cut-Q4_0.gguf": partial}
    root = hub(tmp_path / "hub", files)
    store = Store(tmp_path / "home", hugging_face_folder=root)
    found = {one.name: one for one in store.list()}
    assert set(found) == {"hf.co/Some-User/Tiny-GGUF:Q8_0", "hf.co/Some-User/Tiny-GGUF:IQ4_XS"}
    tiny = store.resolve("hf.co/some-user/tiny-gguf:q8_0")
    assert tiny.path.read_bytes() == model.read_bytes()
    assert tiny.digest == f"sha256:{hashlib.sha256(model.read_bytes()).hexdigest()}"
    assert tiny.details.quantization_level == "Q8_0"
    with pytest.raises(NotFound):
        store.resolve("hf.co/Some-User/Tiny-GGUF:Q4_K_M")
    with pytest.raises(InvalidArgument, match="kept by hugging face"):
        store.delete("hf.co/Some-User/Tiny-GGUF:Q8_0")


@pytest.mark.parametrize(
    ("file", "tag"),
    [
        ("Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("model.IQ4_XS.gguf", "IQ4_XS"),
        ("x-UD-Q2_K_XL.gguf", "UD-Q2_K_XL"),
        ("x-bf16.gguf", "bf16"),
        ("big-Q8_0-00001-of-00002.gguf", "Q8_0"),
        ("big-Q8_0-00002-of-00002.gguf", None),
        ("ggml-model.gguf", "latest"),
    ],
)
def test_the_tag_is_what_the_file_name_says_of_its_format(file: str, tag: str | None) -> None:
    assert quantization_in(file) == tag


def test_nothing_of_others_is_seen_unless_asked_for(ollama: OllamaFolder, model: Path, tmp_path: Path) -> None:
    ollama.model("registry.ollama.ai/library/tiny/latest", model)
    assert [one.name for one in Store(tmp_path / "home").list()] == ["demo:latest"]
