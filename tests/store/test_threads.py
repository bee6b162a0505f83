"""Threads of one process share a store, as those of a server do."""

from __future__ import annotations

import random
import threading
from pathlib import Path

from edgewise.errors import InvalidArgument, NotFound
from edgewise.store.creation import Recipe
from edgewise.store.store import Store
from store.operations import check, do_something, sources, write_sources


def test_threads_that_share_a_store_do_not_disturb_each_other(tmp_path: Path) -> None:
    write_sources(tmp_path)
    store = Store(tmp_path / "home")
    kept = store.create("kept", Recipe(source=sources(tmp_path)[0], system="Always."))
    escaped: list[BaseException] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(12):
            try:
                do_something(store, tmp_path, chance)
            except (NotFound, FileNotFoundError):  # another thread removed the name, or after that the file
                pass
            except InvalidArgument as error:  # another thread collected the blob that was sent
                if "no blob" not in str(error):
                    escaped.append(error)
            except BaseException as error:
                escaped.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not escaped
    check(store)
    assert store.resolve("kept") == kept
