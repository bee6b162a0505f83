"""LoRA adapters as PEFT saves them: what they add to which tensor.

A pair of matrices a (rank, inputs) and b (outputs, rank) adds `scale * b a` to a matrix (outputs, inputs).

Source: PEFT's `LoraConfig` and the names of its state dictionaries.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewise import _core
from edgewise.convert.fields import Fields, read_json
from edgewise.convert.safetensors import Checkpoint, StoredTensor
from edgewise.errors import EdgewiseError, InvalidArgument, ModelFileError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"

_NAME = re.compile(r"^(.*)\.lora_(?:([AB])(?:\.\w+)?\.weight|embedding_([AB])(?:\.weight)?)$")
# Layers of a model's eyes, which are numbered as those of its text model are.
_BESIDE = re.compile(r"(^|\.)(vision\w*|visual|multi_modal_projector)\.")
# Where a layer's name, or that of a tensor outside of layers, begins.
_KEY = re.compile(r"(?:^|\.)(layers\.\d+\.[\w.]+|embed_tokens|lm_head)$")


@dataclass(frozen=True)
class LowRank:
    """What is added to one matrix.

    Attributes:
        a: (rank, inputs); of an embedding (rank, tokens).
        b: (outputs, rank); of an embedding (width, rank).
        rank: their common length.
        alpha: `scale` times the rank.
        is_embedding: whether rows of the matrix are tokens, so that what is added is the transpose of `b a`.
    """

    a: StoredTensor
    b: StoredTensor
    rank: int
    alpha: float
    is_embedding: bool

    @property
    def scale(self) -> float:
        """What the product is multiplied by."""
        return self.alpha / self.rank

    @property
    def shape(self) -> tuple[int, int]:
        """Of the matrix that it is added to, rows first."""
        outputs, inputs = self.b.shape[0], self.a.shape[1]
        return (inputs, outputs) if self.is_embedding else (outputs, inputs)


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter.

    Attributes:
        folder: where it is.
        checkpoint: where its matrices are.
        changes: what is added, by the key of the matrix: `layers.0.self_attn.q_proj.weight`.
    """

    folder: Path
    checkpoint: Checkpoint
    changes: dict[str, LowRank]

    def require_matrices(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Checks that a model has what it changes.

        Args:
            shapes: of the model's matrices by key, rows first.

        Raises:
            ModelFileError: if a matrix is missing or has another shape.
        """
        for key, change in self.changes.items():
            if shapes.get(key) != change.shape:
                needed = " x ".join(map(str, change.shape))
                raise ModelFileError(f'{self.folder} changes "{key}", {needed}; the model has no such matrix')

    def read(self, tensor: StoredTensor) -> bytes:
        """A whole matrix in f32.

        Raises:
            ModelFileError: if a value is not finite, naming it.
        """
        data = self.checkpoint.read(tensor)
        try:
            return _core.encode(data, tensor.format, "f32", tensor.columns, threads=1)[0]
        except InvalidArgument as error:
            raise ModelFileError(f'{tensor.path}: tensor "{tensor.name}": {error.message}') from error


def open_adapter(folder: Path) -> Adapter:
    """Reads an adapter folder; `checkpoint` is to be closed.

    Raises:
        ModelFileError: if a file or half of a pair is missing, or shapes do not fit.
        UnsupportedError: if it changes more than products, or is no LoRA adapter.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).exists():
            raise _missing(folder, name)
    config = Fields(read_json(folder / CONFIG), str(folder / CONFIG))
    _refuse_other_kinds(config)
    rank, alpha = config.whole("r"), config.number("lora_alpha")
    checkpoint = Checkpoint(folder, WEIGHTS)
    halves: dict[tuple[str, str, bool], dict[str, StoredTensor]] = {}
    for name, tensor in checkpoint.tensors.items():
        if ".base_layer." in name:  # the model's own matrix, saved beside
            continue
        match = _NAME.match(name)
        key = _KEY.search(match[1]) if match and not _BESIDE.search(name) else None
        if match is None or key is None:
            finding = "is no half of a LoRA pair for a matrix of the text model"
            raise UnsupportedError(f'{tensor.path}: tensor "{name}" {finding}', hint=_MERGE)
        pair = halves.setdefault((match[1], f"{key[1]}.weight", match[2] is None), {})
        half = match[2] or match[3]
        if half in pair:
            raise ModelFileError(f'{tensor.path}: "{pair[half].name}" and "{name}" are the same half of a pair')
        pair[half] = tensor
    changes: dict[str, LowRank] = {}
    for (module, weight, is_embedding), pair in halves.items():
        if len(pair) < 2:
            raise ModelFileError(f'{folder / WEIGHTS}: "{module}" has lora_{next(iter(pair))}, and not the other half')
        if weight in changes:
            raise UnsupportedError(
                f'{folder / WEIGHTS}: "{module}" is a second pair that changes "{weight}"', hint=_MERGE
            )
        own_rank = _of_pattern(config, "rank_pattern", module, rank)
        own_alpha = _of_pattern(config, "alpha_pattern", module, alpha)
        changes[weight] = _pair(pair, module, own_alpha, own_rank, is_embedding, config)
    if not changes:
        raise ModelFileError(f"{folder / WEIGHTS} has no tensors")
    return Adapter(folder, checkpoint, changes)


def _missing(folder: Path, name: str) -> EdgewiseError:
    if name == WEIGHTS and (folder / PICKLED).exists():
        return UnsupportedError(
            f"{folder} has its weights as a pickle, {PICKLED}, which can run code when it is read",
            hint=f"load it with PEFT and save it again, which writes {WEIGHTS}",
        )
    return ModelFileError(f"{folder} is no folder of a LoRA adapter: it has no {name}")


def _pair(
    pair: dict[str, StoredTensor], module: str, alpha: float, rank: float, is_embedding: bool, config: Fields
) -> LowRank:
    a, b = pair["A"], pair["B"]
    is_sound = len(a.shape) == len(b.shape) == 2 and a.shape[0] == b.shape[1] == rank
    if not is_sound:
        found = " and ".join(" x ".join(map(str, half.shape)) for half in (a, b))
        raise ModelFileError(f'{a.path}: the pair of "{module}" is {found}; {CONFIG} says rank {rank}')
    if config.flag("use_rslora", False):
        alpha *= math.sqrt(rank)  # which divides by the root of the rank
    return LowRank(a, b, int(rank), alpha, is_embedding)


def _refuse_other_kinds(config: Fields) -> None:
    if config.text("peft_type", "LORA") != "LORA":
        raise UnsupportedError(f"{config.source}: an adapter of type {config.get('peft_type')}; LORA is converted")
    wrong = {name: config.flag(name, False) for name in ("use_dora", "fan_in_fan_out", "lora_bias", "use_qalora")}
    wrong["bias"] = config.text("bias", "none") != "none"
    wrong |= {name: bool(config.get(name)) for name in _WHOLE_MODELS}
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise UnsupportedError(f'{config.source}: "{name}" is set, which only a whole model can say', hint=_MERGE)
    if config.get("alora_invocation_tokens") is not None:
        finding = "makes it an adapter for a part of the text (aLoRA), which is not converted"
        raise UnsupportedError(f'{config.source}: "alora_invocation_tokens" {finding}')
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_STARTS_OF_OTHER_MODELS):
        finding = f"is {start!r}: its pairs were trained beside weights that are not those of the base model"
        raise UnsupportedError(f'{config.source}: "init_lora_weights" {finding}', hint=_MERGE)


# Set for what is trained beside the pairs, or for layers that the base model has elsewhere or does not have.
_WHOLE_MODELS = ("modules_to_save", "trainable_token_indices", "layer_replication", "kasa_config")
# Ways to begin that take away from the base model's weights what the pairs begin with.
_STARTS_OF_OTHER_MODELS = ("pissa", "corda", "olora", "lora_ga", "loftq")
_MERGE = "merge it with PEFT (merge_and_unload), save the model, and convert that"


def _of_pattern(config: Fields, name: str, module: str, usual: float) -> float:
    """The value for a module: that of the first pattern which its name ends with, or the usual one."""
    patterns: Any = config.get(name) or {}
    if not isinstance(patterns, dict):
        raise config.wrong(name, "an object is needed")
    for pattern in patterns:
        try:
            is_meant = re.search(rf"(^|.*\.){pattern}$", module)
        except re.error as error:
            raise config.wrong(name, f"{pattern!r} is no regular expression") from error
        if is_meant:
            return Fields(patterns, f"{config.source}, {name}").number(pattern)
    return usual
