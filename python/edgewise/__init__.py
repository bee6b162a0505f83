"""Edgewise runs language models on the devices where they are used.

```python
from edgewise import Llama

llm = Llama(model_path="model.gguf")
print(llm("What is machine learning?", max_tokens=64)["choices"][0]["text"])
```

Names are loaded when they are first used, so that `import edgewise` costs almost nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers read it as true; `typing` itself would be most of this import's cost
if TYPE_CHECKING:
    from edgewise.config import EngineConfig
    from edgewise.engine import open  # noqa: A004  the word for it
    from edgewise.engine.protocol import Engine, GenerateOptions, Piece, Timings
    from edgewise.errors import (
        ContextFull,
        EdgewiseError,
        InvalidArgument,
        ModelFileError,
        SystemRefused,
        UnsupportedError,
    )
    from edgewise.llama import Llama

__version__: str

# Where each public name lives: (module, name there).
_HOME = {
    "__version__": ("edgewise._core", "VERSION"),
    "Engine": ("edgewise.engine.protocol", "Engine"),
    "EngineConfig": ("edgewise.config", "EngineConfig"),
    "GenerateOptions": ("edgewise.engine.protocol", "GenerateOptions"),
    "Llama": ("edgewise.llama", "Llama"),
    "Piece": ("edgewise.engine.protocol", "Piece"),
    "Timings": ("edgewise.engine.protocol", "Timings"),
    "open": ("edgewise.engine", "open"),
    "ContextFull": ("edgewise.errors", "ContextFull"),
    "EdgewiseError": ("edgewise.errors", "EdgewiseError"),
    "InvalidArgument": ("edgewise.errors", "InvalidArgument"),
    "ModelFileError": ("edgewise.errors", "ModelFileError"),
    "SystemRefused": ("edgewise.errors", "SystemRefused"),
    "UnsupportedError": ("edgewise.errors", "UnsupportedError"),
}

__all__ = [
    "ContextFull",
    "EdgewiseError",
    "Engine",
    "EngineConfig",
    "GenerateOptions",
    "InvalidArgument",
    "Llama",
    "ModelFileError",
    "Piece",
    "SystemRefused",
    "Timings",
    "UnsupportedError",
    "__version__",
    "open",
]


def __getattr__(name: str) -> object:
    """Loads a public name on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'edgewise' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOME[name]
    value: object = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
