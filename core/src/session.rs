//! One conversation with a model: its KV cache, its tokens, its logits.

mod state;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::isa::Isa;
use crate::model::kv_cache::KvCache;
use crate::model::{Decoder, Model, Wanted, memory};

pub use crate::model::CacheFormat;

/// How a session runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionOptions {
    /// Tokens that fit; 0 takes what the model was trained for.
    pub context_length: usize,
    /// Tokens evaluated at a time in prefill, at most; large models take fewer to keep memory and pauses short.
    pub batch: usize,
    /// How the cache stores keys.
    pub keys: CacheFormat,
    /// How the cache stores values.
    pub values: CacheFormat,
    /// Instruction set of all kernels.
    pub isa: Isa,
    /// Threads, the caller's included.
    pub threads: usize,
}

impl Default for SessionOptions {
    /// The model's context, f16 cache, the best instruction set, one thread.
    fn default() -> Self {
        Self {
            context_length: 0,
            batch: 512,
            keys: CacheFormat::F16,
            values: CacheFormat::F16,
            isa: Isa::detect(),
            threads: 1,
        }
    }
}

/// Which of the evaluated tokens get logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// None: the fastest way to fill the cache.
    None,
    /// The last.
    Last,
    /// Every one.
    All,
}

/// How the hidden states of a text become one embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The last token's.
    Last,
    /// The mean of all tokens'.
    Mean,
}

/// Tokens evaluated by a model, and what it expects next.
pub struct Session {
    model: Arc<Model>,
    options: SessionOptions,
    decoder: Decoder,
    cache: KvCache,
    tokens: Vec<u32>,
    logits: Vec<f32>, // (wanted, vocabulary)
}

impl Session {
    /// Allocates cache and scratch for the whole context.
    pub fn new(model: Arc<Model>, mut options: SessionOptions) -> Result<Self> {
        if options.context_length == 0 {
            options.context_length = model.config().context_length;
        }
        if options.batch == 0 || options.threads == 0 {
            return Err(Error::invalid_argument("batch and threads must be at least 1"));
        }
        let cache = KvCache::new(model.config(), options.context_length, options.keys, options.values)?;
        let decoder = Decoder::new(&model, options.context_length, options.batch, options.isa, options.threads)?;
        let tokens = memory::reserve(options.context_length, "tokens of the context")?;
        Ok(Self { model, options, decoder, cache, tokens, logits: Vec::new() })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// How the session runs, with the context length filled in.
    pub fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// Appends `tokens`, and keeps the logits that are wanted.
    ///
    /// `interrupted` is asked between the steps of every layer; when it says yes, or on any other error, the session is
    /// as it was before the chunk of tokens that could not be finished, and has no logits.
    pub fn evaluate(&mut self, tokens: &[u32], wanted: Logits, interrupted: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        self.check(tokens)?;
        self.logits.clear();
        let vocabulary = self.model.config().vocabulary_size;
        let rows = match wanted {
            Logits::None => 0,
            Logits::Last => tokens.len().min(1),
            Logits::All => tokens.len(),
        };
        let length = rows.checked_mul(vocabulary).ok_or_else(|| memory::out_of_memory(usize::MAX, "logits"))?;
        self.logits.try_reserve_exact(length).map_err(|_| memory::out_of_memory(4 * length, "logits"))?;

        let chunk = self.decoder.chunk();
        let last_chunk = tokens.len().saturating_sub(1) / chunk;
        for (index, tokens) in tokens.chunks(chunk).enumerate() {
            let wanted = match wanted {
                Logits::All => Wanted::All,
                Logits::Last if index == last_chunk => Wanted::Last,
                _ => Wanted::None,
            };
            let length = self.tokens.len();
            if let Err(error) = self.evaluate_chunk(tokens, wanted, interrupted) {
                self.truncate(length);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Appends tokens that fit the buffers, and their logits.
    fn evaluate_chunk(
        &mut self,
        tokens: &[u32],
        wanted: Wanted,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<()> {
        let (width, vocabulary) = (self.model.config().embedding_length, self.model.config().vocabulary_size);
        let count = self.forward(tokens, wanted, interrupted)?.len() / width;
        let start = self.logits.len();
        self.logits.resize(start + count * vocabulary, 0.0);
        self.decoder.logits(&self.model, &mut self.logits[start..], interrupted)
    }

    /// Appends `tokens`, and gives one embedding for them: their hidden states behind the last norm, pooled.
    pub fn embed(
        &mut self,
        tokens: &[u32],
        pooling: Pooling,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<f32>> {
        self.check(tokens)?;
        if tokens.is_empty() {
            return Err(Error::invalid_argument("an embedding needs at least one token"));
        }
        self.logits.clear();
        let width = self.model.config().embedding_length;
        let mut embedding = memory::zeros(width, "embedding")?;
        let chunk = self.decoder.chunk();
        let last_chunk = (tokens.len() - 1) / chunk;
        for (index, tokens) in tokens.chunks(chunk).enumerate() {
            let wanted = match pooling {
                Pooling::Mean => Wanted::All,
                Pooling::Last if index == last_chunk => Wanted::Last,
                Pooling::Last => Wanted::None,
            };
            for row in self.forward(tokens, wanted, interrupted)?.chunks_exact(width) {
                for (sum, x) in embedding.iter_mut().zip(row) {
                    *sum += x;
                }
            }
        }
        if pooling == Pooling::Mean {
            for x in &mut embedding {
                *x /= tokens.len() as f32;
            }
        }
        Ok(embedding)
    }

    /// Logits of the last evaluation, (wanted tokens, vocabulary); empty if none were wanted.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// The tokens whose keys and values are in the cache.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// How many tokens were evaluated.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether nothing was evaluated yet.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Forgets all tokens from position `length` on, and the logits.
    pub fn truncate(&mut self, length: usize) {
        self.tokens.truncate(length);
        self.logits.clear();
    }

    /// Bytes of the cache for the whole context; the system gives them as positions are written.
    pub fn cache_bytes(&self) -> usize {
        self.cache.size_bytes()
    }

    /// Bytes of the buffers.
    pub fn scratch_bytes(&self) -> usize {
        self.decoder.size_bytes() + 4 * self.logits.capacity() + 4 * self.tokens.capacity()
    }

    fn forward(&mut self, tokens: &[u32], wanted: Wanted, interrupted: &(dyn Fn() -> bool + Sync)) -> Result<&[f32]> {
        let first = self.tokens.len();
        let hidden = self.decoder.forward(&self.model, &mut self.cache, tokens, first, wanted, interrupted)?;
        self.tokens.extend_from_slice(tokens);
        Ok(hidden)
    }

    fn check(&self, tokens: &[u32]) -> Result<()> {
        let vocabulary = self.model.config().vocabulary_size;
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(Error::invalid_argument(format!("token {token} is not one of the {vocabulary} of this model")));
        }
        let (capacity, length) = (self.cache.capacity(), self.tokens.len());
        if tokens.len() > capacity - length {
            return Err(Error::new(
                ErrorKind::ContextFull,
                format!("{} tokens after {length} exceed the context window of {capacity}", tokens.len()),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
