"""`Llama.set_cache`: nothing is written to disk unless asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgewise import Llama
from edgewise.engine import models
from edgewise.errors import UnsupportedError
from edgewise.llama import LlamaCache, LlamaDiskCache, LlamaRAMCache

PROMPT = [1, *(3 + i * 7 % 400 for i in range(399))]


@pytest.fixture
def llama() -> Llama:
    return Llama(model_path=str(models.DEMO), n_ctx=1024, verbose=False)


def test_without_being_asked_a_llama_writes_nothing(llama: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWISE_PROMPT_CACHE_BYTES", "1000000000")
    with Llama(model_path=str(models.DEMO), n_ctx=1024, verbose=False) as other:
        other(PROMPT, max_tokens=2)
    assert list(Path(os.environ["XDG_CACHE_HOME"]).iterdir()) == []


def test_a_disk_cache_serves_the_next_llama(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with Llama(model_path=str(models.DEMO), n_ctx=1024) as llama:
            cache = LlamaDiskCache(cache_dir=str(tmp_path / "mine"))
            llama.set_cache(cache)
            assert llama.cache is cache
            llama(PROMPT, max_tokens=2)
    first, second = [line for line in capfd.readouterr().err.splitlines() if "cached" in line]
    assert "edgewise: 0 tokens cached" in first
    assert "edgewise: 384 tokens cached" in second


def test_a_cache_in_memory_and_none_are_accepted_and_others_are_refused(llama: Llama, tmp_path: Path) -> None:
    llama.set_cache(LlamaDiskCache(cache_dir=str(tmp_path / "mine")))
    for cache in (LlamaRAMCache(1 << 20), LlamaCache(), None):
        llama.set_cache(cache)
        assert llama.cache is cache
    llama(PROMPT, max_tokens=2)
    llama.close()
    assert not (tmp_path / "mine").exists()
    with pytest.raises(UnsupportedError, match="set_cache"):
        llama.set_cache({})  # type: ignore[arg-type]
