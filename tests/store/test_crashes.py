"""`kill -9` at any point leaves the store whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from edgewise.store.creation import Recipe
from edgewise.store.store import Store
from store.operations import check, sources, write_sources

TESTS = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where the system offers that: what `fsync` costs has no part in what is tested."""
    memory = Path("/dev/shm")  # noqa: S108
    if not memory.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@contextmanager
def started(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A process at work on a store, which is killed when the block ends."""
    command = [sys.executable, "-m", "store.operations", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def wait_until_it_works(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"


def test_a_process_that_dies_at_any_point_leaves_the_store_whole(folder: Path) -> None:
    write_sources(folder)
    with started("points", folder) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    deaths = {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in output.splitlines()}
    assert set(deaths) == {"upload", "create", "replace", "link", "copy", "copy over", "delete", "collect"}


def test_processes_that_are_killed_while_others_work_leave_the_store_whole(folder: Path) -> None:
    write_sources(folder)
    store, chance = Store(folder / "home"), random.Random(1)
    kept = store.create("kept", Recipe(source=sources(folder)[0], system="Always."))
    for round_ in range(8):
        with ExitStack() as stack:
            workers = [stack.enter_context(started("all", folder, str(3 * round_ + number))) for number in range(3)]
            for worker in workers:
                wait_until_it_works(worker)
            for worker in workers:
                time.sleep(chance.random() / 5)
                assert worker.poll() is None, worker.communicate()[1]
                worker.kill()
        check(store)
        assert store.resolve("kept") == kept
    store.create("after", Recipe(source=sources(folder)[1]))
    assert store.resolve("after").path.read_bytes() == sources(folder)[1].read_bytes()


def test_garbage_is_collected_while_others_write_without_harm_to_them(folder: Path) -> None:
    write_sources(folder)
    store = Store(folder / "home")
    with store.upload() as upload:
        upload.write(b"half")
        with started("all", folder, "5") as worker:
            wait_until_it_works(worker)
            for _ in range(50):
                store.collect()
            assert upload.path.is_file()
            assert worker.poll() is None, worker.communicate()[1]
        upload.write(b" and half")
        blob = upload.commit()
    assert store.blobs.path(blob.digest).read_bytes() == b"half and half"
    check(store)
