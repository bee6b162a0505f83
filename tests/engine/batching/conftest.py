"""An engine with room for several answers, and a batch on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgewise import EngineConfig
from edgewise.engine.batching import Batch
from edgewise.engine.models import DEMO
from edgewise.engine.native import NativeEngine


@pytest.fixture
def engine() -> Iterator[NativeEngine]:
    config = EngineConfig(context_length=512, sequences=4, prompt_cache_bytes=0)
    with NativeEngine(DEMO, config) as native:
        yield native


@pytest.fixture
def batch(engine: NativeEngine) -> Iterator[Batch]:
    with Batch(engine) as batch:
        yield batch
