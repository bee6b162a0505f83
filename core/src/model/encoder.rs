//! Encoders: models that read a text as a whole and give its tokens' states, from which embeddings are made.
//!
//! To add an architecture: one file that says what differs, and one line in the table below.

mod bert;
mod config;
mod forward;
mod nomic_bert;
mod weights;

use std::sync::Arc;

pub use config::EncoderConfig;
pub use config::Pooling;

pub(crate) use forward::{Forward, blocks_of};

use super::keys::Keys;
use crate::error::{Error, Result};
use crate::gguf::{Gguf, quoted};
use crate::kernels::float::Gate;
use crate::kernels::rope::RopeStyle;
use weights::Weights;

/// The encoders that the core runs.
const ENCODERS: [&EncoderArchitecture; 2] = [&bert::BERT, &nomic_bert::NOMIC_BERT];

/// What tells one encoder from another.
pub(crate) struct EncoderArchitecture {
    /// As `general.architecture` names it.
    name: &'static str,
    /// How a token knows where it is.
    positions: Positions,
    /// How the feed-forward network bends its values.
    gate: Gate,
    /// What is bent is a gate: it is multiplied with values of a matrix of its own (`ffn_gate` and `ffn_up`).
    is_gated: bool,
    /// Refuses variants that share the name, but not the computation.
    check: fn(&Keys) -> Result<()>,
}

/// How a token knows where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Positions {
    /// By a learned vector for each position.
    Learned,
    /// By the rotation of its queries and keys.
    Rotary(RopeStyle),
}

/// An encoder that is ready to run: a proven file, and where everything is in it.
pub struct Encoder {
    gguf: Arc<Gguf>,
    config: EncoderConfig,
    weights: Weights,
}

impl Encoder {
    /// Reads the configuration and finds the tensors. Matrices stay in the file.
    pub fn load(gguf: Arc<Gguf>) -> Result<Self> {
        let name = gguf.metadata().require_str("general.architecture")?;
        let Some(architecture) = named(name) else {
            let known: Vec<&str> = ENCODERS.iter().map(|architecture| architecture.name).collect();
            let finding = format!("is not an encoder that the core runs ({})", known.join(", "));
            return Err(
                Error::unsupported(format!("architecture {} {finding}", quoted(name))).with_hint(super::BACKEND_HINT)
            );
        };
        let mut config = EncoderConfig::read(gguf.metadata(), architecture)?;
        let weights = Weights::load(&gguf, architecture, &mut config)?;
        Ok(Self { gguf, config, weights })
    }

    /// Whether the core runs this architecture as an encoder.
    pub fn knows(architecture: &str) -> bool {
        named(architecture).is_some()
    }

    /// Sizes and constants.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The file.
    pub fn gguf(&self) -> &Arc<Gguf> {
        &self.gguf
    }
}

fn named(name: &str) -> Option<&'static EncoderArchitecture> {
    ENCODERS.into_iter().find(|architecture| architecture.name == name)
}

#[cfg(test)]
pub(crate) mod tests;
