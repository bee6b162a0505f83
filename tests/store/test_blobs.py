"""Blobs: whole or not there."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import stat
import threading
from pathlib import Path

import pytest

from edgewise.errors import InvalidArgument, SystemRefused
from edgewise.store.store import Store
from store.files import everything, gguf

DATA = b"some bytes of a model" * 1000
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


def put(store: Store, data: bytes = DATA) -> str:
    with store.upload() as upload:
        upload.write(data)
        return upload.commit().digest


def test_an_upload_in_portions_becomes_a_blob(store: Store) -> None:
    with store.upload(DIGEST) as upload:
        for start in range(0, len(DATA), 1000):
            upload.write(memoryview(DATA)[start : start + 1000])
            assert not store.has_blob(DIGEST)
        blob = upload.commit()
    assert (blob.digest, blob.size_bytes) == (DIGEST, len(DATA))
    assert store.blobs.path(DIGEST).read_bytes() == DATA
    assert everything(store.root) == {f"blobs/{DIGEST.replace(':', '-')}": DATA}


def test_bytes_of_another_digest_are_refused_and_leave_nothing(store: Store) -> None:
    with store.upload(DIGEST) as upload:
        upload.write(DATA[:-1])
        with pytest.raises(InvalidArgument, match=f"digest mismatch: expected {DIGEST}"):
            upload.commit()
    assert everything(store.root) == {}


def test_an_upload_that_is_given_up_leaves_nothing(store: Store) -> None:
    upload = store.upload(DIGEST)
    upload.write(DATA)
    upload.abort()
    upload.abort()
    with pytest.raises(InvalidArgument, match="over"):
        upload.write(b"more")
    with pytest.raises(InvalidArgument, match="over"):
        upload.commit()
    assert everything(store.root) == {}


@pytest.mark.parametrize("digest", ["", "sha256:12", "md5:" + "0" * 64, "sha256:../" + "0" * 61, "sha256:" + "g" * 64])
def test_what_is_no_digest_is_refused(store: Store, digest: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid digest"):
        store.upload(digest)
    with pytest.raises(InvalidArgument, match="invalid digest"):
        store.has_blob(digest)


def test_two_uploads_of_one_digest_make_one_blob(store: Store) -> None:
    first, second = store.upload(DIGEST), store.upload(DIGEST)
    for upload in (first, second):
        upload.write(DATA)
    assert first.commit() == second.commit()
    assert (first.is_new, second.is_new) == (True, False)
    assert len(everything(store.root)) == 1


def test_uploads_of_many_threads_do_not_disturb_each_other(store: Store) -> None:
    texts = [b"%d" % (number % 5) * 5000 for number in range(20)]
    digests: list[str] = []
    threads = [threading.Thread(target=lambda text=text: digests.append(put(store, text))) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 20
    assert len(everything(store.root)) == 5
    assert all(store.blobs.damage(digest) is None for digest in digests)


def test_a_full_disk_is_refused_by_the_system_and_leaves_nothing(store: Store) -> None:
    # The limit on the size of a file stands for the disk: writing past it fails in the same place.
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    upload = store.upload(DIGEST)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        with pytest.raises(SystemRefused):
            upload.write(DATA)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert everything(store.root) == {}
    assert put(store) == DIGEST


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_no_space_left_says_what_to_do(store: Store) -> None:
    upload = store.upload()
    assert upload._file is not None
    descriptor = os.open("/dev/full", os.O_WRONLY)
    os.dup2(descriptor, upload._file.fileno())
    os.close(descriptor)
    with pytest.raises(SystemRefused, match="No space left") as refusal:
        upload.write(DATA)
    assert refusal.value.hint is not None
    assert "edgewise gc" in refusal.value.hint
    assert everything(store.root) == {}


def test_a_blob_cannot_be_changed_by_accident(store: Store) -> None:
    assert store.blobs.path(put(store)).stat().st_mode & 0o222 == 0


def test_a_file_is_copied_and_may_change_afterwards(store: Store, model: Path) -> None:
    data = model.read_bytes()
    with store.blobs.copy_in(model) as upload:
        blob = upload.commit()
    model.write_bytes(b"changed")
    assert store.blobs.path(blob.digest).read_bytes() == data


def test_a_file_that_nobody_can_write_is_linked(store: Store, model: Path) -> None:
    model.chmod(0o400)
    with store.blobs.copy_in(model) as upload:
        blob = upload.commit()
    assert store.blobs.path(blob.digest).samefile(model)
    assert stat.S_IMODE(model.stat().st_mode) == 0o400
    assert blob.digest == f"sha256:{hashlib.sha256(model.read_bytes()).hexdigest()}"


def test_a_file_is_linked_when_asked_and_becomes_read_only(store: Store, model: Path) -> None:
    with store.blobs.copy_in(model, link=True) as upload:
        blob = upload.commit()
    assert store.blobs.path(blob.digest).samefile(model)
    assert model.stat().st_mode & 0o222 == 0


def test_a_link_that_is_given_up_leaves_the_file_alone(store: Store, model: Path) -> None:
    data, mode = model.read_bytes(), model.stat().st_mode
    store.blobs.copy_in(model, link=True).abort()
    assert (model.read_bytes(), model.stat().st_mode) == (data, mode)
    assert everything(store.root) == {}


def test_a_folder_and_a_missing_file_are_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(SystemRefused, match="folder"):
        store.blobs.copy_in(tmp_path)
    with pytest.raises(SystemRefused, match="No such file"):
        store.blobs.copy_in(tmp_path / "missing")


def test_progress_ends_at_the_whole_file(store: Store, tmp_path: Path) -> None:
    path, seen = gguf(tmp_path / "a.gguf", rows=70000), []
    store.blobs.copy_in(path, progress=lambda done, total: seen.append((done, total))).abort()
    assert len(seen) > 1
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(SystemRefused, match="home"):
        Store(tmp_path / "home").upload()
