//! A session as bytes: everything needed to go on later, in another process, with the same model.
//!
//! Layout, little endian: magic, version, model fingerprint, cache formats, token count, logit count, tokens, logits,
//! blocks of keys and values per layer and head, and a hash of all of it.

use super::Session;
use crate::error::{Error, Result};
use crate::model::kv_cache::{BLOCK, Cells, Head};
use crate::model::{CacheFormat, Fnv, memory};

const MAGIC: &[u8; 8] = b"EDGEWISE";
const VERSION: u32 = 1;
/// Magic, version, fingerprint, two formats, two counts.
const HEADER: usize = 8 + 4 + 8 + 2 + 8 + 8;
const HASH: usize = 8;

impl Session {
    /// The session as bytes, for [`Self::restore`].
    pub fn save(&self) -> Result<Vec<u8>> {
        let mut out = memory::reserve(self.state_bytes(self.tokens.len(), self.logits.len()), "saved session")?;
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.model.fingerprint().to_le_bytes());
        out.extend_from_slice(&[format_id(self.options.keys), format_id(self.options.values)]);
        out.extend_from_slice(&(self.tokens.len() as u64).to_le_bytes());
        out.extend_from_slice(&(self.logits.len() as u64).to_le_bytes());
        self.tokens.iter().for_each(|token| out.extend_from_slice(&token.to_le_bytes()));
        self.logits.iter().for_each(|logit| out.extend_from_slice(&logit.to_le_bytes()));
        let blocks = self.tokens.len().div_ceil(BLOCK);
        for head in self.cache.layers.iter().flatten() {
            for side in [&head.keys, &head.values] {
                side.read_blocks(blocks, &mut out);
            }
        }
        let mut hash = Fnv::default();
        hash.write(&out);
        out.extend_from_slice(&hash.0.to_le_bytes());
        Ok(out)
    }

    /// Becomes the session that `state` was saved from. Bytes that are damaged, or saved with another model or other
    /// cache formats, are an error and change nothing.
    pub fn restore(&mut self, state: &[u8]) -> Result<()> {
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
        let Some(count) = usize::try_from(count).ok().filter(|&count| count <= self.cache.capacity()) else {
            return refuse(&format!("its {count} tokens exceed the context window of {}", self.cache.capacity()));
        };
        let vocabulary = self.model.config().vocabulary_size;
        let most = self.cache.capacity().saturating_mul(vocabulary);
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
        let (tokens, rest) = rest.split_at(4 * count);
        let (logits, mut rest) = rest.split_at(4 * logit_count);
        let tokens = tokens.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        if tokens.clone().any(|token| token as usize >= vocabulary) {
            return refuse("it holds a token that the model does not have");
        }
        let mut new_logits = memory::reserve(logit_count, "logits")?;
        new_logits.extend(logits.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        self.tokens.clear();
        self.tokens.extend(tokens);
        self.logits = new_logits;
        let blocks = count.div_ceil(BLOCK);
        for head in self.cache.layers.iter_mut().flatten() {
            for side in [&mut head.keys, &mut head.values] {
                side.write_blocks(blocks, &mut rest);
            }
        }
        Ok(())
    }

    fn state_bytes(&self, tokens: usize, logits: usize) -> usize {
        let head = |head: &Head| head.keys.bytes_of(1) + head.values.bytes_of(1);
        let block: usize = self.cache.layers.iter().flatten().map(head).sum();
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

/// A number that is stored in cells.
trait Number: Copy {
    const BYTES: usize = size_of::<Self>();
    fn append(self, out: &mut Vec<u8>);
    fn read(bytes: &[u8]) -> Self;
}

macro_rules! number {
    ($($kind:ty)+) => {$(
        impl Number for $kind {
            #[inline]
            fn append(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            #[inline]
            fn read(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.first_chunk().copied().unwrap_or_default())
            }
        }
    )+};
}

number!(f32 u16 i8);

fn append<T: Number>(cells: &[T], out: &mut Vec<u8>) {
    for cell in cells {
        cell.append(out);
    }
}

fn fill<T: Number>(cells: &mut [T], bytes: &mut &[u8]) {
    let (mine, rest) = bytes.split_at(cells.len() * T::BYTES);
    for (cell, bytes) in cells.iter_mut().zip(mine.chunks_exact(T::BYTES)) {
        *cell = T::read(bytes);
    }
    *bytes = rest;
}

impl crate::model::kv_cache::Side {
    fn bytes_of(&self, blocks: usize) -> usize {
        let (cells, scales) = self.sizes(blocks);
        match &self.cells {
            Cells::F32(_) => 4 * cells,
            Cells::F16(_) => 2 * cells,
            Cells::Q8 { .. } => cells + 2 * scales,
        }
    }

    /// Appends the first `blocks` blocks, which are written.
    fn read_blocks(&self, blocks: usize, out: &mut Vec<u8>) {
        let (cells, scales) = self.sizes(blocks);
        match &self.cells {
            Cells::F32(x) => append(&x[..cells], out),
            Cells::F16(x) => append(&x[..cells], out),
            Cells::Q8 { codes, scales: x } => {
                append(&codes[..cells], out);
                append(&x[..scales], out);
            }
        }
    }

    /// Takes the first `blocks` blocks from `bytes`, whose length was checked.
    fn write_blocks(&mut self, blocks: usize, bytes: &mut &[u8]) {
        self.grow(blocks);
        let (cells, scales) = self.sizes(blocks);
        match &mut self.cells {
            Cells::F32(x) => fill(&mut x[..cells], bytes),
            Cells::F16(x) => fill(&mut x[..cells], bytes),
            Cells::Q8 { codes, scales: x } => {
                fill(&mut codes[..cells], bytes);
                fill(&mut x[..scales], bytes);
            }
        }
    }
}
