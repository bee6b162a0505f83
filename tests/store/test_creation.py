"""What models are made of."""

from __future__ import annotations

import hashlib
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from edgewise.errors import InvalidArgument, ModelFileError, NotFound, SystemRefused, UnsupportedError
from edgewise.quantize.shards import split
from edgewise.store.creation import Recipe, Workers
from edgewise.store.store import Store
from store.files import CHATML, cut, everything, gguf

GO_CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"


def upload(store: Store, path: Path) -> str:
    with store.upload() as upload:
        upload.write(path.read_bytes())
        return upload.commit().digest


def test_a_model_says_what_it_was_created_with(store: Store, model: Path, tmp_path: Path) -> None:
    recipe = Recipe(
        source=model,
        system="You are a pirate.",
        parameters={"temperature": 0.5, "stop": "User:", "num_ctx": 2048},
        licenses=("MIT", "and more"),
        messages=({"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}),
        adapters=(gguf(tmp_path / "adapter.gguf", kind="adapter"),),
    )
    created = store.create("tiny", recipe)
    assert created.system == "You are a pirate."
    assert created.parameters == {"temperature": 0.5, "stop": ["User:"], "num_ctx": 2048}
    assert created.licenses == ("MIT", "and more")
    assert [message["content"] for message in created.messages] == ["Who?", "Me."]
    assert [path.read_bytes() for path in created.adapters] == [(tmp_path / "adapter.gguf").read_bytes()]
    assert created.template is None
    blobs = {path.name: path.stat().st_size for path in (store.root / "blobs").iterdir()}
    manifest = created.digest.replace(":", "-")
    assert created.size_bytes == sum(size for name, size in blobs.items() if name != manifest)


def test_a_model_made_from_another_has_what_is_not_said_anew(store: Store, model: Path) -> None:
    parameters: dict[str, Any] = {"temperature": 0.5, "top_k": 3}
    store.create("base", Recipe(source=model, system="Old.", parameters=parameters, licenses=("MIT",)))
    made = store.create("made", Recipe(source="base", parameters={"top_k": 7}, licenses=("More.",)))
    assert made.system == "Old."
    assert made.parameters == {"temperature": 0.5, "top_k": 7}
    assert made.licenses == ("MIT", "More.")
    assert made.path == store.resolve("base").path
    assert store.create("silent", Recipe(source="base", system="")).system is None


def test_a_model_can_be_made_from_the_demo(store: Store) -> None:
    made = store.create("mine", Recipe(source="demo", system="Be brief."))
    assert made.details.parameter_size == "3.67M"
    assert made.details.context_length == 512


def test_an_uploaded_model_gets_a_name(store: Store, model: Path, tmp_path: Path) -> None:
    adapter = gguf(tmp_path / "adapter.gguf", kind="adapter", fill=3)
    projector = gguf(tmp_path / "mmproj.gguf", kind="mmproj", architecture="clip", fill=4)
    files = {"model.gguf": upload(store, model), "mmproj.gguf": upload(store, projector)}
    created = store.create("tiny", Recipe(files=files, adapters=(upload(store, adapter),)))
    assert created.path.read_bytes() == model.read_bytes()
    assert [path.read_bytes() for path in created.projectors] == [projector.read_bytes()]
    assert [path.read_bytes() for path in created.adapters] == [adapter.read_bytes()]
    assert created.details.families == ("llama", "clip")


def test_a_malformed_upload_is_refused_with_the_finding_of_the_core_and_nothing_is_left(
    store: Store, model: Path
) -> None:
    digest = upload(store, cut(model))
    with pytest.raises(ModelFileError, match=r'^bad\.gguf: tensor "token_embd\.weight"'):
        store.create("tiny", Recipe(files={"bad.gguf": digest}))
    assert everything(store.root) == {}


def test_a_malformed_file_is_refused_before_it_is_copied(store: Store, model: Path) -> None:
    with pytest.raises(ModelFileError, match=r'model\.gguf: tensor "token_embd\.weight"'):
        store.create("tiny", Recipe(source=cut(model)))
    assert everything(store.root) == {}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(), "neither is"),
        (Recipe(source="demo", files={"a": "sha256:" + "0" * 64}), "both are given"),
        (Recipe(files={"a.gguf": "sha256:" + "0" * 64}), "no blob sha256:0"),
        (Recipe(files={"a.gguf": "nonsense"}), "invalid digest"),
        (Recipe(files={"../a.gguf": "sha256:" + "0" * 64}), "no name of a file"),
        (Recipe(files={"/etc/a.gguf": "sha256:" + "0" * 64}), "no name of a file"),
        (Recipe(files={"a/../../b.safetensors": "sha256:" + "0" * 64}), "no name of a file"),
        (Recipe(source="demo", parameters={"temperature": "hot"}), "temperature must be a number"),
        (Recipe(source="demo", parameters={"warmth": 1}), "unknown parameter"),
        (Recipe(source="demo", messages=({"role": "pirate", "content": "x"},)), "needs a role"),
        (Recipe(source="demo", adapters=("sha256:" + "1" * 64,)), "no blob"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_recipe_that_is_not_sound_is_refused_and_leaves_nothing(store: Store, recipe: Recipe, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        store.create("tiny", recipe)
    assert everything(store.root) == {}


def test_what_a_model_is_made_from_must_be_there(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        store.create("tiny", Recipe(source="nothing"))
    with pytest.raises(SystemRefused):
        store.create("tiny", Recipe(source=tmp_path / "nothing.gguf"))
    assert everything(store.root) == {}


def test_kinds_of_files_are_not_mixed_up(store: Store, model: Path, tmp_path: Path) -> None:
    adapter = gguf(tmp_path / "adapter.gguf", kind="adapter")
    with pytest.raises(InvalidArgument, match="another kind: adapter"):
        store.create("tiny", Recipe(source=adapter))
    with pytest.raises(InvalidArgument, match="another kind: model"):
        store.create("tiny", Recipe(source=model, adapters=(model,)))
    second = upload(store, gguf(tmp_path / "second.gguf", fill=9))
    with pytest.raises(InvalidArgument, match="2 models"):
        store.create("tiny", Recipe(files={"a.gguf": upload(store, model), "b.gguf": second}))


def test_an_upload_outlives_a_mistake_in_the_recipe(store: Store, model: Path) -> None:
    files = {"a.gguf": upload(store, model)}
    with pytest.raises(UnsupportedError):
        store.create("tiny", Recipe(files=files, template="{{ .Prompt }} pirate {{ .Response }}"))
    assert store.create("tiny", Recipe(files=files)).path.is_file()


def test_quantizing_is_the_work_of_somebody_else(store: Store, model: Path) -> None:
    seen = []

    def quantize(source: Path, target: Path, name: str) -> None:
        seen.append((source.read_bytes(), name))
        gguf(target, fill=7)

    with pytest.raises(UnsupportedError, match="quantizes"):
        store.create("small", Recipe(source=model, quantize="q4_0"))
    assert everything(store.root) == {}
    created = store.create("small", Recipe(source=model, quantize="q4_0"), Workers(quantize=quantize))
    assert seen == [(model.read_bytes(), "q4_0")]
    assert created.path.read_bytes() != model.read_bytes()
    # The model that it was made from is not kept: no name needs it.
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert not store.has_blob(f"sha256:{digest}")


def test_a_model_folder_is_converted_by_somebody_else(store: Store, tmp_path: Path) -> None:
    def convert(folder: Path, target: Path) -> None:
        assert (folder / "config.json").read_text() == "{}"
        assert (folder / "sub" / "model.safetensors").read_text() == "weights"
        gguf(target, fill=5)

    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "model.safetensors").write_text("weights")
    with pytest.raises(UnsupportedError, match="converts"):
        store.create("made", Recipe(source=folder))
    made = store.create("made", Recipe(source=folder), Workers(convert=convert))
    files = {name: upload(store, folder / name) for name in ("config.json", "sub/model.safetensors")}
    assert store.create("uploaded", Recipe(files=files), Workers(convert=convert)).digest == made.digest


def test_a_split_model_is_one_model(store: Store, story_model: Path, tmp_path: Path) -> None:
    parts = split(story_model, tmp_path / "story", most_tensors=20)
    assert len(parts) == 3
    from_path = store.create("story", Recipe(source=parts[1]))
    assert from_path.details.parameter_size == "260K"
    assert from_path.path.name == "model-00001-of-00003.gguf"
    files = {part.name: upload(store, part) for part in parts}
    assert store.create("uploaded", Recipe(files=files)).digest == from_path.digest
    assert store.create("made", Recipe(source="story", system="x")).details == from_path.details
    from edgewise import _core

    assert len(_core.ModelFile(store.resolve("made").path).tensors()) == 47


def test_a_split_model_of_which_parts_are_missing_is_refused_by_their_names(
    store: Store, story_model: Path, tmp_path: Path
) -> None:
    parts = split(story_model, tmp_path / "story", most_tensors=20)
    files = {part.name: upload(store, part) for part in parts}
    first, second, third = files
    with pytest.raises(ModelFileError, match=f"(?m)all 3 shards are needed; missing: {third}$"):
        store.create("partly", Recipe(files={first: files[first], second: files[second]}))
    for one in files:
        others = ", ".join(other for other in files if other != one)
        with pytest.raises(ModelFileError, match=f"(?m)missing: {others}$") as refused:
            store.create("partly", Recipe(files={one: files[one]}))
        assert refused.value.message.startswith(f"{one} is part ")
        assert "upload all parts" in (refused.value.hint or "")
    swapped = {first: files[first], second: files[third], third: files[second]}
    with pytest.raises(ModelFileError, match="this is shard 3 of 3; its name says shard 2 of 3") as refused:
        store.create("swapped", Recipe(files=swapped))
    assert str(store.root) not in refused.value.message
    assert second in refused.value.message
    huge = "story-00001-of-99999.gguf"
    with pytest.raises(ModelFileError, match=r"missing: story-00002-of-99999\.gguf, .* \.\.\."):
        store.create("huge", Recipe(files={huge: files[first]}))


def test_a_full_disk_leaves_nothing_of_a_model_and_keeps_the_old_one(store: Store, model: Path, tmp_path: Path) -> None:
    kept = store.create("tiny", Recipe(source=model))
    before = everything(store.root)
    large = gguf(tmp_path / "large.gguf", rows=5000)
    # The limit on the size of a file stands for the disk: writing past it fails in the same place.
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(SystemRefused):
            store.create("tiny", Recipe(source=large))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert everything(store.root) == before
    assert store.resolve("tiny") == kept


def test_what_is_done_is_reported(store: Store, model: Path) -> None:
    said: list[str] = []
    store.create("tiny", Recipe(source=model), Workers(report=lambda status, done, total: said.append(status)))
    assert said[0] == "gathering model components"
    assert "copying file model.gguf" in said
    assert "parsing GGUF" in said
    assert any(status.startswith("creating new layer sha256:") for status in said)
    assert "writing manifest" in said


def test_a_go_template_of_the_files_own_family_is_the_files_own(store: Store, model: Path) -> None:
    created = store.create("tiny", Recipe(source=model, template=GO_CHATML))
    assert created.template == GO_CHATML
    assert created.chat_template(CHATML) is None


def test_a_jinja_template_replaces_the_files_own(store: Store, model: Path) -> None:
    created = store.create("tiny", Recipe(source=model, template="{{ messages[0]['content'] }}"))
    assert created.chat_template(CHATML) == "{{ messages[0]['content'] }}"
