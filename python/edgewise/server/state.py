"""What the server has while it runs."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from edgewise.errors import EdgewiseError
from edgewise.server.answering import Answers
from edgewise.server.logs import Log
from edgewise.server.metrics import Metrics
from edgewise.server.models import Models
from edgewise.server.refusals import Refused, refusal_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewise.config import EngineConfig
    from edgewise.server.catalog import Catalog
    from edgewise.server.metrics import Labels
    from edgewise.server.models import Loaded
    from edgewise.server.settings import ServerConfig

_MAKERS = 2  # models that are made at once, in threads of their own: they take minutes
_THREADS = 8  # for what may take a while and is no answer: files, templates, tokens of long prompts


class State:
    """Everything that handlers work with.

    If a model that was named at the start can not be loaded, `failure` is the reason, the server never becomes ready,
    and `when_failed` is called.

    Args:
        config: of the server.
        engine_config: how models are opened.
        catalog: which models there are.
        preload: names of models that are loaded at the start.
        log: what is written of each request.
    """

    def __init__(
        self,
        config: ServerConfig,
        engine_config: EngineConfig,
        catalog: Catalog,
        preload: tuple[str, ...] = (),
        log: Log | None = None,
    ) -> None:
        self.config = config
        self.catalog = catalog
        self.log = log or Log(config.log_format)
        self.metrics = Metrics()
        self.models = Models(catalog, config, engine_config, self.metrics, self.log)
        self.answers = Answers(self.models, config, self.metrics, self.log)
        self.is_ready = False
        self.failure: Exception | None = None
        self.when_failed: Callable[[], None] = lambda: None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._makers = ThreadPoolExecutor(_MAKERS, "edgewise-making")
        self._preload = preload
        self._loading: asyncio.Task[None] | None = None
        self._declare_gauges()

    async def start(self) -> None:
        """Begins to load what is to be there from the start; requests are served meanwhile."""
        self.loop = asyncio.get_running_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(_THREADS, "edgewise-work"))
        self._loading = asyncio.ensure_future(self._load())

    async def close(self) -> None:
        """Unloads everything."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        await self.models.close()
        await asyncio.to_thread(self._makers.shutdown, cancel_futures=True)

    async def make(self, work: Callable[[], None]) -> None:
        """Runs what makes a model, once few enough others are being made.

        Work that has begun goes on if the caller is cancelled, as threads do, and keeps its place until it ends; work
        that has not is dropped.
        """
        await asyncio.get_running_loop().run_in_executor(self._makers, work)

    async def _load(self) -> None:
        for name in self._preload:
            try:
                async with self.models.lease(name):
                    pass
            except Exception as error:
                if self.catalog.named:
                    self.failure = _not_loaded(name, error) if isinstance(error, EdgewiseError) else error
                    self.when_failed()
                    return
                self.log.write("not preloaded", model=name, error=str(error))  # nobody asked for it
        self.is_ready = True

    def _declare_gauges(self) -> None:
        def gauge(name: str, description: str, read: Callable[[Loaded], float]) -> None:
            def values() -> dict[Labels, float]:
                found: dict[Labels, float] = {}
                for model in self.models.loaded:  # one that sees images may be there beside one that does not
                    labels: Labels = (("model", model.installed.name),)
                    found[labels] = found.get(labels, 0.0) + float(read(model))
                return found

            self.metrics.gauge(name, description, values)

        gauge("edgewise_queued", "Answers that wait for their turn.", lambda model: model.batch.queued)
        gauge("edgewise_active", "Answers that are computed now.", lambda model: model.batch.active)
        gauge("edgewise_model_memory_bytes", "What a model takes at most.", lambda model: model.footprint.total_bytes)


def _not_loaded(name: str, error: EdgewiseError) -> Refused:
    refusal = refusal_of(error)
    return Refused(refusal.kind, f"model '{name}' can not be loaded: {refusal.message}")
