//! A sequence as bytes: everything needed to go on later, in another process, with the same model.
//!
//! Layout, little endian: magic, version, model fingerprint, cache formats, token count, logit count, tokens, logits,
//! blocks of keys and values per layer and head, and a hash of all of it.

use super::{Logits, SequenceId, Session, Work};
use crate::error::{Error, Result};
use crate::model::kv_cache::{BLOCK, Cells, Side};
use crate::model::{CacheFormat, Fnv, memory};

const MAGIC: &[u8; 8] = b"EDGEWISE";
const VERSION: u32 = 1;
/// Magic, version, fingerprint, two formats, two counts.
const HEADER: usize = 8 + 4 + 8 + 2 + 8 + 8;
const HASH: usize = 8;

/// What a state holds, checked against the session that reads it.
struct State<'a> {
    tokens: Vec<u32>,
    logits: Vec<f32>,
    /// Blocks of all heads.
    cells: &'a [u8],
}

impl Session {
    /// The main sequence as bytes, its logits included, for [`Self::restore`].
    pub fn save(&self) -> Result<Vec<u8>> {
        self.write_state(Self::MAIN, self.len(), self.logits())
    }

    /// The first `length` tokens of a sequence as bytes, for [`Self::restore`] or [`Self::remember`].
    pub fn save_beginning(&self, id: SequenceId, length: usize) -> Result<Vec<u8>> {
        self.write_state(id, length.min(self.tokens_of(id).len()), &[])
    }

    /// Lets the main sequence become what `state` was saved from. Bytes that are damaged, or saved with another model or
    /// other cache formats, are an error and change nothing.
    pub fn restore(&mut self, state: &[u8]) -> Result<()> {
        let state = self.read_state(state)?;
        self.reuse(&[]);
        self.fill(Self::MAIN, &state)?;
        if !state.logits.is_empty() {
            self.rows = vec![(Self::MAIN, 0..state.logits.len() / self.model.config().vocabulary_size)];
            self.logits = state.logits;
        }
        Ok(())
    }

    /// Adds what `state` was saved from to what new sequences may begin with, and gives its tokens. Errors are those of
    /// [`Self::restore`].
    pub fn remember(&mut self, state: &[u8]) -> Result<Vec<u32>> {
        let state = self.read_state(state)?;
        let (id, _) = self.begin(&[]);
        let result = self.fill(id, &state);
        self.end(id);
        result.map(|()| state.tokens)
    }

    fn write_state(&self, id: SequenceId, length: usize, logits: &[f32]) -> Result<Vec<u8>> {
        let Some(sequence) = self.sequences.get(id) else {
            return Err(Error::invalid_argument(format!("sequence {} is not one of this session", id.0)));
        };
        let mut out = memory::reserve(self.state_bytes(length, logits.len()), "saved session")?;
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.model.fingerprint().to_le_bytes());
        out.extend_from_slice(&[format_id(self.options.keys), format_id(self.options.values)]);
        out.extend_from_slice(&(length as u64).to_le_bytes());
        out.extend_from_slice(&(logits.len() as u64).to_le_bytes());
        append(&sequence.tokens[..length], &mut out);
        append(logits, &mut out);
        let blocks = &sequence.blocks[..length.div_ceil(BLOCK)];
        for head in self.cache.layers.iter().flatten() {
            for side in [&head.keys, &head.values] {
                for &block in blocks {
                    side.append_block(block as usize, &mut out);
                }
            }
        }
        let mut hash = Fnv::default();
        hash.write(&out);
        out.extend_from_slice(&hash.0.to_le_bytes());
        Ok(out)
    }

    fn read_state<'a>(&self, state: &'a [u8]) -> Result<State<'a>> {
        let refuse = |finding: &str| Err(Error::invalid_argument(format!("saved session: {finding}")));
        let Some((content, hash)) = state.split_last_chunk::<HASH>() else { return refuse("it is cut short") };
        let mut rest = content;
        if content.len() < HEADER || take::<8>(&mut rest) != *MAGIC {
            return refuse("these bytes are none");
        }
        let version = u32::from_le_bytes(take(&mut rest));
        if version != VERSION {
            return refuse(&format!("it has version {version}, this core reads version {VERSION}"));
        }
        if u64::from_le_bytes(take(&mut rest)) != self.model.fingerprint() {
            return refuse("it belongs to another model");
        }
        if take::<2>(&mut rest) != [format_id(self.options.keys), format_id(self.options.values)] {
            return refuse("its KV cache has other formats");
        }
        let count = u64::from_le_bytes(take(&mut rest));
        let logit_count = u64::from_le_bytes(take(&mut rest));
        let capacity = self.options.context_length;
        let Some(count) = usize::try_from(count).ok().filter(|&count| count <= capacity) else {
            return refuse(&format!("its {count} tokens exceed the context window of {capacity}"));
        };
        let vocabulary = self.model.config().vocabulary_size;
        let most = capacity.saturating_mul(vocabulary);
        let Some(logit_count) = usize::try_from(logit_count).ok().filter(|&n| n <= most && n % vocabulary == 0) else {
            return refuse(&format!("its {logit_count} logits are no rows of the vocabulary"));
        };
        if content.len() != self.state_bytes(count, logit_count) - HASH {
            return refuse("its length is not what its header says");
        }
        let mut computed = Fnv::default();
        computed.write(content);
        if computed.0.to_le_bytes() != *hash {
            return refuse("it is damaged: its hash does not match");
        }
        let mut tokens = memory::zeros(count, "tokens of a saved session")?;
        fill(&mut tokens, &mut rest);
        if tokens.iter().any(|&token| token as usize >= vocabulary) {
            return refuse("it holds a token that the model does not have");
        }
        let mut logits = memory::zeros(logit_count, "logits")?;
        fill(&mut logits, &mut rest);
        Ok(State { tokens, logits, cells: rest })
    }

    /// Fills an empty sequence.
    fn fill(&mut self, id: SequenceId, state: &State) -> Result<()> {
        self.reserve(&[Work { sequence: id, tokens: &state.tokens, wanted: Logits::None }])?;
        self.sequences.append(id, &state.tokens);
        let blocks = self.sequences.get(id).map_or(&[][..], |sequence| &sequence.blocks);
        let highest = blocks.iter().max().map_or(0, |&block| block as usize + 1);
        let mut rest = state.cells;
        for head in self.cache.layers.iter_mut().flatten() {
            for side in [&mut head.keys, &mut head.values] {
                side.grow(highest);
                for &block in blocks {
                    side.fill_block(block as usize, &mut rest);
                }
            }
        }
        Ok(())
    }

    fn state_bytes(&self, tokens: usize, logits: usize) -> usize {
        let block: usize =
            self.cache.layers.iter().flatten().map(|head| head.keys.block_size() + head.values.block_size()).sum();
        HEADER + 4 * tokens + 4 * logits + block * tokens.div_ceil(BLOCK) + HASH
    }
}

fn format_id(format: CacheFormat) -> u8 {
    match format {
        CacheFormat::F32 => 0,
        CacheFormat::F16 => 1,
        CacheFormat::Q8_0 => 2,
    }
}

/// The next `N` bytes; the caller has checked that they are there.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let Some((first, rest)) = bytes.split_first_chunk::<N>() else { return [0; N] };
    *bytes = rest;
    *first
}

/// A number of a state.
trait Number: Copy + Sized {
    /// Appends them all.
    fn append(numbers: &[Self], out: &mut Vec<u8>);
    /// Takes as many bytes as there are numbers.
    fn fill(numbers: &mut [Self], bytes: &[u8]);
}

macro_rules! number {
    ($($kind:ty)+) => {$(
        impl Number for $kind {
            fn append(numbers: &[Self], out: &mut Vec<u8>) {
                let start = out.len();
                out.resize(start + size_of_val(numbers), 0);
                for (bytes, number) in out[start..].as_chunks_mut().0.iter_mut().zip(numbers) {
                    *bytes = number.to_le_bytes();
                }
            }
            fn fill(numbers: &mut [Self], bytes: &[u8]) {
                for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
                    *number = Self::from_le_bytes(*bytes);
                }
            }
        }
    )+};
}

number!(f32 u32 u16 i8);

fn append<T: Number>(numbers: &[T], out: &mut Vec<u8>) {
    T::append(numbers, out);
}

/// Fills from the front of `bytes`, whose length was checked.
fn fill<T: Number>(numbers: &mut [T], bytes: &mut &[u8]) {
    let (mine, rest) = bytes.split_at(size_of_val(numbers));
    T::fill(numbers, mine);
    *bytes = rest;
}

impl Side {
    /// Bytes of a block in a state.
    fn block_size(&self) -> usize {
        let (cells, scales) = self.sizes(1);
        match &self.cells {
            Cells::F32(_) => 4 * cells,
            Cells::F16(_) => 2 * cells,
            Cells::Q8 { .. } => cells + 2 * scales,
        }
    }

    fn append_block(&self, block: usize, out: &mut Vec<u8>) {
        let ((cells, scales), (size, scale_count)) = (self.sizes(block), self.sizes(1));
        match &self.cells {
            Cells::F32(x) => append(&x[cells..][..size], out),
            Cells::F16(x) => append(&x[cells..][..size], out),
            Cells::Q8 { codes, scales: x } => {
                append(&codes[cells..][..size], out);
                append(&x[scales..][..scale_count], out);
            }
        }
    }

    fn fill_block(&mut self, block: usize, bytes: &mut &[u8]) {
        let ((cells, scales), (size, scale_count)) = (self.sizes(block), self.sizes(1));
        match &mut self.cells {
            Cells::F32(x) => fill(&mut x[cells..][..size], bytes),
            Cells::F16(x) => fill(&mut x[cells..][..size], bytes),
            Cells::Q8 { codes, scales: x } => {
                fill(&mut codes[cells..][..size], bytes);
                fill(&mut x[scales..][..scale_count], bytes);
            }
        }
    }
}
