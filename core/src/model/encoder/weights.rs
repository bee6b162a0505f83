//! The tensors of an encoder; see [`crate::model::weights`] for the rules.

use super::{EncoderArchitecture, EncoderConfig, Positions};
use crate::error::Result;
use crate::gguf::Gguf;
use crate::model::weights::{Loader, Projection, check_vocabulary};

/// Scale and shift of a normalization.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// One transformer layer; norms come behind the sums.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) heads: [Projection; 3], // query, key, value
    pub(super) attention_output: Projection,
    pub(super) attention_norm: Norm,
    pub(super) gate: Option<Projection>,
    pub(super) up: Projection,
    pub(super) down: Projection,
    pub(super) output_norm: Norm,
}

/// All tensors of an encoder.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    pub(super) token_embedding: Projection,
    /// What is added to every token: that it belongs to the first of two texts.
    pub(super) first_text: Option<Vec<f32>>,
    pub(super) position_embedding: Option<Projection>,
    pub(super) embedding_norm: Norm,
    pub(super) layers: Vec<Layer>,
}

impl Weights {
    /// Finds all tensors and sets the vocabulary size.
    pub(super) fn load(gguf: &Gguf, architecture: &EncoderArchitecture, config: &mut EncoderConfig) -> Result<Self> {
        let mut file = Loader::new(gguf);
        let width = config.embedding_length;
        config.vocabulary_size = file.require("token_embd.weight", "the embedding of the vocabulary")?.rows();
        check_vocabulary(gguf, config.vocabulary_size)?;
        let weights = Self {
            token_embedding: file.projection("token_embd", width, config.vocabulary_size)?,
            first_text: file.first_row("token_types.weight", width)?,
            position_embedding: match architecture.positions {
                Positions::Learned => Some(file.projection("position_embd", width, config.context_length)?),
                Positions::Rotary(_) => None,
            },
            embedding_norm: norm(&mut file, "token_embd_norm", width)?,
            layers: (0..config.block_count)
                .map(|i| layer(&mut file, i, architecture, config))
                .collect::<Result<_>>()?,
        };
        file.refuse_the_rest(architecture.name)?;
        Ok(weights)
    }
}

fn layer(file: &mut Loader, index: usize, architecture: &EncoderArchitecture, config: &EncoderConfig) -> Result<Layer> {
    let name = |part: &str| format!("blk.{index}.{part}");
    let (width, inner) = (config.embedding_length, config.feed_forward_length);
    Ok(Layer {
        heads: file.heads(index, width, [width; 3])?,
        attention_output: file.projection(&name("attn_output"), width, width)?,
        attention_norm: norm(file, &name("attn_output_norm"), width)?,
        gate: if architecture.is_gated { Some(file.projection(&name("ffn_gate"), width, inner)?) } else { None },
        up: file.projection(&name("ffn_up"), width, inner)?,
        down: file.projection(&name("ffn_down"), inner, width)?,
        output_norm: norm(file, &name("layer_output_norm"), width)?,
    })
}

fn norm(file: &mut Loader, name: &str, width: usize) -> Result<Norm> {
    Ok(Norm {
        weight: file.vector(&format!("{name}.weight"), width)?,
        bias: file.vector(&format!("{name}.bias"), width)?,
    })
}
