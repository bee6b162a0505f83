"""Options by the names that Ollama's clients and Modelfiles use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgewise.engine.protocol import GenerateOptions
from edgewise.errors import InvalidArgument
from edgewise.server import schema

if TYPE_CHECKING:
    from edgewise.server.schema import Schema

# Ollama's own defaults, but for those that `GenerateOptions` shares.
OLLAMA_DEFAULTS: Mapping[str, Any] = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.0}

_WHOLE = schema.whole(-(2**31), 2**63)
_FRACTION = schema.NUMBER
_STOP = schema.either(schema.TEXT, schema.listing(schema.TEXT, most=64))

# Options that have a meaning here. Those that say how Ollama's own runner is loaded have none, and are ignored.
OPTIONS: Schema = schema.fields(
    num_ctx=schema.whole(0, 2**31 - 1),
    num_predict=_WHOLE,
    num_keep=_WHOLE,
    temperature=_FRACTION,
    top_k=_WHOLE,
    top_p=_FRACTION,
    min_p=_FRACTION,
    typical_p=_FRACTION,
    repeat_last_n=_WHOLE,
    repeat_penalty=_FRACTION,
    presence_penalty=_FRACTION,
    frequency_penalty=_FRACTION,
    mirostat=schema.whole(0, 2),
    mirostat_tau=_FRACTION,
    mirostat_eta=_FRACTION,
    seed=_WHOLE,
    stop=_STOP,
)

_SAME = ("temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty")
_NAMES = {name: name for name in _SAME} | {"top_k": "top_k", "repeat_last_n": "penalty_last_n", "seed": "seed"}


def sampling(options: Mapping[str, Any]) -> dict[str, Any]:
    """Ollama's options by the names of `GenerateOptions`."""
    given = {name: value for name, value in options.items() if value is not None}
    found: dict[str, Any] = {ours: given[name] for name, ours in _NAMES.items() if name in given}
    for name in ("top_k", "penalty_last_n", "seed"):
        if name in found:
            found[name] = int(found[name])
    if "num_predict" in given:
        limit = int(given["num_predict"])
        found["max_tokens"] = limit if limit >= 0 else None  # -1: no limit; -2: as much as the context holds
    if "num_keep" in given:
        found["keep_tokens"] = max(-1, int(given["num_keep"]))
    if "stop" in given:
        stop = given["stop"]
        found["stop"] = tuple(text for text in ([stop] if isinstance(stop, str) else stop) if text)
    if given.get("mirostat"):
        if given["mirostat"] == 1:
            raise InvalidArgument(
                "options.mirostat: version 1 is not supported", hint="mirostat 2 does the same better"
            )
        found["mirostat"] = (float(given.get("mirostat_tau", 5.0)), float(given.get("mirostat_eta", 0.1)))
    return found


def generate_options(
    defaults: Mapping[str, Any], parameters: Mapping[str, Any], given: Mapping[str, Any], namespace: str
) -> GenerateOptions:
    """How an answer is made: what the request says, else the model, else the surface.

    Args:
        defaults: of the surface, by the names of `GenerateOptions`.
        parameters: of the model, by Ollama's names.
        given: of the request, by the names of `GenerateOptions`.
        namespace: see `GenerateOptions.cache_namespace`.

    Raises:
        InvalidArgument: if an option is out of its range.
    """
    chosen = {**defaults, **sampling(parameters), **given}
    chosen.setdefault("logprobs", False)
    options = GenerateOptions(**chosen, cache_namespace=namespace)
    options.sampler()  # its ranges are the core's to judge, and better judged before the queue
    return options
