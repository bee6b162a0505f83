"""Split models: their parts are blobs, and the core looks for files of one name with numbers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgewise.store.durable import make_folder, refusals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def names(count: int) -> list[str]:
    """What the files of so many parts are called."""
    return [f"model-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1)]


def first_part(folder: Path, parts: Sequence[Path]) -> Path:
    """The first of the files that stand for the parts; links, made where they are not there.

    Args:
        folder: for this model alone.
        parts: the blobs, in their order.

    Raises:
        SystemRefused: if a link cannot be made.
    """
    links = [folder / name for name in names(len(parts))]
    with refusals(folder):
        for link, part in zip(links, parts, strict=True):
            if link.exists():
                continue
            make_folder(folder)
            try:
                os.link(part, link)
            except FileExistsError:  # somebody else was faster
                continue
            except OSError:  # a file system without hard links
                link.symlink_to(os.path.relpath(part, folder))
    return links[0]
