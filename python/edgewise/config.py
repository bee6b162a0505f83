"""What can be set, and the one place that reads the file and the environment.

A setting comes from the configuration file, is overridden by the environment (`EDGEWISE_THREADS=4`), and that by an
argument. The file is `$EDGEWISE_CONFIG`, or `edgewise/config.ini` in the user's configuration folder:

```ini
[engine]
threads = 4
context_length = 8192
```
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, SupportsIndex, get_args

from edgewise.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

EngineName = Literal["auto", "native", "llamacpp"]
CacheFormat = Literal["f32", "f16", "q8_0"]

DEFAULT_CONTEXT_LENGTH = 4096
LARGEST = 2**31 - 1  # of a count that has no smaller bound of its own


@dataclass(frozen=True)
class EngineConfig:
    """How a model is opened.

    Args:
        engine: `native` is this package's core, `llamacpp` the xllamacpp wheel; `auto` takes the core where it can.
        context_length: tokens that prompt and answer may have together; 0 is the model's own limit.
            By default the model's limit, but no more than 4096: the KV cache is allocated at once.
        threads: how many threads to use; 0 chooses, and more than can run is clamped.
        isa: instruction set of the kernels; `auto` is the best that this CPU has.
        batch: prompt tokens evaluated at once.
        key_format: number format of the keys in the KV cache.
        value_format: number format of the values in the KV cache.
        gpu_layers: layers to run on a GPU, -1 for all; needs a GPU build of the llama.cpp backend.
        draft: what guesses the next tokens, so that several are evaluated at once: `ngram` looks in the text so far for
            what followed the same words, a path names a small model of the same family, `off` is plain decoding. The
            text is the same with all of them.
        sequences: how many contexts' worth of KV cache there is: so many conversations of full length can take turns
            without computing a prompt again. Memory is taken as it is needed.
        prompt_cache_bytes: what prompts on disk may take; 0 writes and reads none. By default 1 GiB, or 5 % of the free
            space if that is less. See docs/prompt-cache.md.
        cache_folder: where they are, in a folder `prompts`; by default `edgewise` in the user's cache folder.
        lora: adapters that change what the model computes, in GGUF form: path and scale of each. See docs/lora.md.
        projector: path of the GGUF file (mmproj) by which the model sees images; needs the llama.cpp backend.

    Raises:
        InvalidArgument: if a value is out of its range or a choice unknown.
    """

    engine: EngineName = "auto"
    context_length: int | None = None
    threads: int = 0
    isa: str = "auto"
    batch: int = 512
    key_format: CacheFormat = "f16"
    value_format: CacheFormat = "f16"
    gpu_layers: int = 0
    draft: str = "ngram"
    sequences: int = 1
    prompt_cache_bytes: int | None = None
    cache_folder: str = ""
    lora: Sequence[tuple[str | Path, float]] = ()
    projector: str = ""

    def __post_init__(self) -> None:
        _require_choice("engine", self.engine, get_args(EngineName))
        _require_choice("key_format", self.key_format, get_args(CacheFormat))
        _require_choice("value_format", self.value_format, get_args(CacheFormat))
        if not isinstance(self.isa, str):
            raise InvalidArgument(f"isa must be a name, got {self.isa!r}")
        if not isinstance(self.draft, str) or not self.draft:
            raise InvalidArgument(f"draft must be ngram, off or the path of a model, got {self.draft!r}")
        if self.context_length is not None:
            require_whole("context_length", self.context_length, 0)
        require_whole("threads", self.threads, 0, None)
        require_whole("batch", self.batch, 1)
        require_whole("gpu_layers", self.gpu_layers, -1)
        require_whole("sequences", self.sequences, 1)
        if self.prompt_cache_bytes is not None:
            require_whole("prompt_cache_bytes", self.prompt_cache_bytes, 0, None)
        if not isinstance(self.cache_folder, str):
            raise InvalidArgument(f"cache_folder must be a path, got {self.cache_folder!r}")
        _require_adapters(self.lora)
        if not isinstance(self.projector, str):
            raise InvalidArgument(f"projector must be a path, got {self.projector!r}")

    def context_for(self, trained: int) -> int:
        """The context length to use with a model that was trained for `trained` tokens."""
        if self.context_length is None:
            return min(trained, DEFAULT_CONTEXT_LENGTH) if trained else DEFAULT_CONTEXT_LENGTH
        return self.context_length or trained

    def prompt_folder(self, environment: Mapping[str, str] | None = None) -> Path:
        """The folder of prompts on disk; only what the environment says of the user's folders takes part."""
        if self.cache_folder:
            return Path(self.cache_folder).expanduser() / "prompts"
        return _cache_folder(os.environ if environment is None else environment) / "edgewise" / "prompts"


def load(
    arguments: Mapping[str, object] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    base: EngineConfig | None = None,
) -> EngineConfig:
    """The configuration: file < environment < arguments.

    Args:
        arguments: settings that the caller gives; None means not given.
        environment: environment variables; those of this process by default.
        base: what to start from instead of the defaults and the file.

    Raises:
        InvalidArgument: if the file cannot be read, a key is unknown, or a value does not fit.
    """
    environment = os.environ if environment is None else environment
    config = base if base is not None else _from_file(environment)
    from_environment = {
        field.name: environment[f"EDGEWISE_{field.name.upper()}"]
        for field in fields(EngineConfig)
        if environment.get(f"EDGEWISE_{field.name.upper()}", "") != ""
    }
    config = replace(config, **_typed(from_environment, "the environment"))
    given = {key: value for key, value in (arguments or {}).items() if value is not None}
    return replace(config, **_typed(given, "the arguments"))


def store_folder(environment: Mapping[str, str] | None = None) -> Path:
    """The folder of installed models: `EDGEWISE_HOME`, or `edgewise` in the user's data folder."""
    environment = os.environ if environment is None else environment
    if environment.get("EDGEWISE_HOME"):
        return Path(environment["EDGEWISE_HOME"]).expanduser()
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        if environment.get(name):
            return Path(environment[name]) / "edgewise"
    return _home(environment) / ".local" / "share" / "edgewise"


def ollama_folder(environment: Mapping[str, str] | None = None) -> Path:
    """The folder where Ollama keeps its models, as its own variable says."""
    environment = os.environ if environment is None else environment
    if environment.get("OLLAMA_MODELS"):
        return Path(environment["OLLAMA_MODELS"]).expanduser()
    return _home(environment) / ".ollama" / "models"


def hugging_face_folder(environment: Mapping[str, str] | None = None) -> Path:
    """The folder where the Hugging Face libraries cache what they downloaded, as their own variables say."""
    environment = os.environ if environment is None else environment
    if environment.get("HF_HUB_CACHE"):
        return Path(environment["HF_HUB_CACHE"]).expanduser()
    if environment.get("HF_HOME"):
        return Path(environment["HF_HOME"]).expanduser() / "hub"
    caches = Path(environment["XDG_CACHE_HOME"]) if environment.get("XDG_CACHE_HOME") else _home(environment) / ".cache"
    return caches / "huggingface" / "hub"


def api_keys(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The keys that clients of the server must bring one of: `EDGEWISE_API_KEY`, with commas or blanks between them."""
    environment = os.environ if environment is None else environment
    return tuple(environment.get("EDGEWISE_API_KEY", "").replace(",", " ").split())


def adapter(text: str) -> tuple[str, float]:
    """The path and the scale in `PATH` or `PATH=SCALE`; a path that ends in `=` and a number needs a scale after it."""
    path, equals, scale = text.rpartition("=")
    if equals:
        try:
            return path.rstrip(), float(scale)
        except ValueError:
            pass
    return text, 1.0


def require_whole(name: str, value: object, least: int | None, most: int | None = LARGEST) -> None:
    """Checks that a value is a whole number in a range; a bound of None is no bound.

    Raises:
        InvalidArgument: naming the value and the range.
    """
    if isinstance(value, str) or not isinstance(value, SupportsIndex):
        raise InvalidArgument(f"{name} must be a whole number, got {value!r}")
    number = value.__index__()
    if (least is None or least <= number) and (most is None or number <= most):
        return
    if most is None:
        raise InvalidArgument(f"{name} must be at least {least}, got {number}")
    raise InvalidArgument(f"{name} must be between {least} and {most}, got {number}")


def require_number(name: str, value: object) -> None:
    """Checks that a value is a number that a float can hold, infinities and NaN included.

    Raises:
        InvalidArgument: naming the value.
    """
    if isinstance(value, SupportsFloat | SupportsIndex):
        try:
            float(value)
        except (OverflowError, TypeError, ValueError):
            raise InvalidArgument(f"{name} must be a number that a float can hold") from None
    else:
        raise InvalidArgument(f"{name} must be a number, got {value!r}")


def _from_file(environment: Mapping[str, str]) -> EngineConfig:
    named = environment.get("EDGEWISE_CONFIG", "")
    path = Path(named) if named else _configuration_folder(environment) / "edgewise" / "config.ini"
    if not named and not path.is_file():
        return EngineConfig()
    import configparser

    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise InvalidArgument(f"configuration file {path}: {error}") from error
    unknown = sorted(set(parser.sections()) - {"engine"})
    if unknown:
        raise InvalidArgument(f"configuration file {path}: unknown section [{unknown[0]}]", hint="known: [engine]")
    values = dict(parser["engine"]) if "engine" in parser else {}
    return replace(EngineConfig(), **_typed(values, f"configuration file {path}"))


def _configuration_folder(environment: Mapping[str, str]) -> Path:
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        if environment.get(name):
            return Path(environment[name])
    return _home(environment) / ".config"


def _cache_folder(environment: Mapping[str, str]) -> Path:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        if environment.get(name):
            return Path(environment[name])
    return _home(environment) / ".cache"


def _home(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("HOME", "~")).expanduser()


def _typed(values: Mapping[str, object], source: str) -> dict[str, Any]:
    types = {field.name: str(field.type) for field in fields(EngineConfig)}
    typed: dict[str, Any] = {}
    for key, value in values.items():
        if key not in types:
            raise InvalidArgument(f"{source}: unknown setting {key!r}", hint=f"known: {', '.join(types)}")
        typed[key] = value
        if types[key].startswith("int") and isinstance(value, str):
            try:
                typed[key] = int(value)
            except ValueError:
                raise InvalidArgument(f"{source}: {key} must be a whole number, got {value!r}") from None
        if key == "lora" and isinstance(value, str):
            typed[key] = tuple(adapter(one.strip()) for one in value.replace("\n", ",").split(",") if one.strip())
    return typed


def _require_adapters(adapters: object) -> None:
    hint = 'lora=[("adapter.gguf", 1.0)]'
    if isinstance(adapters, str) or not isinstance(adapters, Sequence):
        raise InvalidArgument(f"lora must be pairs of a path and a scale, got {adapters!r}", hint=hint)
    for one in adapters:
        if not isinstance(one, tuple) or len(one) != 2 or not isinstance(one[0], str | Path):
            raise InvalidArgument(f"lora must be pairs of a path and a scale, got {one!r} among them", hint=hint)
        require_number(f"lora: the scale of {one[0]}", one[1])


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise InvalidArgument(f"{name} {value!r} is unknown", hint=f"known: {', '.join(choices)}")
