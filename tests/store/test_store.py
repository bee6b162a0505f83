"""Models by name: create, list, copy, delete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewise.engine.models import DEMO
from edgewise.errors import InvalidArgument, ModelFileError, NotFound
from edgewise.store.creation import Recipe
from edgewise.store.store import Store
from store.files import cut, everything, gguf


def blob_names(store: Store) -> set[str]:
    return {path.name for path in (store.root / "blobs").iterdir()}


def test_an_installed_model_is_found_by_every_spelling_of_its_name(store: Store, model: Path) -> None:
    created = store.create("hf.co/User/Tiny:Q8_0", Recipe(source=model))
    assert created.name == "hf.co/User/Tiny:Q8_0"
    assert created.path.read_bytes() == model.read_bytes()
    for name in ("hf.co/user/tiny:q8_0", "HF.CO/User/Tiny:Q8_0"):
        assert store.resolve(name) == created


def test_details_come_from_the_header(store: Store, model: Path) -> None:
    details = store.create("tiny", Recipe(source=model)).details
    assert (details.format, details.family, details.families) == ("gguf", "llama", ("llama",))
    assert (details.parameter_size, details.quantization_level) == ("128", "Q8_0")
    assert (details.context_length, details.embedding_length) == (512, 32)


@pytest.mark.parametrize("name", ["llama2", "tiny:other", "me/tiny", "latest"])
def test_an_unknown_name_is_not_found_and_never_taken_for_another(store: Store, model: Path, name: str) -> None:
    store.create("tiny", Recipe(source=model))
    with pytest.raises(NotFound, match="not found"):
        store.resolve(name)


def test_a_name_is_no_path_but_the_command_line_finds_both(store: Store, model: Path) -> None:
    with pytest.raises((InvalidArgument, NotFound)):
        store.resolve(str(model))
    found = store.find(str(model))
    assert (found.path, found.origin, found.details.family) == (model, "file", "llama")
    store.create("tiny", Recipe(source=model))
    assert store.find("tiny").origin == "edgewise"


def test_the_demo_is_there_by_nature_and_listed_where_nothing_else_is(store: Store, model: Path) -> None:
    assert [one.name for one in store.list()] == ["demo:latest"]
    assert store.resolve("DEMO").path == DEMO
    store.create("tiny", Recipe(source=model))
    assert [one.name for one in store.list()] == ["tiny:latest"]
    assert store.resolve("demo").origin == "package"


def test_nobody_else_can_be_called_demo(store: Store, model: Path) -> None:
    with pytest.raises(InvalidArgument, match="model in this package"):
        store.create("demo", Recipe(source=model))
    store.create("tiny", Recipe(source=model))
    with pytest.raises(InvalidArgument, match="model in this package"):
        store.copy("tiny", "demo:latest")
    with pytest.raises(InvalidArgument, match="part of this package"):
        store.delete("demo")


def test_the_same_content_has_the_same_digest_in_every_store(tmp_path: Path, model: Path) -> None:
    recipe = Recipe(source=model, system="Be brief.", parameters={"temperature": 1, "stop": ["x"]}, licenses=("MIT",))
    clocks: Iterator[float] = iter(range(100, 200))
    first = Store(tmp_path / "a", clock=lambda: next(clocks)).create("one", recipe)
    shutil.copy(model, tmp_path / "elsewhere.gguf")
    again = Recipe(
        source=tmp_path / "elsewhere.gguf",
        system="Be brief.",
        parameters={"stop": "x", "temperature": 1.0},
        licenses=("MIT",),
    )
    second = Store(tmp_path / "b", clock=lambda: next(clocks)).create("me/two:x", again)
    assert first.digest == second.digest
    # Written down, so that no later version changes it unnoticed.
    assert first.digest == "sha256:cc7fa73825ba7434226f34337ae789360fa4ee7f16fd09b456387ca98d9274ac"


def test_the_newest_model_comes_first(tmp_path: Path, model: Path) -> None:
    now = [1000.0]
    store = Store(tmp_path / "home", clock=lambda: now[0])
    for name in ("b", "a", "c"):
        store.create(name, Recipe(source=model))
        now[0] += 1
    store.copy("b", "b")
    assert [one.name.partition(":")[0] for one in store.list()] == ["b", "c", "a"]


def test_a_copy_is_one_more_name_for_the_same_blobs(store: Store, model: Path) -> None:
    created = store.create("tiny", Recipe(source=model))
    before = blob_names(store)
    store.copy("tiny", "me/other:v2")
    assert blob_names(store) == before
    assert store.resolve("me/other:v2").digest == created.digest
    with pytest.raises(NotFound):
        store.copy("nothing", "else")


def test_a_copy_of_the_demo_stays_when_the_package_goes(store: Store) -> None:
    store.copy("demo", "mine")
    copied = store.resolve("mine")
    assert copied.origin == "edgewise"
    assert copied.path.read_bytes() == DEMO.read_bytes()
    assert not copied.path.samefile(DEMO)


def test_deleting_keeps_the_blobs_that_other_names_need(store: Store, model: Path) -> None:
    store.create("tiny", Recipe(source=model))
    store.create("pirate", Recipe(source="tiny", system="You are a pirate."))
    store.delete("tiny")
    with pytest.raises(NotFound):
        store.resolve("tiny")
    assert store.resolve("pirate").path.is_file()
    store.delete("PIRATE:latest")
    assert everything(store.root) == {}
    assert list((store.root / "names").iterdir()) == []
    with pytest.raises(NotFound):
        store.delete("pirate")


def test_a_leased_model_stays_until_the_lease_ends(store: Store, model: Path) -> None:
    created = store.create("tiny", Recipe(source=model))
    with store.lease(created):
        store.delete("tiny")
        store.collect(grace_s=0)
        assert created.path.read_bytes() == model.read_bytes()
    store.collect(grace_s=0)
    assert everything(store.root) == {}


def test_a_name_that_is_given_anew_frees_what_it_meant_before(store: Store, model: Path, tmp_path: Path) -> None:
    old = store.create("Tiny", Recipe(source=model))
    new = store.create("tiny", Recipe(source=gguf(tmp_path / "other.gguf", fill=1)))
    assert not old.path.exists()
    assert new.path.is_file()
    assert new.name == "Tiny:latest"
    assert len(store.list()) == 1


def test_an_upload_is_kept_for_a_day_and_then_collected(tmp_path: Path) -> None:
    now = [tmp_path.stat().st_mtime]
    store = Store(tmp_path / "home", clock=lambda: now[0])
    with store.upload() as upload:
        upload.write(b"to be named in a later request")
        blob = upload.commit()
    now[0] += 23 * 3600
    assert store.collect() == 0
    assert store.has_blob(blob.digest)
    now[0] += 2 * 3600
    assert store.collect() == blob.size_bytes
    assert not store.has_blob(blob.digest)


def test_garbage_is_not_collected_while_it_cannot_be_told_what_is_needed(store: Store, model: Path) -> None:
    created = store.create("tiny", Recipe(source=model))
    (path,) = store.references.paths()
    path.write_text("{")
    with pytest.raises(ModelFileError, match=r"latest\.json"):
        store.collect(grace_s=0)
    assert created.path.is_file()
    assert [one.name for one in store.list()] == ["demo:latest"]
    store.delete("tiny")  # the way out
    store.collect(grace_s=0)
    assert not created.path.exists()


def test_a_damaged_manifest_is_an_error_and_not_another_model(store: Store, model: Path) -> None:
    created = store.create("tiny", Recipe(source=model))
    manifest = store.blobs.path(created.digest)
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes().replace(b"sha256:", b"sha256;"))
    with pytest.raises(ModelFileError, match="damaged"):
        store.resolve("tiny")
    store.create("tiny", Recipe(source=model))
    assert store.resolve("tiny").digest == created.digest


def test_a_plain_file_that_is_malformed_is_refused_with_the_finding_of_the_core(store: Store, model: Path) -> None:
    with pytest.raises(ModelFileError, match=r'tensor "token_embd.weight"'):
        store.find(str(cut(model)))


def test_a_store_that_was_never_written_can_be_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    assert store.collect() == 0
    assert [one.name for one in store.list()] == ["demo:latest"]
    with pytest.raises(NotFound):
        store.resolve("tiny")
    assert not (tmp_path / "nowhere").exists()
