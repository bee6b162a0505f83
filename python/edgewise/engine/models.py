"""What a model is called: a path, or `demo`."""

from __future__ import annotations

from pathlib import Path

from edgewise.errors import SystemRefused

DEMO = Path(__file__).parent.parent / "data" / "demo-q8_0.gguf"


def resolve(name: str) -> Path:
    """The path of a model: as named, or for `demo` that of the one in this package.

    What is at the path is for the core to judge: it tells folders, devices and locked files apart.

    Raises:
        SystemRefused: if there is nothing of that name.
    """
    if name == "demo" and not Path(name).is_file():
        if not DEMO.is_file():
            raise SystemRefused("this installation has no demo model", hint="name a GGUF file instead")
        return DEMO
    path = Path(name)
    try:
        if name:  # Path("") would be the current folder
            path.stat()
            return path
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a zero byte in the name
        pass
    except OSError:
        return path
    raise SystemRefused(
        f"{name or 'a model without a name'}: no such file",
        hint="MODEL is the path of a GGUF file, a name that `edgewise list` shows, or demo",
    )
