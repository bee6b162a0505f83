"""What an architecture is made of: its tensors, in the model folder and in the GGUF file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Change = Literal["none", "pairs", "add_one"]
"""What happens to a tensor on its way: `pairs` reorders the rows of a head, `add_one` adds 1 to each value."""


@dataclass(frozen=True)
class Part:
    """A tensor of a layer, or of the whole model.

    Attributes:
        source: name in the model folder, below its layer.
        target: name in the GGUF file, below its block.
        shape: rows first, each length by its name in `Sizes`; `query+2key` and `2inner` are fused matrices.
        change: what happens to the values.
        is_optional: whether the model may do without it.
    """

    source: str
    target: str
    shape: tuple[str, ...]
    change: Change = "none"
    is_optional: bool = False


@dataclass(frozen=True)
class Architecture:
    """One architecture of transformers, and what it is in GGUF.

    Attributes:
        classes: the model classes, as `architectures` in config.json names them.
        name: as `general.architecture` names it.
        activations: how the gate may be bent; all are one thing by several names.
        layer: the tensors of a layer.
        defaults: fields of config.json that are left out where they have these values.
        norm_change: what happens to norms.
        has_windows: whether some layers see a window of positions only, and the file can say so.
        is_encoder: whether it makes embeddings and has no output matrix.
        front: the tensors before the layers; the first is the embedding of the vocabulary.
        layers: what layers are called in the model folder.
        beside: a pattern of tensors that such folders hold beside the model; they are left out.
    """

    classes: tuple[str, ...]
    name: str
    activations: tuple[str, ...]
    layer: tuple[Part, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    norm_change: Change = "none"
    has_windows: bool = False
    is_encoder: bool = False
    front: tuple[Part, ...] = (Part("embed_tokens.weight", "token_embd.weight", ("vocabulary", "width")),)
    layers: str = "layers"
    beside: str = r"(^|\.)(rotary_emb\.inv_freq|masked_bias|vision_tower\..*|multi_modal_projector\..*)$"

    @property
    def back(self) -> tuple[Part, ...]:
        """The tensors behind the layers, the output matrix aside."""
        return () if self.is_encoder else (Part("norm.weight", "output_norm.weight", ("width",), self.norm_change),)
