//! Nomic's BERT (nomic-embed-text): rotary positions, a gated feed-forward network, one matrix for queries, keys and
//! values.
//!
//! Source: Nussbaum et al. 2024, arXiv 2402.01613.

use super::{EncoderArchitecture, Positions};
use crate::kernels::float::Gate;
use crate::kernels::rope::RopeStyle;

pub(super) const NOMIC_BERT: EncoderArchitecture = EncoderArchitecture {
    name: "nomic-bert",
    positions: Positions::Rotary(RopeStyle::Halves),
    gate: Gate::Silu,
    is_gated: true,
    check: |keys| match keys.size("moe_every_n_layers")? {
        None | Some(0) => Ok(()),
        Some(_) => Err(keys.unsupported("moe_every_n_layers", "adds layers of experts, which the core does not run")),
    },
};
