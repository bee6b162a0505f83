"""Models in memory: loaded when they are asked for, unloaded when their time is over or their room is needed."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgewise.engine import open as open_engine
from edgewise.engine.available_memory import available_memory
from edgewise.engine.batching import Batch, batch_of
from edgewise.plan.footprint import Footprint, footprint
from edgewise.server.refusals import Refused
from edgewise.server.sight import projector_for
from edgewise.server.speech import Speech

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from edgewise.config import EngineConfig
    from edgewise.engine.available_memory import AvailableMemory
    from edgewise.engine.batching import Batching
    from edgewise.engine.protocol import Engine
    from edgewise.server.catalog import Catalog
    from edgewise.server.logs import Log
    from edgewise.server.metrics import Metrics
    from edgewise.server.settings import ServerConfig
    from edgewise.store.installed import InstalledModel
    from edgewise.store.leases import Lease as StoreLease


@dataclass(eq=False)
class Loaded:
    """A model in memory.

    Args:
        installed: which one.
        engine: that has it.
        batch: that computes its answers.
        footprint: what it takes.
        loaded_s: when it was loaded, on `time.monotonic`.
        leases: answers that use it now.
        keep_alive_s: how long it stays after the last of them.
        used_s: when it was last used.
        is_broken: its batch ended by itself; the next request loads the model anew.
        is_leaving: it will be unloaded once nobody uses it; new requests wait for another.
        expiry: when that is, unless it is used before.
        speech: how to speak with it, once somebody did.
        kept: keeps its files, should its name be deleted.
        slots: answers that it computes at once.
        sees: it was opened with its projector.
    """

    installed: InstalledModel
    engine: Engine
    batch: Batching
    footprint: Footprint
    loaded_s: float = field(default_factory=time.monotonic)
    leases: int = 0
    keep_alive_s: float = math.inf
    used_s: float = field(default_factory=time.monotonic)
    is_leaving: bool = False
    is_broken: bool = False
    expiry: asyncio.TimerHandle | None = None
    speech: Speech | None = None
    kept: StoreLease | None = None
    slots: int = 1
    sees: bool = False

    @property
    def key(self) -> tuple[str, bool]:
        """What tells it from others in memory; a model may be there twice, once to see images."""
        return self.installed.digest, self.sees

    @property
    def expires_in_s(self) -> float:
        """How long it stays if nobody asks for it."""
        left_s = self.keep_alive_s if self.leases else self.used_s + self.keep_alive_s - time.monotonic()
        return max(0.0, left_s)


@dataclass(frozen=True)
class _Wanted:
    """What a request needs: a model, with so many tokens of context, and a projector if it is to see."""

    installed: InstalledModel
    context_length: int | None
    projector: Path | None

    @property
    def key(self) -> tuple[str, bool]:
        return self.installed.digest, self.projector is not None


@dataclass(frozen=True)
class Lease:
    """The right to use a model for one request.

    Args:
        model: the model.
        load_s: how long the request waited for it.
    """

    model: Loaded
    load_s: float


class Models:
    """Loads models on demand. Everything but the loading itself happens on the event loop.

    All loaded models together never take more than what memory there is: each one's footprint is known before it is
    loaded. Room is made by unloading the one that was used longest ago.

    Args:
        catalog: finds models.
        config: of the server.
        engine_config: how models are opened, if the request does not say.
        metrics: told of loads.
        log: told of loads, too.
        memory: says how much there is.
    """

    def __init__(
        self,
        catalog: Catalog,
        config: ServerConfig,
        engine_config: EngineConfig,
        metrics: Metrics,
        log: Log,
        memory: Callable[[], AvailableMemory] = available_memory,
    ) -> None:
        self._catalog = catalog
        self._config = config
        self._engine_config = replace(engine_config, sequences=max(engine_config.sequences, config.parallel))
        self._metrics = metrics
        self._log = log
        self._loaded: dict[tuple[str, bool], Loaded] = {}
        self._loading: dict[tuple[str, bool], asyncio.Task[Loaded]] = {}
        self._dropping: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._room = asyncio.Lock()  # one decision about memory at a time
        self._released = asyncio.Event()
        self._memory = memory
        self._base_bytes = memory().own_bytes

    @property
    def loaded(self) -> list[Loaded]:
        """Models in memory, the one used last first."""
        return sorted(self._loaded.values(), key=lambda model: -model.used_s)

    @asynccontextmanager
    async def lease(
        self,
        name: str,
        *,
        keep_alive_s: float | None = None,
        context_length: int | None = None,
        until_s: float | None = None,
        has_images: bool = False,
    ) -> AsyncIterator[Lease]:
        """A model for as long as the block runs, loaded if it is not in memory.

        Args:
            name: of the model.
            keep_alive_s: how long it stays afterwards; None for the server's setting.
            context_length: tokens of context that are needed at least; None for what the model has by default.
            until_s: how long to wait for it, on `time.perf_counter`.
            has_images: it has to see.

        Raises:
            Refused: if there is no such model, or no room for it.
            UnsupportedError: if it can not see, and has to.
            EdgewiseError: if it can not be opened.
        """
        started_s = time.perf_counter()
        wanted = await asyncio.to_thread(self._wanted, name, context_length, has_images)
        model = self._ready(wanted)
        load_s = 0.0
        if model is None:
            model = await self._wait_for(wanted, until_s)
            load_s = time.perf_counter() - started_s
        else:
            model.leases += 1
        model.keep_alive_s = self._config.keep_alive_s if keep_alive_s is None else keep_alive_s
        if model.expiry is not None:
            model.expiry.cancel()
            model.expiry = None
        try:
            yield Lease(model, load_s)
        finally:
            self._release(model)

    async def unload(self, name: str) -> bool:
        """Unloads a model once nobody uses it; says whether it was loaded."""
        installed = await asyncio.to_thread(self._catalog.find, name)
        return await self.forget(installed.digest)

    async def forget(self, digest: str) -> bool:
        """The same by the model's digest, for one that has no name any more."""
        models = [model for model in self._loaded.values() if model.installed.digest == digest]
        for model in models:
            model.keep_alive_s = 0.0
            await self._drop_idle(model)
        return bool(models)

    async def close(self) -> None:
        """Unloads everything, answers that are still going on included."""
        for task in self._loading.values():
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        for model in self.loaded:
            await self._drop(model)
        await asyncio.gather(*self._dropping)

    def _wanted(self, name: str, context_length: int | None, has_images: bool) -> _Wanted:
        installed = self._catalog.find(name)
        projector = projector_for(installed, self._engine_config, has_images=has_images)
        return _Wanted(installed, context_length, projector)

    def _config_for(self, wanted: _Wanted) -> EngineConfig:
        """How a model is opened."""
        installed, length = wanted.installed, wanted.context_length
        length = length if length is not None else installed.parameters.get("num_ctx")
        config = self._engine_config
        if isinstance(length, int) and length > 0:
            trained = footprint(installed.path, replace(config, context_length=0)).trained_length
            config = replace(config, context_length=min(length, trained) if trained else length)
        if wanted.projector is not None:
            config = replace(config, engine="llamacpp", projector=str(wanted.projector), sequences=1)
        if installed.adapters:
            config = replace(config, lora=[*config.lora, *((path, 1.0) for path in installed.adapters)])
        return config

    def _ready(self, wanted: _Wanted) -> Loaded | None:
        model = self._loaded.get(wanted.key)
        if model is None or model.is_leaving or model.is_broken:
            return None
        trained = model.footprint.trained_length
        length = wanted.context_length or wanted.installed.parameters.get("num_ctx")
        length = length or self._engine_config.context_for(trained)
        return model if min(length, trained or math.inf) <= model.engine.context_length else None

    async def _wait_for(self, wanted: _Wanted, until_s: float | None) -> Loaded:
        """Loads a model, together with others who wait for the same, and takes a lease."""
        if self._waiting >= self._config.queue_limit + self._config.parallel:
            raise Refused("overloaded", "too many requests wait for models to be loaded", retry_after_s=2.0)
        self._waiting += 1
        try:
            while True:
                model = self._ready(wanted)
                if model is not None:
                    model.leases += 1
                    return model
                task = self._loading.get(wanted.key)
                if task is None:
                    task = asyncio.ensure_future(self._load(wanted))
                    self._loading[wanted.key] = task
                    task.add_done_callback(lambda done: self._loaded_or_not(wanted, done))
                left_s = None if until_s is None else until_s - time.perf_counter()
                try:
                    # The load goes on for the others if this client leaves.
                    await asyncio.wait_for(asyncio.shield(task), left_s)
                except asyncio.TimeoutError:
                    raise Refused("timeout", "the model was not there in time") from None
        finally:
            self._waiting -= 1

    async def _load(self, wanted: _Wanted) -> Loaded:
        installed = wanted.installed
        async with self._room:
            config = await asyncio.to_thread(self._config_for, wanted)
            need = await asyncio.to_thread(footprint, installed.path, config)
            # The model may have been loaded while this waited.
            ready = self._ready(wanted)
            if ready is not None:
                return ready
            await self._budget_bytes(installed, need)
            previous = self._loaded.get(wanted.key)
            if previous is not None:
                await self._retire(previous)
            await self._make_room(installed, need)
            started_s = time.perf_counter()
            model = await asyncio.to_thread(self._open, installed, config, need)
            self._loaded[wanted.key] = model
            self._expire_later(model)
            self._metrics.count("edgewise_model_loads_total", model=installed.name)
            self._log.write(
                "loaded",
                model=installed.name,
                engine=model.engine.name,
                context=model.engine.context_length,
                memory_bytes=need.total_bytes,
                took_s=time.perf_counter() - started_s,
            )
            return model

    def _open(self, installed: InstalledModel, config: EngineConfig, need: Footprint) -> Loaded:
        kept = self._catalog.store.lease(installed) if installed.digests else None
        try:
            engine = open_engine(installed.path, config)
        except BaseException:
            if kept is not None:
                kept.close()
            raise
        batch = batch_of(engine, parallel=self._config.parallel, queue_limit=self._config.queue_limit)
        slots = self._config.parallel if isinstance(batch, Batch) else 1
        keep_alive_s = self._config.keep_alive_s
        sees = bool(config.projector)
        return Loaded(installed, engine, batch, need, keep_alive_s=keep_alive_s, kept=kept, slots=slots, sees=sees)

    async def _make_room(self, installed: InstalledModel, need: Footprint) -> None:
        """Unloads models until there is room for one more.

        Raises:
            Refused: if there would not be enough, whatever is unloaded.
        """
        while True:
            budget = await self._budget_bytes(installed, need)
            taken = sum(model.footprint.total_bytes for model in self._loaded.values())
            has_place = not self._config.loaded_models or len(self._loaded) < self._config.loaded_models
            if not self._loaded or (has_place and taken + need.total_bytes <= budget):
                return
            idle = [model for model in self._loaded.values() if model.leases == 0]
            leaving = min(idle or self._loaded.values(), key=lambda model: model.used_s)
            if has_place:
                reason = f"together they need {_size(taken + need.total_bytes)}, {_size(budget)} are available"
            else:
                reason = f"at most {self._config.loaded_models} may be in memory (--max-models)"
            self._log.write("making room", model=installed.name, unloads=leaving.installed.name, reason=reason)
            await self._retire(leaving)

    async def _budget_bytes(self, installed: InstalledModel, need: Footprint) -> int:
        """What all models together may take: what is free, and what those in memory hold already.

        Raises:
            Refused: if one more model is larger than that.
        """
        memory = await asyncio.to_thread(self._memory)
        if not memory.limit_bytes:
            return 2**63  # the system does not say
        budget = memory.free_bytes + max(0, memory.own_bytes - self._base_bytes)
        if need.total_bytes > budget:
            raise _too_large(installed, need, budget, memory.limited_by)
        return budget

    async def _retire(self, model: Loaded) -> None:
        """Unloads a model after its last answer; those who ask for it now wait until there is room for it again."""
        model.is_leaving = True
        while model.leases:
            self._released.clear()
            await self._released.wait()
        await self._drop(model)

    async def _drop_idle(self, model: Loaded) -> None:
        async with self._room:
            if model.leases == 0:
                await self._drop(model)

    async def _drop(self, model: Loaded) -> None:
        if self._loaded.get(model.key) is not model:
            return
        del self._loaded[model.key]
        if model.expiry is not None:
            model.expiry.cancel()
        await asyncio.to_thread(_close, model)
        self._metrics.count("edgewise_model_unloads_total", model=model.installed.name)
        self._log.write("unloaded", model=model.installed.name)

    def _release(self, model: Loaded) -> None:
        model.leases -= 1
        model.used_s = time.monotonic()
        self._released.set()
        if model.leases == 0 and not model.is_leaving:
            self._expire_later(model)

    def _expire_later(self, model: Loaded) -> None:
        if model.keep_alive_s < 1e9:
            model.expiry = asyncio.get_running_loop().call_later(model.keep_alive_s, self._expire, model)

    def _expire(self, model: Loaded) -> None:
        if model.leases == 0 and not model.is_leaving:
            task = asyncio.ensure_future(self._drop_idle(model))
            self._dropping.add(task)
            task.add_done_callback(self._dropping.discard)

    def _loaded_or_not(self, wanted: _Wanted, task: asyncio.Task[Loaded]) -> None:
        self._loading.pop(wanted.key, None)
        if not task.cancelled() and task.exception() is not None:
            self._log.write("not loaded", model=wanted.installed.name, error=str(task.exception()))


async def speech_of(model: Loaded) -> Speech:
    """How a loaded model speaks."""
    if model.speech is None:
        model.speech = await asyncio.to_thread(Speech, model.engine, model.installed)
    return model.speech


def _close(model: Loaded) -> None:
    model.batch.close()
    model.engine.close()
    if model.kept is not None:
        model.kept.close()


def _too_large(installed: InstalledModel, need: Footprint, budget: int, limited_by: str) -> Refused:
    message = (
        f"model '{installed.name}' needs {_size(need.total_bytes)} of memory with a context of {need.context_length} "
        f"tokens, {_size(budget)} are available ({limited_by})"
    )
    context = need.fitting_context(budget)
    if context:
        fitting = f"num_ctx {context} would fit"
    else:
        fitting = f"a model file of up to {_size(max(0, budget * 9 // 10))} would fit"
    return Refused("invalid_request", f"{message}; {fitting}")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.1f} MiB"
