"""Models come when they are asked for, and go when their time is over or their room is needed."""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgewise.config import EngineConfig
from edgewise.engine.available_memory import AvailableMemory
from edgewise.engine.models import DEMO
from edgewise.plan.footprint import footprint
from edgewise.server.catalog import Catalog
from edgewise.server.logs import Log
from edgewise.server.metrics import Metrics
from edgewise.server.models import Models
from edgewise.server.refusals import Refused
from edgewise.server.settings import ServerConfig, keep_alive_seconds
from edgewise.store.creation import Recipe
from edgewise.store.store import Store

PLENTY = AvailableMemory(2**40, 0, 2**40)
ENGINE = EngineConfig(prompt_cache_bytes=0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    for name in ("one", "two", "three"):
        store.create(name, Recipe(source="demo", system=name))
    return store


def run(
    store: Store, work: Callable[[Models], Awaitable[None]], memory: AvailableMemory = PLENTY, **settings: float
) -> None:
    """Does something with models, and closes them."""

    async def call() -> None:
        config = ServerConfig(**settings)  # type: ignore[arg-type]
        models = Models(Catalog(store), config, ENGINE, Metrics(), Log(file=io.StringIO()), lambda: memory)
        try:
            await work(models)
        finally:
            await models.close()
            assert models.loaded == []

    asyncio.run(call())


def names(models: Models) -> list[str]:
    return sorted(model.installed.name for model in models.loaded)


def test_requests_at_the_same_time_share_one_load(store: Store) -> None:
    async def work(models: Models) -> None:
        async def use() -> int:
            async with models.lease("one") as lease:
                return id(lease.model)

        assert len(set(await asyncio.gather(*(use() for _ in range(8))))) == 1

    run(store, work)


def test_a_model_stays_for_its_time_and_no_longer(store: Store) -> None:
    async def work(models: Models) -> None:
        async with models.lease("one", keep_alive_s=0.05):
            await asyncio.sleep(0.2)
            assert names(models) == ["one:latest"]
        while models.loaded:
            await asyncio.sleep(0.01)
        async with models.lease("one", keep_alive_s=math.inf):
            pass
        assert models.loaded[0].expires_in_s == math.inf
        await models.unload("one")
        assert models.loaded == []

    run(store, work)


def test_the_one_used_longest_ago_makes_room(store: Store) -> None:
    room = AvailableMemory(int(2.5 * footprint(DEMO, EngineConfig(sequences=4)).total_bytes), 0, 2**40)

    async def work(models: Models) -> None:
        for name in ("one", "two", "one", "three"):
            async with models.lease(name):
                pass
        assert names(models) == ["one:latest", "three:latest"]

    run(store, work, room)


def test_models_in_use_are_waited_for(store: Store) -> None:
    async def work(models: Models) -> None:
        order: list[str] = []

        async def second() -> None:
            async with models.lease("two"):
                order.append("two")

        async with models.lease("one"):
            waiting = asyncio.ensure_future(second())
            await asyncio.sleep(0.2)
            order.append("one")
        await waiting
        assert order == ["one", "two"]
        assert names(models) == ["two:latest"]

    run(store, work, loaded_models=1)


def test_who_asks_for_a_model_that_leaves_gets_it_again_after_the_other(store: Store) -> None:
    async def work(models: Models) -> None:
        order: list[str] = []

        async def use(name: str) -> None:
            async with models.lease(name):
                order.append(name)

        async with models.lease("one"):
            others = [asyncio.ensure_future(use("two"))]
            await asyncio.sleep(0.1)
            others.append(asyncio.ensure_future(use("one")))
            await asyncio.sleep(0.1)
        await asyncio.gather(*others)
        assert order == ["two", "one"]

    run(store, work, loaded_models=1)


def test_a_model_that_does_not_fit_is_refused_with_both_numbers_and_what_would(store: Store) -> None:
    need = footprint(DEMO, EngineConfig(sequences=4))
    tight = AvailableMemory(need.total_bytes - int(need.token_bytes * need.cache_tokens / 2), 0, 2**40, "the group /a")

    async def work(models: Models) -> None:
        with pytest.raises(
            Refused, match=r"needs 55\.8 MiB .* 512 tokens, 53\.8 MiB are available \(the group /a\); num_ctx 256"
        ) as refusal:
            async with models.lease("one"):
                pass
        assert refusal.value.refusal.status == 400
        async with models.lease("one", context_length=256) as lease:
            assert lease.model.engine.context_length == 256

    run(store, work, tight)


def test_a_model_is_opened_anew_for_a_longer_context_alone(store: Store) -> None:
    async def work(models: Models) -> None:
        async def length(wanted: int | None) -> int:
            async with models.lease("one", context_length=wanted) as lease:
                return lease.model.engine.context_length

        assert await length(128) == 128
        assert await length(64) == 128
        assert await length(256) == 256
        assert await length(None) == 512
        assert await length(100_000) == 512  # it was trained for no more

    run(store, work)


def test_a_client_that_leaves_does_not_stop_the_load_of_others(store: Store) -> None:
    async def work(models: Models) -> None:
        async def use() -> None:
            async with models.lease("one"):
                pass

        first, second = asyncio.ensure_future(use()), asyncio.ensure_future(use())
        await asyncio.sleep(0.001)
        first.cancel()
        await second
        assert names(models) == ["one:latest"]
        assert models.loaded[0].leases == 0

    run(store, work)


def test_a_file_that_is_damaged_is_refused_and_others_go_on(store: Store) -> None:
    @contextmanager
    def damaged(name: str) -> Iterator[None]:
        path = store.resolve(name).path
        data = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(data[:40_000])
        yield
        path.write_bytes(data)

    async def work(models: Models) -> None:
        with damaged("one"), pytest.raises(ValueError, match="the file has"):
            async with models.lease("one"):
                pass
        async with models.lease("two"):
            pass

    run(store, work)


def test_a_deleted_model_answers_to_the_end(store: Store) -> None:
    async def work(models: Models) -> None:
        async with models.lease("one") as lease:
            path = lease.model.installed.path
            await asyncio.to_thread(store.delete, "one")
            assert path.exists()
            await models.forget(lease.model.installed.digest)
            assert names(models) == ["one:latest"]
        while models.loaded:
            await asyncio.sleep(0.01)

    run(store, work)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (5, 5),
        ("5", 5),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        ("100ms", 0.1),
        (-1, math.inf),
        ("-1m", math.inf),
        (0, 0),
    ],
)
def test_durations_are_read_as_ollama_reads_them(given: float | str, seconds: float) -> None:
    assert keep_alive_seconds(given) == pytest.approx(seconds)
