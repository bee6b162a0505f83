"""Locks between threads and processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from edgewise.store.leases import Lease, leased
from edgewise.store.locks import FolderLock, is_held

HOLDER = """
import sys
from pathlib import Path
from edgewise.store.leases import Lease
from edgewise.store.locks import FolderLock
root = Path(sys.argv[1])
lease = Lease(root / "leases", FolderLock(root / "lock"), ["sha256:" + "0" * 64])
print("held", flush=True)
sys.stdin.read()
"""


def test_one_thread_at_a_time_has_the_lock_also_with_two_objects(tmp_path: Path) -> None:
    locks = [FolderLock(tmp_path / "lock"), FolderLock(tmp_path / "lock")]
    inside, most = 0, 0

    def work(lock: FolderLock) -> None:
        nonlocal inside, most
        for _ in range(50):
            with lock.held():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work, args=(locks[number % 2],)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_thread_may_take_the_lock_again(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "lock")
    with lock.held():
        with lock.held():
            assert is_held(tmp_path / "lock")
        assert is_held(tmp_path / "lock")
    assert not is_held(tmp_path / "lock")


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "lock")
    try:
        with lock.held():
            raise KeyError
    except KeyError:
        pass
    assert not is_held(tmp_path / "lock")


def test_a_lease_ends_with_its_process(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "lock")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with lock.held():
        assert leased(tmp_path / "leases") == {"sha256:" + "0" * 64}
    holder.kill()
    holder.communicate()
    with lock.held():
        assert leased(tmp_path / "leases") == set()
    assert list((tmp_path / "leases").iterdir()) == []


def test_a_lease_ends_when_it_is_closed(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "lock")
    lease = Lease(tmp_path / "leases", lock, ["a"])
    lease.add("b")
    with lock.held():
        assert leased(tmp_path / "leases") == {"a", "b"}
    lease.close()
    lease.close()
    with lock.held():
        assert leased(tmp_path / "leases") == set()
