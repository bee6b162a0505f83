"""Work on a store, as a process of its own that can be killed.

`python -m store.operations all FOLDER` works until it is killed. `python -m store.operations points FOLDER` does each
operation again and again in a child that dies at the first, second, ... thing that it asks of the system, and looks at
the store after each death.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from edgewise.errors import InvalidArgument, NotFound
from edgewise.store import checkup
from edgewise.store.creation import Recipe
from edgewise.store.store import Store
from store.files import gguf

NAMES = ("a", "b:x", "hf.co/me/c:Q8_0")
# Audit events of what changes or locks files.
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.chmod", "fcntl.flock"}


def upload(store: Store, data: bytes) -> str:
    with store.upload() as upload:
        for start in range(0, len(data), 1 << 16):
            upload.write(data[start : start + (1 << 16)])
        return upload.commit().digest


def sources(folder: Path) -> list[Path]:
    return [folder / f"source-{fill}.gguf" for fill in range(3)]


def do_something(store: Store, folder: Path, chance: random.Random) -> None:
    """One random operation."""
    source, first, second = chance.choice(sources(folder)), chance.choice(NAMES), chance.choice(NAMES)
    operations: list[Callable[[], object]] = [
        lambda: upload(store, source.read_bytes()),
        lambda: store.create(first, Recipe(source=source, system=str(chance.random()))),
        lambda: store.create(first, Recipe(files={"a.gguf": upload(store, source.read_bytes())})),
        lambda: store.create(first, Recipe(source=second, parameters={"top_k": chance.randrange(100)})),
        lambda: store.copy(first, second),
        lambda: store.delete(first),
        lambda: store.collect(grace_s=0),
        lambda: store.resolve(first).path.read_bytes(),
        lambda: store.list(),
    ]
    chance.choice(operations)()


def work(store: Store, folder: Path, seed: int) -> None:
    """Random operations, until the end of the process."""
    chance = random.Random(seed)
    print("begun", flush=True)
    while True:
        try:
            do_something(store, folder, chance)
        except (NotFound, FileNotFoundError):  # another process removed the name, or after that the file
            pass
        except InvalidArgument as error:  # another process collected the blob that was sent
            if "no blob" not in str(error):
                raise


def die_at(number: int) -> None:
    """Kills this process at the event of that number, from now on."""
    left = number

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in EVENTS:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(hook)


def lives(operation: Callable[[], object], number: int) -> bool:
    """Whether an operation ends before that event."""
    child = os.fork()
    if child == 0:
        die_at(number)
        operation()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


def check(store: Store) -> None:
    """The store is whole, what no name needs can be collected, and nothing else goes."""
    problems = checkup.verify(store)
    assert not problems, problems
    before = {one.name: one.path.read_bytes() for one in store.list()}
    store.collect(grace_s=0)
    assert not checkup.verify(store)
    assert {one.name: one.path.read_bytes() for one in store.list()} == before
    assert not store.unneeded()
    assert not any(path.is_file() for path in store.blobs.unfinished.rglob("*"))
    assert not list((store.root / "leases").glob("*"))


def points(folder: Path) -> None:
    """Dies at every point of every operation."""
    store = Store(folder / "home")
    first, second, third = sources(folder)
    store.create("kept", Recipe(source=first, system="Always."))

    def prepare() -> None:
        store.create("old", Recipe(source=second, system="Old."))

    operations: dict[str, Callable[[], object]] = {
        "upload": lambda: upload(store, third.read_bytes()),
        "create": lambda: store.create("new", Recipe(source=third, system="New.", parameters={"top_k": 1})),
        "replace": lambda: store.create("old", Recipe(source=third)),
        "link": lambda: store.create("new", Recipe(source=third, is_linked=True)),
        "copy": lambda: store.copy("old", "new"),
        "copy over": lambda: store.copy("kept", "old"),
        "delete": lambda: store.delete("old"),
        "collect": lambda: store.collect(grace_s=0),
    }
    for name, operation in operations.items():
        number = 0
        while True:
            prepare()
            if lives(operation, number):
                break
            check(store)
            assert store.resolve("kept").system == "Always."
            if name in ("copy", "upload", "create", "link", "collect"):
                assert store.resolve("old").system == "Old."
            number += 1
        assert number > 1, name
        check(store)
        print(name, number, flush=True)
        for left in ("new", "old"):
            if any(one.name == f"{left}:latest" for one in store.list()):
                store.delete(left)


def main() -> None:
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "points":
        points(folder)
    else:
        work(Store(folder / "home"), folder, int(sys.argv[3]))


def write_sources(folder: Path) -> None:
    for fill, path in enumerate(sources(folder)):
        gguf(path, fill=fill, rows=20_000)


if __name__ == "__main__":
    main()
