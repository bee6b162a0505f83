"""Caches of prompts, under the names that `Llama.set_cache` has for them."""

from __future__ import annotations

DEFAULT_BYTES = 2 << 30


class LlamaDiskCache:
    """Prompts on disk: what one process computed, the next one reads back.

    Args:
        cache_dir: a folder that only the user may enter; made where it is not there.
        capacity_bytes: what all prompts together may take.
    """

    def __init__(self, cache_dir: str = ".cache/llama_cache", capacity_bytes: int = DEFAULT_BYTES) -> None:
        self.cache_dir = cache_dir
        self.capacity_bytes = capacity_bytes


class LlamaRAMCache:
    """Prompts in memory: the last ones are found again with any cache and with none, as far as the KV cache has room.

    `EDGEWISE_SEQUENCES` says how many contexts that is.

    Args:
        capacity_bytes: accepted; means nothing here.
    """

    def __init__(self, capacity_bytes: int = DEFAULT_BYTES) -> None:
        self.capacity_bytes = capacity_bytes


LlamaCache = LlamaRAMCache
