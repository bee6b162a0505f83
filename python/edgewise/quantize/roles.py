"""What a tensor is, by its name and shape: its role, and whether mixes leave it alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Role = Literal[
    "output", "embedding", "values", "keys", "queries", "attention output", "ffn_up", "ffn_gate", "ffn_down", "other"
]


@dataclass(frozen=True)
class Tensor:
    """One tensor of a model.

    Args:
        name: such as `blk.0.attn_q.weight`.
        format: what it is stored in.
        shape: columns first.
    """

    name: str
    format: str
    shape: tuple[int, ...]


def role_of(name: str) -> Role:
    """What a tensor does, as far as choices depend on it."""
    if name == "output.weight":
        return "output"
    if name in ("token_embd.weight", "per_layer_token_embd.weight"):
        return "embedding"
    return next((role for part, role in _ROLES.items() if part in name), "other")


def why_kept(tensor: Tensor) -> str | None:
    """Why a tensor keeps its format in every mix; None if it does not."""
    if all(length == 1 for length in tensor.shape[1:]):
        return "kept: a vector"
    if not tensor.name.endswith("weight"):
        return "kept: no weights of a product"
    found = next((part for part in _KEPT if part in tensor.name), None)
    return None if found is None else f"kept: {_KEPT[found]}"


def layer_of(name: str) -> int:
    """The layer that a tensor belongs to, from 0; -1 outside of all layers."""
    found = re.match(r"blk\.(\d+)\.", name)
    return int(found[1]) if found else -1


# Part of a name -> role; the first that is there counts.
_ROLES: Mapping[str, Role] = {
    "attn_qkv.weight": "values",
    "attn_kv_b.weight": "values",
    "attn_v.weight": "values",
    "attn_k.weight": "keys",
    "attn_q.weight": "queries",
    "attn_output.weight": "attention output",
    "ffn_up": "ffn_up",
    "ffn_gate": "ffn_gate",
    "ffn_down": "ffn_down",
}

# Part of a name -> what it is; such matrices are small or do not multiply.
_KEPT: Mapping[str, str] = {
    "_norm.weight": "a norm",
    "ffn_gate_inp.weight": "chooses among experts",
    "ffn_gate_tid2eid.weight": "chooses among experts",
    "position_embd": "positions",
    "token_types.weight": "token types",
    "attn_rel_b.weight": "relative positions",
    "altup": "very small",
    "laurel": "very small",
    "per_layer_model_proj": "small",
    "ssm_conv1d": "a small convolution",
    "shortconv.conv.weight": "a small convolution",
    "indexer.k_proj.weight": "very small",
    "indexer.q_proj.weight": "very small",
    "time_mix_first.weight": "very small",
    "time_mix_w0.weight": "very small",
    "time_mix_w1.weight": "very small",
    "time_mix_w2.weight": "very small",
    "time_mix_v0.weight": "very small",
    "time_mix_v1.weight": "very small",
    "time_mix_v2.weight": "very small",
    "time_mix_a0.weight": "very small",
    "time_mix_a1.weight": "very small",
    "time_mix_a2.weight": "very small",
    "time_mix_g1.weight": "very small",
    "time_mix_g2.weight": "very small",
    "time_mix_decay_w1.weight": "very small",
    "time_mix_decay_w2.weight": "very small",
    "time_mix_lerp_fused.weight": "very small",
}
