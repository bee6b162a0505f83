//! Gemma 2: soft-capped attention and logits, a sliding window on every other layer, norms on both sides.

use super::architecture::{Architecture, BASE};
use super::config::Config;
use super::keys::Keys;
use crate::error::Result;
use crate::kernels::float::Gate;

pub(super) const GEMMA2: Architecture = Architecture {
    name: "gemma2",
    gate: Gate::Gelu,
    has_post_norms: true,
    may_have_output: false,
    scales_embeddings: true,
    configure,
    ..BASE
};

/// The 27B model is told by its depth, and scales queries by its embedding per head.
const BLOCKS_27B: usize = 46;

fn configure(keys: &Keys, config: &mut Config) -> Result<()> {
    let window = keys.size("attention.sliding_window")?.unwrap_or(4096);
    config.windows = keys.windows(window, 2, config.block_count)?;
    let mut local = config.rope.clone();
    local.base = keys.positive("rope.freq_base_swa")?.unwrap_or(local.base);
    config.local_rope = Some(local);
    config.attention_softcap = Some(keys.positive("attn_logit_softcapping")?.unwrap_or(50.0));
    config.logit_softcap = Some(keys.positive("final_logit_softcapping")?.unwrap_or(30.0));
    if config.block_count == BLOCKS_27B {
        config.attention_scale = 1.0 / ((config.embedding_length / config.head_count) as f32).sqrt();
    }
    Ok(())
}
