"""What config.json says of a model, checked: sizes, windows, caps, and the metadata that says the same in GGUF."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewise.convert.architectures import architecture_of
from edgewise.convert.encoders import read_encoder
from edgewise.convert.fields import Fields
from edgewise.convert.rope import Rope, read_rope, window_base
from edgewise.errors import UnsupportedError

if TYPE_CHECKING:
    from edgewise.convert.metadata import Metadata
    from edgewise.convert.parts import Architecture

# Layers of the models that scale queries by their embedding per head, as engines know them.
_BLOCKS_27B = {"gemma2": 46, "gemma3": 62}
_WINDOW_PERIOD = {"gemma2": 2, "gemma3": 6}


@dataclass(frozen=True)
class ModelConfig:
    """A model's configuration.

    Attributes:
        architecture: its entry of the table.
        sizes: lengths by the names that tensor shapes use.
        block_count: layers.
        head_count: query heads.
        head_count_kv: key and value heads.
        is_tied: whether the output matrix is the token embedding.
        rope: rotary frequencies.
        metadata: keys of the GGUF file.
        notes: what the file cannot say, for people.
    """

    architecture: Architecture
    sizes: dict[str, int]
    block_count: int
    head_count: int
    head_count_kv: int
    is_tied: bool
    rope: Rope
    metadata: Metadata
    notes: list[str]

    def shape(self, lengths: tuple[str, ...]) -> tuple[int, ...]:
        """The shape that names of lengths stand for."""
        return tuple(self.sizes[length] for length in lengths)


def read_config(values: dict[str, Any]) -> ModelConfig:
    """Reads a configuration.

    Args:
        values: the object in config.json.

    Raises:
        ModelFileError: if a field is missing or wrong.
        UnsupportedError: if the architecture is unknown, or the model computes what GGUF files cannot say.
    """
    architecture = architecture_of(values.get("architectures"))
    if values.get("quantization_config") is not None:
        raise UnsupportedError(
            "config.json: the weights are quantized already (quantization_config)",
            hint="take the model's original weights; `--format` then quantizes them",
        )
    text = values.get("text_config")  # of models that also see
    config = Fields(text if isinstance(text, dict) else values, "config.json", architecture.defaults)
    if architecture.is_encoder:
        found = read_encoder(config, architecture)
        return ModelConfig(
            architecture,
            found.sizes,
            found.block_count,
            found.head_count,
            found.head_count,
            True,
            found.rope,
            {f"{architecture.name}.{key}": value for key, value in found.metadata.items()},
            [],
        )
    block_count, width = config.whole("num_hidden_layers"), config.whole("hidden_size")
    head_count = config.whole("num_attention_heads")
    head_count_kv = config.whole("num_key_value_heads", head_count)
    head_length = config.whole("head_dim", max(width // head_count, 1))
    if head_count % head_count_kv:
        raise config.wrong("num_key_value_heads", f"a divisor of num_attention_heads, {head_count}, is needed")
    query, key = head_count * head_length, head_count_kv * head_length
    inner, vocabulary = config.whole("intermediate_size"), config.whole("vocab_size")
    context_length = config.whole("max_position_embeddings")
    rope = read_rope(config, head_length, context_length, 10_000.0)
    if rope.dimensions % 2 or not 0 < rope.dimensions <= head_length:
        raise config.wrong("partial_rotary_factor", "an even number of values of a head is rotated")
    if rope.dimensions < head_length and architecture.name == "llama":
        raise UnsupportedError('config.json: "partial_rotary_factor" is below 1, which llama files cannot say')
    _check_activation(config, architecture)
    metadata: Metadata = {
        "context_length": context_length,
        "embedding_length": width,
        "block_count": block_count,
        "feed_forward_length": inner,
        "attention.head_count": head_count,
        "attention.head_count_kv": head_count_kv,
        "attention.key_length": head_length,
        "attention.value_length": head_length,
        "attention.layer_norm_rms_epsilon": config.number("rms_norm_eps"),
        "vocab_size": vocabulary,
        "rope.dimension_count": rope.dimensions,
        "rope.freq_base": rope.base,
        **rope.metadata,
    }
    notes = [] if rope.note is None else [rope.note]
    if architecture.has_windows:
        metadata |= _windows(config, architecture, block_count)
        metadata |= _caps(config, architecture)
        _check_query_scale(config, architecture, block_count, width // head_count, head_length)
    elif _limits_attention(config, context_length):
        window = config.get("sliding_window")
        notes.append(f"the model was trained with a window of {window} positions; the file has none")
    return ModelConfig(
        architecture,
        {
            "vocabulary": vocabulary,
            "width": width,
            "inner": inner,
            "2inner": 2 * inner,
            "query": query,
            "key": key,
            "query+2key": query + 2 * key,
            "head": head_length,
        },
        block_count,
        head_count,
        head_count_kv,
        config.flag("tie_word_embeddings", False),
        rope,
        {f"{architecture.name}.{key}": value for key, value in metadata.items()},
        notes,
    )


def size_label(parameters: int) -> str:
    """How large models are called: `3.7M`, `8B`."""
    for power, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if parameters >= power:
            return re.sub(r"\.0$", "", f"{parameters / power:.1f}") + unit
    return f"{parameters / 1e3:.0f}K"


def _check_activation(config: Fields, architecture: Architecture) -> None:
    name = "hidden_activation" if config.get("hidden_activation") else "hidden_act"
    activation = config.text(name, architecture.activations[0])
    if activation not in architecture.activations:
        raise UnsupportedError(
            f'config.json: "{name}" is "{activation}"; {architecture.name} files mean {architecture.activations[0]}'
        )


def _windows(config: Fields, architecture: Architecture, block_count: int) -> Metadata:
    """The window, and which layers have one where that is not the usual pattern."""
    window = config.whole("sliding_window")
    usual = _WINDOW_PERIOD[architecture.name]
    period = config.whole("sliding_window_pattern", config.whole("_sliding_window_pattern", usual))
    kinds = config.get("layer_types")
    if kinds is None:
        has_window = [(block + 1) % period != 0 for block in range(block_count)]
    else:
        known = ("sliding_attention", "full_attention")
        if not isinstance(kinds, list) or len(kinds) != block_count or any(kind not in known for kind in kinds):
            raise config.wrong("layer_types", f"{' or '.join(known)} is needed for each of {block_count} layers")
        has_window = [kind == known[0] for kind in kinds]
    metadata: Metadata = {"attention.sliding_window": window}
    if has_window != [(block + 1) % usual != 0 for block in range(block_count)]:
        metadata["attention.sliding_window_pattern"] = has_window
    if architecture.name == "gemma3":
        metadata["rope.freq_base_swa"] = window_base(config, 10_000.0)
    return metadata


def _caps(config: Fields, architecture: Architecture) -> Metadata:
    attention, final = "attn_logit_softcapping", "final_logit_softcapping"
    caps: Metadata = {name: config.number(name) for name in (attention, final) if config.get(name) is not None}
    if architecture.name == "gemma3" and attention in caps:
        raise UnsupportedError(f'config.json: "{attention}" is set, which gemma3 files cannot say')
    for name in (attention, final):
        if architecture.name == "gemma2" and config.is_null(name):
            raise UnsupportedError(f'config.json: "{name}" is null, and gemma2 files always mean a cap')
    return caps


def _check_query_scale(
    config: Fields, architecture: Architecture, block_count: int, width_per_head: int, head_length: int
) -> None:
    """Engines scale queries by what they know of the model's size, not by a key of the file."""
    known = width_per_head if block_count == _BLOCKS_27B[architecture.name] else head_length
    if config.number("query_pre_attn_scalar", known) != known:
        raise UnsupportedError(
            f'config.json: "query_pre_attn_scalar" is {config.get("query_pre_attn_scalar")}; '
            f"{architecture.name} files of this size mean {known}"
        )


def _limits_attention(config: Fields, context_length: int) -> bool:
    window = config.get("sliding_window")
    return isinstance(window, int) and window < context_length and config.flag("use_sliding_window", True)
