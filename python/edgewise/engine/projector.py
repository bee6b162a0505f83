"""What a projector must have before llama.cpp is given it, which does not look before it uses some of its tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise import _core
from edgewise.errors import ModelFileError

if TYPE_CHECKING:
    from pathlib import Path

# Tensors that llama.cpp takes for granted, by the type of the projector. Source: clip.cpp, where they are optional when
# the file is read. Types that are not here have none of that kind but the patches.
_REQUIRED = {
    "gemma3": ("v.position_embd.weight", "mm.input_projection.weight", "mm.soft_emb_norm.weight"),
    "mlp": ("v.position_embd.weight", "mm.0.weight", "mm.0.bias", "mm.2.weight", "mm.2.bias"),
}


def check_projector(path: str | Path) -> None:
    """Checks that a projector for images has what llama.cpp takes for granted.

    Raises:
        ModelFileError: if it has not, or is malformed.
        SystemRefused: if it can not be read.
    """
    file = _core.ModelFile(path)
    metadata = file.metadata()
    if metadata.get("general.architecture") != "clip":
        raise ModelFileError(f"{path}: a projector has the architecture clip, this file has another")
    kind = metadata.get("clip.vision.projector_type") or metadata.get("clip.projector_type")
    names = {name for name, _, _, _ in file.tensors()}
    required = ("v.patch_embd.weight", *_REQUIRED.get(str(kind), ()))
    for name in required:
        if name not in names:
            raise ModelFileError(f"{path}: tensor {name!r} is missing, which a projector of the type {kind} needs")
