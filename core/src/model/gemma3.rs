//! Gemma 3, text: five layers with a sliding window, then one global layer with rotary frequencies of its own.

use super::architecture::{Architecture, BASE};
use super::config::Config;
use super::keys::Keys;
use crate::error::Result;
use crate::kernels::float::Gate;

pub(super) const GEMMA3: Architecture = Architecture {
    name: "gemma3",
    gate: Gate::Gelu,
    has_head_norms: true,
    has_post_norms: true,
    scales_embeddings: true,
    configure,
    ..BASE
};

/// The 27B model is told by its depth, and scales queries by its embedding per head.
const BLOCKS_27B: usize = 62;
/// Base of the rotary frequencies in layers with a window.
const LOCAL_ROPE_BASE: f32 = 10_000.0;

fn configure(keys: &Keys, config: &mut Config) -> Result<()> {
    if let Some(window) = keys.size("attention.sliding_window")?.filter(|&window| window > 0) {
        config.windows = keys.windows(window, 6, config.block_count)?;
        let mut local = config.rope.clone();
        local.base = keys.positive("rope.freq_base_swa")?.unwrap_or(LOCAL_ROPE_BASE);
        local.frequency_scale = 1.0; // position scaling stretches the global layers only
        config.local_rope = Some(local);
    }
    config.logit_softcap = keys.nonnegative("final_logit_softcapping")?.filter(|&cap| cap > 0.0);
    if config.block_count == BLOCKS_27B {
        config.attention_scale = 1.0 / ((config.embedding_length / config.head_count) as f32).sqrt();
    }
    Ok(())
}
