//! What an encoder computes, from the metadata of its file; every value is checked before it is used.

use super::{EncoderArchitecture, Positions};
use crate::error::Result;
use crate::gguf::Metadata;
use crate::kernels::float::Gate;
use crate::kernels::rope::Rope;
use crate::model::config::{MAX_BLOCKS, MAX_CONTEXT, MAX_HEAD_LENGTH, MAX_HEADS, MAX_WIDTH, read_rope};
use crate::model::keys::Keys;

/// How the states of a text's tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Not at all: a vector for each token.
    None,
    /// Their mean.
    Mean,
    /// The first token's, which is `[CLS]`.
    First,
    /// The last token's.
    Last,
}

/// The shape and constants of one encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// As `general.architecture` names it.
    pub architecture: &'static str,
    /// Transformer layers.
    pub block_count: usize,
    /// Tokens that a text may have.
    pub context_length: usize,
    /// Length of a state, and so of an embedding.
    pub embedding_length: usize,
    /// Width between the matrices of the feed-forward network.
    pub feed_forward_length: usize,
    /// Heads of queries, keys and values.
    pub head_count: usize,
    /// Width of one head.
    pub head_length: usize,
    /// Tokens that the model knows: the rows of its embedding.
    pub vocabulary_size: usize,
    /// Added to the variance in every norm.
    pub norm_epsilon: f32,
    /// How the feed-forward network bends its values.
    pub gate: Gate,
    /// How the file wants states pooled, if it says so.
    pub pooling: Option<Pooling>,
    /// Rotary embedding, where positions are not learned.
    pub rope: Option<Rope>,
}

impl EncoderConfig {
    pub(super) fn read(metadata: &Metadata, architecture: &'static EncoderArchitecture) -> Result<Self> {
        let keys = Keys::new(metadata, architecture.name);
        (architecture.check)(&keys)?;
        if keys.size("expert_count")?.unwrap_or(0) > 0 {
            return Err(keys.unsupported("expert_count", "makes it a mixture of experts, which the core does not run"));
        }
        if keys.bool("attention.causal")? == Some(true) {
            return Err(keys.unsupported("attention.causal", "is true: the core runs encoders that see the whole text"));
        }
        let block_count = keys.require_size("block_count", MAX_BLOCKS)?;
        let embedding_length = keys.require_size("embedding_length", MAX_WIDTH)?;
        let head_count = keys.require_same("attention.head_count", block_count, MAX_HEADS)?;
        let head_length = embedding_length / head_count;
        if !embedding_length.is_multiple_of(head_count) || head_length > MAX_HEAD_LENGTH {
            let rule =
                format!("of embedding_length {embedding_length}: heads of 1 to {MAX_HEAD_LENGTH} values are needed");
            return Err(keys.bad("attention.head_count", &format!("is {head_count}, {rule}")));
        }
        for (key, expected) in [("attention.head_count_kv", head_count), ("embedding_length_out", embedding_length)] {
            match keys.same(key, block_count, MAX_WIDTH)? {
                Some(value) if value != expected => {
                    return Err(keys.unsupported(key, &format!("is {value}: the core runs {expected} here")));
                }
                _ => {}
            }
        }
        for key in ["attention.key_length", "attention.value_length"] {
            keys.expect_size(key, head_length)?;
        }
        let context_length = keys.require_size("context_length", MAX_CONTEXT)?;
        let rope = match architecture.positions {
            Positions::Learned => None,
            Positions::Rotary(style) => Some(read_rope(&keys, style, head_length, context_length)?),
        };
        let epsilon = "attention.layer_norm_epsilon";
        Ok(Self {
            architecture: architecture.name,
            block_count,
            context_length,
            embedding_length,
            feed_forward_length: keys.require_same("feed_forward_length", block_count, MAX_WIDTH)?,
            head_count,
            head_length,
            vocabulary_size: 0, // known with the weights
            norm_epsilon: keys.nonnegative(epsilon)?.ok_or_else(|| keys.missing(epsilon))?,
            gate: architecture.gate,
            pooling: read_pooling(&keys)?,
            rope,
        })
    }
}

/// Source of the numbers: llama.cpp's enum `llama_pooling_type`.
fn read_pooling(keys: &Keys) -> Result<Option<Pooling>> {
    Ok(Some(match keys.size("pooling_type")? {
        None => return Ok(None),
        Some(0) => Pooling::None,
        Some(1) => Pooling::Mean,
        Some(2) => Pooling::First,
        Some(3) => Pooling::Last,
        Some(4) => {
            return Err(
                keys.unsupported("pooling_type", "is 4, a score from a classifier, which the core does not run")
            );
        }
        Some(other) => return Err(keys.bad("pooling_type", &format!("is {other}: poolings are 0 to 4"))),
    }))
}
