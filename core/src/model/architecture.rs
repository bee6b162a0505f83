//! What tells one decoder architecture from another, as data: one forward pass reads it all.

use super::config::Config;
use super::keys::Keys;
use super::{gemma2, gemma3, llama, phi3, qwen2, qwen3};
use crate::error::{Error, Result};
use crate::gguf::quoted;
use crate::kernels::float::Gate;
use crate::kernels::rope::RopeStyle;

/// The architectures that the core runs; a new one is a new file and a line here.
const ARCHITECTURES: [&Architecture; 6] =
    [&llama::LLAMA, &qwen2::QWEN2, &qwen3::QWEN3, &gemma2::GEMMA2, &gemma3::GEMMA3, &phi3::PHI3];

/// One decoder architecture.
#[allow(clippy::struct_excessive_bools, reason = "independent facts of a table")]
pub(crate) struct Architecture {
    /// As `general.architecture` names it.
    pub(crate) name: &'static str,
    /// Which pairs of a head are rotated.
    pub(crate) rope_style: RopeStyle,
    /// How the gate of the feed-forward network is bent.
    pub(crate) gate: Gate,
    /// Queries and keys are normalized per head (`attn_q_norm`, `attn_k_norm`) before they are rotated.
    pub(crate) has_head_norms: bool,
    /// The results of attention and feed-forward are normalized again before they are added to the residual.
    pub(crate) has_post_norms: bool,
    /// `ffn_up` holds the gate's rows first, then its own; there is no `ffn_gate`.
    pub(crate) has_fused_gate: bool,
    /// Rotary frequencies may come with factors in tensors of their own.
    pub(crate) has_rope_factors: bool,
    /// The output projection may have weights of its own; otherwise it is always the token embedding.
    pub(crate) may_have_output: bool,
    /// Embeddings are multiplied by the square root of their length.
    pub(crate) scales_embeddings: bool,
    /// Reads the metadata that only this architecture has.
    pub(crate) configure: fn(&Keys, &mut Config) -> Result<()>,
}

/// The most common shape; each file names what differs from it.
pub(super) const BASE: Architecture = Architecture {
    name: "",
    rope_style: RopeStyle::Halves,
    gate: Gate::Silu,
    has_head_norms: false,
    has_post_norms: false,
    has_fused_gate: false,
    has_rope_factors: false,
    may_have_output: true,
    scales_embeddings: false,
    configure: |_, _| Ok(()),
};

impl Architecture {
    /// The architecture of that name.
    pub(crate) fn named(name: &str) -> Result<&'static Self> {
        ARCHITECTURES.into_iter().find(|architecture| architecture.name == name).ok_or_else(|| {
            let known: Vec<&str> = ARCHITECTURES.iter().map(|architecture| architecture.name).collect();
            Error::unsupported(format!(
                "architecture {} is not one that the core runs ({})",
                quoted(name),
                known.join(", ")
            ))
            .with_hint(super::BACKEND_HINT)
        })
    }
}
