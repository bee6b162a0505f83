"""What a store says of itself is true."""

from __future__ import annotations

from pathlib import Path

from edgewise.store.checkup import Problem, usage, verify
from edgewise.store.creation import Recipe
from edgewise.store.store import Store
from store.files import everything, gguf


def test_every_changed_byte_is_found(store: Store, model: Path) -> None:
    created = store.create("tiny", Recipe(source=model, system="Be brief."))
    assert verify(store) == []
    for blob in list(store.blobs.all()):
        path = store.blobs.path(blob.digest)
        data = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        found = [problem.thing for problem in verify(store)]
        assert blob.digest in found
        path.write_bytes(data)
    assert verify(store) == []
    assert store.resolve("tiny") == created


def test_a_missing_part_is_named_with_the_models_that_need_it(store: Store, model: Path) -> None:
    created = store.create("tiny", Recipe(source=model))
    store.copy("tiny", "other")
    created.path.unlink()
    digest = "sha256:" + created.path.name.removeprefix("sha256-")
    assert verify(store) == [Problem(digest, "it is missing", ("other:latest", "tiny:latest"))]


def test_a_damaged_name_is_found(store: Store, model: Path) -> None:
    store.create("tiny", Recipe(source=model))
    (path,) = store.references.paths()
    path.write_bytes(path.read_bytes().replace(b"tiny", b"tinx"))
    (problem,) = verify(store)
    assert "another name" in problem.finding


def test_damaged_blobs_are_removed_when_asked_and_written_anew(store: Store, model: Path) -> None:
    created = store.create("tiny", Recipe(source=model))
    created.path.chmod(0o644)
    created.path.write_bytes(b"rot")
    assert len(verify(store, removes_damaged=True)) == 1
    assert not created.path.exists()
    assert store.create("tiny", Recipe(source=model)).digest == created.digest
    assert verify(store) == []


def test_progress_reaches_the_end(store: Store, model: Path) -> None:
    store.create("tiny", Recipe(source=model))
    seen: list[tuple[int, int]] = []
    verify(store, progress=lambda done, total: seen.append((done, total)))
    total = sum(len(data) for name, data in everything(store.root).items() if name.startswith("blobs/"))
    assert seen[-1] == (total, total)


def test_usage_tells_what_is_shared(store: Store, model: Path, tmp_path: Path) -> None:
    size = model.stat().st_size
    store.create("one", Recipe(source=model, system="One."))
    store.create("two", Recipe(source=model, system="Two."))
    store.create("three", Recipe(source=gguf(tmp_path / "other.gguf", fill=1)))
    with store.upload() as upload:
        upload.write(b"12345")
        upload.commit()
    used = usage(store)
    assert used.total == sum(blob.size_bytes for blob in store.blobs.all())
    assert used.unneeded == 5
    assert used.models["one:latest"] > size
    assert used.alone["one:latest"] < size
    assert used.alone["three:latest"] > size
    with store.upload() as upload:
        upload.write(b"1234567")
        assert usage(store).unfinished == 7
    assert usage(store).unfinished == 0


def test_an_empty_store_is_sound_and_takes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    assert verify(store) == []
    assert usage(store).total == 0
    assert not store.root.exists()
