"""How much memory a model will take, from its file's metadata alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.plan.memory import BLOCK, Settings, cache_bytes
from edgewise.plan.models import layers_of, per_layer

if TYPE_CHECKING:
    from pathlib import Path

    from edgewise.config import EngineConfig

_SCRATCH_BYTES = 48 * 1024 * 1024  # activations of a step, the tokenizer, logits of several sequences


@dataclass(frozen=True)
class Footprint:
    """What a model takes.

    Args:
        weights_bytes: the file, its adapters and its projector.
        token_bytes: what the KV cache takes for a token.
        cache_tokens: tokens that the cache has room for.
        context_length: tokens that one sequence may have.
        trained_length: tokens that the model was trained for; 0 if the file does not say.
    """

    weights_bytes: int
    token_bytes: float
    cache_tokens: int
    context_length: int
    trained_length: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return int(self.weights_bytes + self.token_bytes * self.cache_tokens) + _SCRATCH_BYTES

    def fitting_context(self, free_bytes: int) -> int:
        """The longest context of each sequence that would fit, in tokens; 0 if not even the weights do."""
        room = free_bytes - self.weights_bytes - _SCRATCH_BYTES
        if room <= 0 or not self.token_bytes or not self.context_length:
            return 0
        sequences = self.cache_tokens // self.context_length
        return min(int(room / self.token_bytes / sequences) // 64 * 64, self.context_length)


def footprint(path: Path, config: EngineConfig) -> Footprint:
    """The footprint of a model file, which is mapped and checked for it, but not loaded.

    Args:
        path: of the file.
        config: how the model would be opened.

    Raises:
        ModelFileError: if the file is malformed.
        SystemRefused: if it can not be read.
    """
    file = _core.ModelFile(str(path))
    trained = max(per_layer(file, "context_length", 0), default=0)
    context = config.context_for(trained)
    return Footprint(
        weights_bytes=file.size_bytes
        + sum(
            _core.ModelFile(other).size_bytes
            for other in (*(adapter for adapter, _ in config.lora), *([config.projector] if config.projector else ()))
        ),
        token_bytes=cache_bytes(layers_of(file), Settings(BLOCK, config.key_format, config.value_format)) / BLOCK,
        cache_tokens=context * config.sequences,
        context_length=context,
        trained_length=trained,
    )
