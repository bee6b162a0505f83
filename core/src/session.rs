//! Conversations with a model: their tokens, the KV cache they share, their logits.
//!
//! A session has a main sequence, which most callers need alone, and as many others as the cache has room for. One step
//! evaluates tokens of several sequences together, so that the weights are read once for all of them.

mod measures;
mod sequences;
mod source;
mod state;

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::isa::Isa;
use crate::model::kv_cache::{BLOCK, KvCache};
use crate::model::{Decoder, Model, Segment, Wanted, memory};
use sequences::{Sequence, Sequences};

pub use crate::model::CacheFormat;
pub use sequences::SequenceId;
pub use source::Source;

/// How a session runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionOptions {
    /// Tokens that a sequence may have; 0 takes what the model was trained for.
    pub context_length: usize,
    /// How many sequences of that length the cache has room for. Shorter ones may be more.
    pub sequences: usize,
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
            sequences: 1,
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

/// Tokens to append to a sequence in one step with others.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// Which sequence.
    pub sequence: SequenceId,
    /// The tokens.
    pub tokens: &'a [u32],
    /// Which of them get logits.
    pub wanted: Logits,
}

impl Work<'_> {
    /// How many of the tokens get logits.
    fn rows(&self) -> usize {
        match self.wanted {
            Logits::None => 0,
            Logits::Last => self.tokens.len().min(1),
            Logits::All => self.tokens.len(),
        }
    }
}

/// How the hidden states of a text become one embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The last token's.
    Last,
    /// The mean of all tokens'.
    Mean,
}

/// Sequences evaluated by a model, and what it expects next.
pub struct Session {
    model: Arc<Model>,
    options: SessionOptions,
    decoder: Decoder,
    cache: KvCache,
    sequences: Sequences,
    logits: Vec<f32>,                      // (wanted, vocabulary)
    rows: Vec<(SequenceId, Range<usize>)>, // rows of `logits`, per sequence
}

impl Session {
    /// The sequence that every session has.
    pub const MAIN: SequenceId = SequenceId(0);

    /// Allocates cache and scratch for the whole context.
    pub fn new(model: Arc<Model>, mut options: SessionOptions) -> Result<Self> {
        if options.context_length == 0 {
            options.context_length = model.config().context_length;
        }
        if options.batch == 0 || options.threads == 0 || options.sequences == 0 {
            return Err(Error::invalid_argument("batch, threads and sequences must be at least 1"));
        }
        let capacity = match options.sequences {
            1 => options.context_length,
            several => options.context_length.div_ceil(BLOCK).saturating_mul(BLOCK).saturating_mul(several),
        };
        let cache = KvCache::new(model.config(), capacity, options.keys, options.values)?;
        let decoder = Decoder::new(&model, options.context_length, options.batch, options.isa, options.threads)?;
        let sequences = Sequences::new(cache.block_count());
        model.gguf().map_cached();
        Ok(Self { model, options, decoder, cache, sequences, logits: Vec::new(), rows: Vec::new() })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// How the session runs, with the context length filled in.
    pub fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// A new sequence, and how many tokens it begins with: as many of `prompt` as any sequence of this session and of the
    /// namespace holds or held, but for the last, which has to be evaluated for its logits.
    pub fn begin(&mut self, prompt: &[u32], namespace: &str) -> (SequenceId, usize) {
        let id = self.sequences.begin(prompt, namespace);
        (id, self.tokens_of(id).len())
    }

    /// Ends a sequence; what it held serves those that begin alike, until its room is needed.
    pub fn end(&mut self, id: SequenceId) {
        self.forget_logits(id);
        if id == Self::MAIN {
            self.sequences.restart(id, &[], "");
        } else {
            self.sequences.end(id);
        }
    }

    /// Lets the main sequence begin anew, as [`Self::begin`] does.
    pub fn reuse(&mut self, prompt: &[u32], namespace: &str) -> usize {
        self.forget_logits(Self::MAIN);
        self.sequences.restart(Self::MAIN, prompt, namespace);
        self.len()
    }

    /// Appends `tokens` to the main sequence, and keeps the logits that are wanted; see [`Self::step`].
    pub fn evaluate(&mut self, tokens: &[u32], wanted: Logits, interrupted: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        self.step(&[Work { sequence: Self::MAIN, tokens, wanted }], interrupted)
    }

    /// Appends `tokens` and guesses of what follows them to a sequence, and has the next token chosen from logits, and the
    /// one behind it for every guess that was right. Wrong guesses are forgotten again.
    ///
    /// The tokens chosen, the last of which is not evaluated.
    pub fn verify(
        &mut self,
        sequence: SequenceId,
        tokens: &[u32],
        guesses: &[u32],
        interrupted: &(dyn Fn() -> bool + Sync),
        mut choose: impl FnMut(&[f32]) -> u32,
    ) -> Result<Vec<u32>> {
        let wanted = if guesses.is_empty() { Logits::Last } else { Logits::All };
        self.step(&[Work { sequence, tokens: &[tokens, guesses].concat(), wanted }], interrupted)?;
        let rows = self.logits_of(sequence).chunks_exact(self.model.config().vocabulary_size);
        let mut chosen = Vec::new();
        for (i, logits) in rows.rev().take(guesses.len() + 1).rev().enumerate() {
            let token = choose(logits);
            chosen.push(token);
            if guesses.get(i) != Some(&token) {
                break;
            }
        }
        if chosen.len() <= guesses.len() {
            let length = self.tokens_of(sequence).len() - guesses.len() + chosen.len() - 1;
            self.truncate_sequence(sequence, length);
        }
        Ok(chosen)
    }

    /// Appends tokens to several sequences, each of which occurs once, and keeps the logits that are wanted; those of
    /// earlier steps are gone.
    ///
    /// A token's logits do not depend on what is evaluated with it, bit for bit, as long as a step has at most eight tokens;
    /// with more, sums are made in another order.
    ///
    /// `interrupted` is asked between the steps of every layer; when it says yes, or on any other error, the sequences are
    /// as they were before the chunk of tokens that could not be finished, and there are no logits.
    pub fn step(&mut self, work: &[Work], interrupted: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        self.check(work)?;
        self.logits.clear();
        self.rows.clear();
        let vocabulary = self.model.config().vocabulary_size;
        let length = work.iter().map(Work::rows).sum::<usize>().checked_mul(vocabulary);
        let length = length.ok_or_else(|| memory::out_of_memory(usize::MAX, "logits"))?;
        self.logits.try_reserve_exact(length).map_err(|_| memory::out_of_memory(4 * length, "logits"))?;
        self.reserve(work)?;
        for chunk in chunks(work, self.decoder.chunk()) {
            if let Err(error) = self.evaluate_chunk(&chunk, interrupted) {
                self.logits.clear();
                self.rows.clear();
                self.give_back(work);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes room for all tokens, or for none.
    fn reserve(&mut self, work: &[Work]) -> Result<()> {
        for Work { sequence, tokens, .. } in work {
            let Some(copies) = self.sequences.reserve(*sequence, tokens.len()) else {
                self.give_back(work);
                let (capacity, count) = (self.cache.capacity(), tokens.len());
                return Err(Error::new(
                    ErrorKind::ContextFull,
                    format!(
                        "the KV cache has no room for {count} more tokens: all its {capacity} positions are in use"
                    ),
                ));
            };
            for copy in copies {
                self.cache.copy_block(copy.from, copy.to);
            }
        }
        Ok(())
    }

    /// Gives back the room that tokens did not take.
    fn give_back(&mut self, work: &[Work]) {
        for work in work {
            self.sequences.truncate(work.sequence, self.tokens_of(work.sequence).len());
        }
    }

    /// Appends tokens that fit the buffers, and their logits.
    fn evaluate_chunk(&mut self, work: &[Work], interrupted: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let (width, vocabulary) = (self.model.config().embedding_length, self.model.config().vocabulary_size);
        let count = self.forward(work, interrupted)?.len() / width;
        let start = self.logits.len();
        self.logits.resize(start + count * vocabulary, 0.0);
        let result = self.decoder.logits(&self.model, &mut self.logits[start..], interrupted);
        if let Err(error) = result {
            for work in work {
                let length = self.tokens_of(work.sequence).len() - work.tokens.len();
                self.sequences.truncate(work.sequence, length);
            }
            return Err(error);
        }
        let mut row = start / vocabulary;
        for work in work {
            let count = work.rows();
            match self.rows.last_mut() {
                Some((id, rows)) if *id == work.sequence => rows.end += count,
                _ => self.rows.push((work.sequence, row..row + count)),
            }
            row += count;
        }
        Ok(())
    }

    /// Appends `tokens` to a sequence, and gives one embedding for them: their hidden states behind the last norm, pooled.
    pub fn embed(
        &mut self,
        sequence: SequenceId,
        tokens: &[u32],
        pooling: Pooling,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<f32>> {
        if tokens.is_empty() {
            return Err(Error::invalid_argument("an embedding needs at least one token"));
        }
        let wanted = if pooling == Pooling::Mean { Logits::All } else { Logits::Last };
        let work = [Work { sequence, tokens, wanted }];
        self.check(&work)?;
        self.logits.clear();
        self.rows.clear();
        let width = self.model.config().embedding_length;
        let mut embedding = memory::zeros(width, "embedding")?;
        self.reserve(&work)?;
        for chunk in chunks(&work, self.decoder.chunk()) {
            let hidden = match self.forward(&chunk, interrupted) {
                Ok(hidden) => hidden,
                Err(error) => {
                    self.give_back(&work);
                    return Err(error);
                }
            };
            for row in hidden.chunks_exact(width) {
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

    /// Logits that the last step kept of the main sequence, (wanted tokens, vocabulary); empty if none were wanted.
    pub fn logits(&self) -> &[f32] {
        self.logits_of(Self::MAIN)
    }

    /// Logits that the last step kept of a sequence.
    pub fn logits_of(&self, id: SequenceId) -> &[f32] {
        let vocabulary = self.model.config().vocabulary_size;
        let rows = self.rows.iter().find(|(sequence, _)| *sequence == id);
        rows.map_or(&[], |(_, rows)| &self.logits[rows.start * vocabulary..rows.end * vocabulary])
    }

    /// The main sequence's tokens, whose keys and values are in the cache.
    pub fn tokens(&self) -> &[u32] {
        self.tokens_of(Self::MAIN)
    }

    /// The tokens of a sequence; none if it ended.
    pub fn tokens_of(&self, id: SequenceId) -> &[u32] {
        self.sequences.get(id).map_or(&[], |sequence| &sequence.tokens)
    }

    /// How many tokens of the main sequence were evaluated.
    pub fn len(&self) -> usize {
        self.tokens().len()
    }

    /// Whether the main sequence is empty.
    pub fn is_empty(&self) -> bool {
        self.tokens().is_empty()
    }

    /// Forgets all tokens of the main sequence from position `length` on, and its logits.
    pub fn truncate(&mut self, length: usize) {
        self.truncate_sequence(Self::MAIN, length);
    }

    /// Forgets all tokens of a sequence from position `length` on, and its logits.
    pub fn truncate_sequence(&mut self, id: SequenceId, length: usize) {
        self.sequences.truncate(id, length);
        self.forget_logits(id);
    }

    /// How many positions of the cache no sequence holds that goes on: what ended gives way.
    pub fn room(&self) -> usize {
        self.sequences.available() * BLOCK
    }

    /// Bytes of the cache for the whole context; the system gives them as positions are written.
    pub fn cache_bytes(&self) -> usize {
        self.cache.size_bytes()
    }

    /// Bytes of the buffers.
    pub fn scratch_bytes(&self) -> usize {
        self.decoder.size_bytes() + 4 * self.logits.capacity()
    }

    /// Hidden states of the wanted tokens of a chunk, which the sequences have room for.
    fn forward(&mut self, work: &[Work], interrupted: &(dyn Fn() -> bool + Sync)) -> Result<&[f32]> {
        let segments: Vec<Segment> = work.iter().filter_map(|work| segment(&self.sequences, work)).collect();
        let hidden = self.decoder.forward(&self.model, &mut self.cache, &segments, interrupted)?;
        for work in work {
            self.sequences.append(work.sequence, work.tokens);
        }
        Ok(hidden)
    }

    fn forget_logits(&mut self, id: SequenceId) {
        self.rows.retain(|(sequence, _)| *sequence != id);
    }

    fn check(&self, work: &[Work]) -> Result<()> {
        let (vocabulary, capacity) = (self.model.config().vocabulary_size, self.options.context_length);
        for (i, Work { sequence: id, tokens, .. }) in work.iter().enumerate() {
            let Some(Sequence { tokens: before, .. }) = self.sequences.get(*id) else {
                return Err(Error::invalid_argument(format!("sequence {} is not one of this session", id.0)));
            };
            if work[..i].iter().any(|other| other.sequence == *id) {
                return Err(Error::invalid_argument(format!("sequence {} occurs twice in one step", id.0)));
            }
            if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
                return Err(Error::invalid_argument(format!(
                    "token {token} is not one of the {vocabulary} of this model"
                )));
            }
            if tokens.len() > capacity.saturating_sub(before.len()) {
                let (count, before) = (tokens.len(), before.len());
                return Err(Error::new(
                    ErrorKind::ContextFull,
                    format!("{count} tokens after {before} exceed the context window of {capacity}"),
                ));
            }
        }
        Ok(())
    }
}

/// The tokens of a piece of work as the decoder sees them, behind those that the sequence holds.
fn segment<'a>(sequences: &'a Sequences, work: &Work<'a>) -> Option<Segment<'a>> {
    let Sequence { tokens, blocks, .. } = sequences.get(work.sequence)?;
    let wanted = match work.wanted {
        Logits::None => Wanted::None,
        Logits::Last => Wanted::Last,
        Logits::All => Wanted::All,
    };
    Some(Segment { tokens: work.tokens, first: tokens.len(), blocks, wanted })
}

/// Cuts work into chunks of at most `size` tokens, in order.
fn chunks<'a>(work: &[Work<'a>], size: usize) -> Vec<Vec<Work<'a>>> {
    let mut chunks: Vec<Vec<Work>> = Vec::new();
    let mut room = 0;
    for work in work {
        let mut tokens = work.tokens;
        while !tokens.is_empty() {
            if room == 0 {
                chunks.push(Vec::new());
                room = size;
            }
            let (now, later) = tokens.split_at(room.min(tokens.len()));
            let wanted = if work.wanted == Logits::Last && !later.is_empty() { Logits::None } else { work.wanted };
            if let Some(chunk) = chunks.last_mut() {
                chunk.push(Work { tokens: now, wanted, ..*work });
            }
            room -= now.len();
            tokens = later;
        }
    }
    chunks
}

#[cfg(test)]
mod batch_tests;
#[cfg(test)]
mod tests;
