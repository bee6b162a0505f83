//! Texts as vectors: passes of an encoder over several texts at once, and the pooling of their states.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::isa::Isa;
use crate::model::encoder::{Encoder, Forward, blocks_of};
use crate::model::memory;

pub use crate::model::encoder::Pooling;

/// How an embedder runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmbedderOptions {
    /// Tokens that a text may have; 0, or more than the model was trained for, takes what it was trained for.
    pub context_length: usize,
    /// Tokens of several texts that go through the model at once. A longer text goes alone.
    pub batch: usize,
    /// Instruction set of all kernels.
    pub isa: Isa,
    /// Threads, the caller's included.
    pub threads: usize,
}

impl Default for EmbedderOptions {
    /// The model's context, the best instruction set, one thread.
    fn default() -> Self {
        Self { context_length: 0, batch: 512, isa: Isa::detect(), threads: 1 }
    }
}

/// Makes embeddings with an encoder.
pub struct Embedder {
    encoder: Arc<Encoder>,
    options: EmbedderOptions,
    forward: Forward,
}

impl Embedder {
    /// Reserves what a pass needs.
    pub fn new(encoder: Arc<Encoder>, mut options: EmbedderOptions) -> Result<Self> {
        if options.batch == 0 || options.threads == 0 {
            return Err(Error::invalid_argument("batch and threads must be at least 1"));
        }
        let trained = encoder.config().context_length;
        if options.context_length == 0 || options.context_length > trained {
            options.context_length = trained;
        }
        let tokens = options.batch.max(options.context_length);
        let forward = Forward::new(&encoder, tokens, options.isa, options.threads)?;
        encoder.gguf().map_cached();
        Ok(Self { encoder, options, forward })
    }

    /// The model.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// How it runs, with the context length filled in.
    pub fn options(&self) -> &EmbedderOptions {
        &self.options
    }

    /// Bytes reserved; the system gives them as they are needed.
    pub fn scratch_bytes(&self) -> usize {
        self.forward.size_bytes()
    }

    /// A vector for each text, not normalized; with [`Pooling::None`] the vectors of all its tokens, one behind the other.
    ///
    /// Texts see nothing of each other: each gets what it gets alone, up to the order of sums.
    ///
    /// `interrupted` is asked between the products of every layer; when it says yes, there is nothing but an error.
    pub fn embed(
        &mut self,
        texts: &[&[u32]],
        pooling: Pooling,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Vec<f32>>> {
        texts.iter().try_for_each(|text| self.check(text))?;
        let width = self.encoder.config().embedding_length;
        let mut vectors = memory::reserve(texts.len(), "embeddings")?;
        let mut rest = texts;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.fitting(rest));
            let mut states = self.forward.run(&self.encoder, now, interrupted)?;
            for text in now {
                let (own, others) = states.split_at(text.len() * width);
                vectors.push(pooled(own, width, pooling));
                states = others;
            }
            rest = later;
        }
        Ok(vectors)
    }

    /// How many of the texts, from the first on, one pass takes: at least one.
    fn fitting(&self, texts: &[&[u32]]) -> usize {
        let (mut tokens, mut blocks) = (0, 0);
        let fits = |text: &&&[u32]| {
            tokens += text.len();
            blocks += blocks_of(text.len());
            tokens <= self.options.batch && blocks <= self.forward.block_count()
        };
        texts.iter().take_while(fits).count().max(1)
    }

    fn check(&self, text: &[u32]) -> Result<()> {
        if text.is_empty() {
            return Err(Error::invalid_argument("an embedding needs at least one token"));
        }
        let (count, most) = (text.len(), self.options.context_length);
        if count > most {
            let message = format!("Requested tokens ({count}) exceed context window of {most}");
            return Err(Error::new(ErrorKind::ContextFull, message));
        }
        let size = self.encoder.config().vocabulary_size;
        match text.iter().find(|&&token| token as usize >= size) {
            Some(token) => Err(Error::invalid_argument(format!("token {token} is not in the vocabulary of {size}"))),
            None => Ok(()),
        }
    }
}

/// One vector of the states of a text, (tokens, width).
fn pooled(states: &[f32], width: usize, pooling: Pooling) -> Vec<f32> {
    match pooling {
        Pooling::None => states.to_vec(),
        Pooling::First => states[..width].to_vec(),
        Pooling::Last => states[states.len() - width..].to_vec(),
        Pooling::Mean => {
            let mut mean = vec![0.0_f32; width];
            for row in states.chunks_exact(width) {
                for (mean, x) in mean.iter_mut().zip(row) {
                    *mean += x;
                }
            }
            let count = (states.len() / width) as f32;
            mean.into_iter().map(|sum| sum / count).collect()
        }
    }
}

#[cfg(test)]
mod tests;
