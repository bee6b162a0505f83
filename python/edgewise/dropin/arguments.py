"""Arguments of `Llama` whose feature does not exist here: named, not swallowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgewise.config import require_whole
from edgewise.errors import InvalidArgument, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgewise.config import CacheFormat

# The ways to say "not this one", argument by argument.
NOT_IN_CONSTRUCTOR: dict[str, tuple[Any, ...]] = {
    "kv_overrides": (None,),
    "rope_scaling_type": (None, -1),
    "attention_type": (-1,),
    "rope_freq_base": (0.0,),
    "rope_freq_scale": (0.0,),
    "yarn_ext_factor": (-1.0,),
    "yarn_attn_factor": (1.0,),
    "yarn_beta_fast": (32.0,),
    "yarn_beta_slow": (1.0,),
    "yarn_orig_ctx": (0,),
    "chat_handler": (None,),
    "tokenizer": (None,),
    "spm_infill": (False,),
}

NOT_IN_SINGLE_STEPS: dict[str, tuple[Any, ...]] = {"grammar": (None,)}

# ggml's numbers of the formats that the KV cache can have.
CACHE_FORMATS: dict[int | None, CacheFormat] = {None: "f16", 0: "f32", 1: "f16", 8: "q8_0"}


def refuse(given: Mapping[str, object], absent: Mapping[str, tuple[Any, ...]]) -> None:
    """Checks that no argument asks for something that does not exist here.

    Args:
        given: arguments and their values.
        absent: for each unsupported argument, the values that mean nothing is asked for.

    Raises:
        UnsupportedError: naming the first argument that does ask.
    """
    for name, value in given.items():
        if name in absent and value not in absent[name]:
            raise UnsupportedError(f"{name} is not supported by edgewise.Llama", hint=f"leave {name} away")


def check_numbers(given: Mapping[str, object]) -> None:
    """Checks the constructor's numbers under the names that its callers know.

    Raises:
        InvalidArgument: naming the argument and its range.
    """
    require_whole("last_n_tokens_size", given["last_n_tokens_size"], -1, None)
    for name in ("seed", "pooling_type"):
        require_whole(name, given[name], None, None)
    require_whole("n_batch", given["n_batch"], 0, None)
    if given["n_threads"] is not None:
        require_whole("n_threads", given["n_threads"], 0, None)
    if given["n_ctx"] is not None:
        require_whole("n_ctx", given["n_ctx"], 0)


def adapters(paths: str | Sequence[str] | None, scales: float | Sequence[float]) -> list[tuple[str, float]] | None:
    """The adapters of `lora_path` and `lora_scale`, one or several of each; None where none is named.

    Raises:
        InvalidArgument: if there are more scales than adapters, or the other way round.
    """
    if not paths:
        return None
    paths = [paths] if isinstance(paths, str) else list(paths)
    scales = list(scales) if isinstance(scales, Sequence) else [scales] * len(paths)
    if len(paths) != len(scales):
        raise InvalidArgument(f"lora_path names {len(paths)} adapters, lora_scale has {len(scales)} values")
    return list(zip(paths, scales, strict=True))


def biases(logit_bias: Mapping[int, float] | Mapping[str, float] | None) -> dict[int, float]:
    """`logit_bias` with token ids as numbers; OpenAI's clients give them as text.

    Raises:
        InvalidArgument: naming a token id that is no whole number.
    """
    result: dict[int, float] = {}
    for token, bias in (logit_bias or {}).items():
        try:
            result[int(token)] = bias
        except (TypeError, ValueError):
            raise InvalidArgument(f"logit_bias: a token id must be a whole number, got {token!r}") from None
    return result


def cache_format(name: str, number: int | None) -> CacheFormat:
    """The KV cache format of a ggml type number.

    Raises:
        UnsupportedError: if the KV cache cannot have it.
    """
    if number not in CACHE_FORMATS:
        raise UnsupportedError(f"{name}={number} is not supported", hint="known: 0 (f32), 1 (f16), 8 (q8_0)")
    return CACHE_FORMATS[number]


def mirostat(mode: int, tau: float, eta: float) -> tuple[float, float] | None:
    """Mirostat's options for the engine.

    Raises:
        UnsupportedError: for any mode but 0 (off) and 2.
    """
    if mode == 0:
        return None
    if mode != 2:
        raise UnsupportedError(f"mirostat_mode={mode} is not supported", hint="mirostat_mode=2 is")
    return (tau, eta)
