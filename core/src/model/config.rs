//! What a model computes, from the metadata of its file: sizes, windows, rotary frequencies, caps.
//!
//! Every value is checked before it is used. What would change the computation and is not known here is refused,
//! never ignored; keys that llama.cpp does not read for these architectures are not read here either.

use super::architecture::Architecture;
use super::keys::Keys;
use crate::error::Result;
use crate::gguf::Metadata;
use crate::kernels::float::Gate;
use crate::kernels::rope::{Rope, RopeStyle};

/// Layers, heads and widths beyond these are not models but attacks on the allocator.
pub(super) const MAX_BLOCKS: usize = 1024;
pub(super) const MAX_HEADS: usize = 1024;
pub(super) const MAX_HEAD_LENGTH: usize = 1024;
pub(super) const MAX_WIDTH: usize = 1 << 20;
pub(super) const MAX_CONTEXT: usize = 1 << 28;

/// The shape and constants of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// As `general.architecture` names it.
    pub architecture: &'static str,
    /// Transformer layers.
    pub block_count: usize,
    /// Positions that the model was trained for.
    pub context_length: usize,
    /// Width of the residual stream.
    pub embedding_length: usize,
    /// Width between the matrices of the feed-forward network.
    pub feed_forward_length: usize,
    /// Query heads.
    pub head_count: usize,
    /// Key and value heads; each serves `head_count / head_count_kv` query heads.
    pub head_count_kv: usize,
    /// Width of one head.
    pub head_length: usize,
    /// Tokens that the model knows: the rows of its embedding.
    pub vocabulary_size: usize,
    /// Added to the mean square in every norm.
    pub norm_epsilon: f32,
    /// Embeddings are multiplied by this.
    pub embedding_scale: f32,
    /// Attention scores are multiplied by this.
    pub attention_scale: f32,
    /// Attention scores are bent below this: `cap * tanh(score / cap)`.
    pub attention_softcap: Option<f32>,
    /// Logits are bent below this.
    pub logit_softcap: Option<f32>,
    /// How the gate of the feed-forward network is bent.
    pub gate: Gate,
    /// Rotary embedding of all layers, or of those without a window where `local_rope` is given.
    pub rope: Rope,
    /// Rotary embedding of the layers with a window.
    pub local_rope: Option<Rope>,
    /// Positions that a query sees, itself included, per layer; `None` is all before it.
    pub windows: Vec<Option<usize>>,
}

impl Config {
    pub(super) fn read(metadata: &Metadata, architecture: &'static Architecture) -> Result<Self> {
        let keys = Keys::new(metadata, architecture.name);
        refuse_what_is_not_run(&keys)?;
        let block_count = keys.require_size("block_count", MAX_BLOCKS)?;
        let embedding_length = keys.require_size("embedding_length", MAX_WIDTH)?;
        let head_count = keys.require_same("attention.head_count", block_count, MAX_HEADS)?;
        let head_count_kv = keys.same("attention.head_count_kv", block_count, MAX_HEADS)?.unwrap_or(head_count);
        if !head_count.is_multiple_of(head_count_kv) {
            return Err(keys.bad(
                "attention.head_count_kv",
                &format!("is {head_count_kv}, which does not divide attention.head_count {head_count}"),
            ));
        }
        let head_length = match keys.bounded("attention.key_length", MAX_HEAD_LENGTH)? {
            Some(length) => length,
            None if embedding_length.is_multiple_of(head_count) => embedding_length / head_count,
            None => {
                return Err(keys.bad(
                    "attention.head_count",
                    &format!(
                        "is {head_count}, which does not divide embedding_length {embedding_length}, \
                         and attention.key_length is absent"
                    ),
                ));
            }
        };
        if head_length == 0 || head_length > MAX_HEAD_LENGTH {
            return Err(keys.bad("attention.head_count", &format!("gives heads of {head_length} values")));
        }
        let value_length = keys.bounded("attention.value_length", MAX_HEAD_LENGTH)?;
        let value_length = value_length.unwrap_or(embedding_length / head_count);
        if value_length != head_length {
            return Err(keys.unsupported(
                "attention.value_length",
                &format!("is {value_length}, keys have {head_length}: the core runs equal lengths"),
            ));
        }
        for key in ["attention.key_length_swa", "attention.value_length_swa"] {
            keys.expect_size(key, head_length)?;
        }
        keys.expect_size("embedding_length_out", embedding_length)?;

        let context_length = keys.require_size("context_length", MAX_CONTEXT)?;
        let rope = read_rope(&keys, architecture.rope_style, head_length, context_length)?;
        keys.expect_size("rope.dimension_count_swa", rope.dimensions)?;
        let mut config = Self {
            architecture: architecture.name,
            block_count,
            context_length,
            embedding_length,
            feed_forward_length: keys.require_same("feed_forward_length", block_count, MAX_WIDTH)?,
            head_count,
            head_count_kv,
            head_length,
            vocabulary_size: 0, // known with the weights
            norm_epsilon: keys
                .nonnegative("attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| keys.missing("attention.layer_norm_rms_epsilon"))?,
            embedding_scale: if architecture.scales_embeddings { (embedding_length as f32).sqrt() } else { 1.0 },
            attention_scale: 1.0 / (head_length as f32).sqrt(),
            attention_softcap: None,
            logit_softcap: None,
            gate: architecture.gate,
            rope,
            local_rope: None,
            windows: vec![None; block_count],
        };
        (architecture.configure)(&keys, &mut config)?;
        Ok(config)
    }

    /// Width of all query heads.
    pub fn query_length(&self) -> usize {
        self.head_count * self.head_length
    }

    /// Width of all key heads, and of all value heads.
    pub fn key_length(&self) -> usize {
        self.head_count_kv * self.head_length
    }
}

/// Variants that share an architecture's name, but not its computation.
fn refuse_what_is_not_run(keys: &Keys) -> Result<()> {
    if keys.size("expert_count")?.unwrap_or(0) > 0 {
        return Err(keys.unsupported("expert_count", "makes it a mixture of experts, which the core does not run"));
    }
    if keys.size("nextn_predict_layers")?.unwrap_or(0) > 0 {
        return Err(keys.unsupported("nextn_predict_layers", "adds layers that the core does not run"));
    }
    if keys.bool("attention.causal")? == Some(false) {
        return Err(keys.unsupported("attention.causal", "is false: the core runs causal attention"));
    }
    Ok(())
}

/// Rotary frequencies and how they stretch beyond the context they were trained for.
pub(super) fn read_rope(keys: &Keys, style: RopeStyle, head_length: usize, context_length: usize) -> Result<Rope> {
    let dimensions = keys.bounded("rope.dimension_count", MAX_HEAD_LENGTH)?.unwrap_or(head_length);
    if dimensions == 0 || dimensions > head_length || !dimensions.is_multiple_of(2) {
        return Err(keys.bad(
            "rope.dimension_count",
            &format!("is {dimensions}: an even number from 2 to the head length {head_length} is needed"),
        ));
    }
    let factor = match keys.nonnegative("rope.scaling.factor")? {
        Some(factor) => factor,
        None => keys.nonnegative("rope.scale_linear")?.unwrap_or(0.0), // the key of older files
    };
    let stretch = if factor == 0.0 { 1.0 } else { factor };
    let (frequency_scale, extrapolation) = match keys.string("rope.scaling.type")?.unwrap_or("linear") {
        "none" => (1.0, 0.0),
        "linear" | "longrope" => (1.0 / stretch, 0.0),
        "yarn" => (1.0 / stretch, 1.0),
        other => return Err(keys.unsupported("rope.scaling.type", &format!("is \"{other}\", which is not known"))),
    };
    let original = keys.bounded("rope.scaling.original_context_length", MAX_CONTEXT)?;
    Ok(Rope {
        style,
        dimensions,
        base: keys.positive("rope.freq_base")?.unwrap_or(10_000.0),
        frequency_scale,
        extrapolation,
        magnitude: keys.positive("rope.scaling.attn_factor")?.unwrap_or(1.0),
        original_context_length: original.filter(|&length| length > 0).unwrap_or(context_length),
    })
}
