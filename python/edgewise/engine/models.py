"""What a model is called: a path, or `demo`."""

from __future__ import annotations

from pathlib import Path

from edgewise.errors import SystemRefused

DEMO = Path(__file__).parent.parent / "data" / "demo-q8_0.gguf"


def resolve(name: str) -> Path:
    """The file of a model: a path, or `demo` for the one in this package.

    Raises:
        SystemRefused: if there is no such file.
    """
    if name == "demo" and not Path(name).is_file():
        if not DEMO.is_file():
            raise SystemRefused("this installation has no demo model", hint="name a GGUF file instead")
        return DEMO
    path = Path(name)
    if path.is_dir():
        raise SystemRefused(f"{name} is a folder", hint="name the GGUF file in it")
    if not path.is_file():
        raise SystemRefused(f"{name}: no such file", hint="MODEL is the path of a GGUF file, or demo")
    return path
