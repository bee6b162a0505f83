//! A sequence as bytes: everything needed to go on later, in another process, with the same model.
//!
//! Layout, little endian. The front: magic, version, cache formats, model fingerprint, token count, logit count, tokens,
//! logits, a checksum for every block of a head's keys or values, and one of the front itself. Then the blocks: head by
//! head, keys before values, so that the beginning of a saved sequence is read and checked without the rest.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::source::Source;
use super::{Logits, SequenceId, Session, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::isa::Chunks;
use crate::model::kv_cache::{BLOCK, Cells, Head, Side};
use crate::model::{CacheFormat, Fnv, memory};

const MAGIC: &[u8; 8] = b"EDGEWISE";
const VERSION: u32 = 2;
/// Magic, version, two formats, fingerprint, two counts.
const HEADER: usize = 8 + 4 + 2 + 8 + 8 + 8;
const CHECKSUM: usize = 8;
/// Blocks of one head that are read at a time.
const READ_BLOCKS: usize = 16;

/// What the front of a state says, checked against the session that reads it.
struct Front {
    tokens: Vec<u32>,
    logits: Vec<f32>,
    /// (head, side, block)
    checksums: Vec<u64>,
    size_bytes: usize,
}

impl Session {
    /// A number that is the same for two sessions exactly if each can read what the other saved.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fnv::default();
        hash.write(&VERSION.to_le_bytes());
        hash.write(&self.formats());
        hash.write(&self.model.fingerprint().to_le_bytes());
        hash.0
    }

    /// The main sequence as bytes, its logits included, for [`Self::restore`].
    pub fn save(&self) -> Result<Vec<u8>> {
        let size = self.state_bytes(self.len(), self.logits().len()).ok_or_else(too_large)?;
        let mut out = memory::zeros(size, "saved session")?;
        self.write_state(Self::MAIN, self.len(), self.logits(), &mut out)?;
        Ok(out)
    }

    /// How many bytes [`Self::save_beginning`] writes.
    pub fn beginning_bytes(&self, length: usize) -> Result<usize> {
        self.state_bytes(length, 0).ok_or_else(too_large)
    }

    /// Writes the first `length` tokens of a sequence to `out`, for [`Self::recall`].
    pub fn save_beginning(&self, id: SequenceId, length: usize, out: &mut [u8]) -> Result<()> {
        if length > self.tokens_of(id).len() || Some(out.len()) != self.state_bytes(length, 0) {
            let (has, size) = (self.tokens_of(id).len(), out.len());
            return Err(Error::invalid_argument(format!("{length} tokens of {has} do not make {size} bytes")));
        }
        self.write_state(id, length, &[], out)
    }

    /// Lets the main sequence become what `state` was saved from. Bytes that are damaged, or saved with another model or
    /// other cache formats, are an error and change nothing.
    pub fn restore(&mut self, state: &[u8]) -> Result<()> {
        let front = self.read_front(&state)?;
        let (count, capacity) = (front.tokens.len(), self.options.context_length);
        if count > capacity {
            return refuse(&format!("its {count} tokens exceed the context window of {capacity}"));
        }
        self.check_blocks(&front, state)?;
        let before = [self.tokens(), &[0]].concat(); // of a prompt, the last token is left to evaluate
        let namespace = self.sequences.get(Self::MAIN).map(|sequence| sequence.namespace.clone()).unwrap_or_default();
        self.reuse(&[], &namespace);
        let work = [Work { sequence: Self::MAIN, tokens: &front.tokens, wanted: Logits::None }];
        self.reserve(&work).inspect_err(|_| {
            self.reuse(&before, &namespace);
        })?;
        self.read_blocks(Self::MAIN, &state, &front, 0, count)?;
        self.sequences.append(Self::MAIN, &front.tokens);
        if !front.logits.is_empty() {
            self.rows = vec![(Self::MAIN, 0..front.logits.len() / self.model.config().vocabulary_size)];
            self.logits = front.logits;
        }
        Ok(())
    }

    /// Appends to a sequence, which begins as `prompt` does, what `state` holds of the rest of it, and gives the length
    /// then; the prompt's last token is left to be evaluated. Only the blocks that are needed are read.
    ///
    /// A state that is damaged, or saved with another model or other cache formats, is an error and appends nothing.
    pub fn recall(&mut self, id: SequenceId, state: &dyn Source, prompt: &[u32]) -> Result<usize> {
        let front = self.read_front(state)?;
        let held = self.tokens_of(id).len();
        let most = prompt.len().saturating_sub(1).min(self.options.context_length);
        let shared = front.tokens.iter().zip(&prompt[..most]).take_while(|(theirs, mine)| theirs == mine).count();
        if shared <= held || !prompt.starts_with(self.tokens_of(id)) {
            return Ok(held);
        }
        self.forget_logits(id);
        let work = [Work { sequence: id, tokens: &prompt[held..shared], wanted: Logits::None }];
        self.reserve(&work)?;
        if let Err(error) = self.read_blocks(id, state, &front, held / BLOCK, shared) {
            self.give_back(&work);
            return Err(error);
        }
        self.sequences.append(id, &prompt[held..shared]);
        Ok(shared)
    }

    fn write_state(&self, id: SequenceId, length: usize, logits: &[f32], out: &mut [u8]) -> Result<()> {
        let Some(sequence) = self.sequences.get(id) else {
            return Err(Error::invalid_argument(format!("sequence {} is not one of this session", id.0)));
        };
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&self.formats());
        header.extend_from_slice(&self.model.fingerprint().to_le_bytes());
        header.extend_from_slice(&(length as u64).to_le_bytes());
        header.extend_from_slice(&(logits.len() as u64).to_le_bytes());
        let heads: Vec<&Head> = self.cache.layers.iter().flatten().collect();
        let blocks = &sequence.blocks[..length.div_ceil(BLOCK)];
        let checksums_per_head = 2 * blocks.len();
        let Some(front_bytes) = front_bytes(length, logits.len(), checksums_per_head * heads.len()) else {
            return Err(too_large());
        };
        let (front, cells) = out.split_at_mut(front_bytes);
        let (content, own_checksum) = front.split_at_mut(front_bytes - CHECKSUM);
        let (header_part, rest) = content.split_at_mut(HEADER);
        header_part.copy_from_slice(&header);
        let (tokens_part, rest) = rest.split_at_mut(4 * length);
        Number::write(&sequence.tokens[..length], tokens_part);
        let (logits_part, checksums) = rest.split_at_mut(4 * logits.len());
        Number::write(logits, logits_part);
        if !blocks.is_empty() {
            let cells = Chunks::new(cells, self.head_bytes(blocks.len()));
            let checksums = Chunks::new(checksums, CHECKSUM * checksums_per_head);
            self.decoder.pool.each(heads.len(), &|i| {
                let mut cells = cells.claim(i);
                let mut checksums = checksums.claim(i).as_chunks_mut::<CHECKSUM>().0.iter_mut();
                for side in [&heads[i].keys, &heads[i].values] {
                    for (&block, checksum) in blocks.iter().zip(&mut checksums) {
                        let (mine, rest) = cells.split_at_mut(side.block_size());
                        side.write_block(block as usize, mine);
                        *checksum = Fnv::of(mine).to_le_bytes();
                        cells = rest;
                    }
                }
            });
        }
        own_checksum.copy_from_slice(&Fnv::of(content).to_le_bytes());
        Ok(())
    }

    fn read_front(&self, state: &dyn Source) -> Result<Front> {
        let size = state.size_bytes().map_err(|error| unreadable(&error))?;
        let size = usize::try_from(size).map_err(|_| too_large())?;
        if size < HEADER {
            return refuse("it is cut short");
        }
        let mut header = [0; HEADER];
        state.read_at(0, &mut header).map_err(|error| unreadable(&error))?;
        let mut rest = &header[..];
        if take::<8>(&mut rest) != *MAGIC {
            return refuse("these bytes are none");
        }
        let version = u32::from_le_bytes(take(&mut rest));
        if version != VERSION {
            return refuse(&format!("it has version {version}, this core reads version {VERSION}"));
        }
        if take::<2>(&mut rest) != self.formats() {
            return refuse("its KV cache has other formats");
        }
        if u64::from_le_bytes(take(&mut rest)) != self.model.fingerprint() {
            return refuse("it belongs to another model");
        }
        let token_count = u64::from_le_bytes(take(&mut rest));
        let logit_count = u64::from_le_bytes(take(&mut rest));
        let vocabulary = self.model.config().vocabulary_size;
        let (Ok(token_count), Ok(logit_count)) = (usize::try_from(token_count), usize::try_from(logit_count)) else {
            return refuse("it counts more than memory holds");
        };
        // Nothing is allocated before the bytes are known to be there.
        if logit_count % vocabulary != 0 || self.state_bytes(token_count, logit_count) != Some(size) {
            return refuse("its length is not what its header says");
        }
        let cell_bytes = self.head_count() * self.head_bytes(token_count.div_ceil(BLOCK));
        let mut front = memory::zeros(size - cell_bytes, "front of a saved session")?;
        state.read_at(0, &mut front).map_err(|error| unreadable(&error))?;
        let (content, own_checksum) = front.split_at(front.len() - CHECKSUM);
        if Fnv::of(content).to_le_bytes() != own_checksum {
            return refuse("it is damaged: its checksum does not match");
        }
        let mut rest = &content[HEADER..];
        let mut tokens = memory::zeros(token_count, "tokens of a saved session")?;
        fill(&mut tokens, &mut rest);
        if tokens.iter().any(|&token| token as usize >= vocabulary) {
            return refuse("it holds a token that the model does not have");
        }
        let mut logits = memory::zeros(logit_count, "logits")?;
        fill(&mut logits, &mut rest);
        let mut checksums = memory::zeros(rest.len() / CHECKSUM, "checksums")?;
        fill(&mut checksums, &mut rest);
        Ok(Front { tokens, logits, checksums, size_bytes: front.len() })
    }

    /// Checks every block of a state in memory.
    fn check_blocks(&self, front: &Front, state: &[u8]) -> Result<()> {
        let blocks = front.tokens.len().div_ceil(BLOCK);
        let (mut cells, mut checksums) = (&state[front.size_bytes..], front.checksums.iter());
        for head in self.cache.layers.iter().flatten() {
            for side in [&head.keys, &head.values] {
                for checksum in checksums.by_ref().take(blocks) {
                    let (block, rest) = cells.split_at(side.block_size());
                    if Fnv::of(block) != *checksum {
                        return refuse("it is damaged: a checksum does not match");
                    }
                    cells = rest;
                }
            }
        }
        Ok(())
    }

    /// Reads blocks `first..` of a state, up to token `length`, to the places that a sequence has for them. A block is
    /// checked before it is written.
    fn read_blocks(
        &mut self,
        id: SequenceId,
        state: &dyn Source,
        front: &Front,
        first: usize,
        length: usize,
    ) -> Result<()> {
        let last = length.div_ceil(BLOCK);
        if first >= last {
            return Ok(());
        }
        let places = self.sequences.get(id).map_or(&[][..], |sequence| &sequence.blocks[first..last]);
        let saved = front.tokens.len().div_ceil(BLOCK);
        let head_bytes = self.head_bytes(saved);
        let mut heads: Vec<&mut Head> = self.cache.layers.iter_mut().flatten().collect();
        let count = heads.len();
        let heads = Chunks::new(&mut heads, 1);
        let failure = Mutex::new(Ok(()));
        self.decoder.pool.each(count, &|i| {
            let Some(head) = heads.claim(i).first_mut() else { return };
            let mut start = front.size_bytes + i * head_bytes;
            let mut checksums = front.checksums[2 * i * saved..].chunks(saved);
            for side in [&mut head.keys, &mut head.values] {
                let size = side.block_size();
                let checksums = checksums.next().map_or(&[][..], |all| &all[first..last]);
                if let Err(error) = side.read_blocks(state, start + first * size, places, checksums) {
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Err(error);
                    return;
                }
                start += saved * size;
            }
        });
        failure.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn formats(&self) -> [u8; 2] {
        [format_id(self.options.keys), format_id(self.options.values)]
    }

    fn head_count(&self) -> usize {
        self.cache.layers.iter().map(Vec::len).sum()
    }

    /// Bytes of so many blocks of one head, keys and values.
    fn head_bytes(&self, blocks: usize) -> usize {
        let head = self.cache.layers.iter().flatten().next();
        blocks * head.map_or(0, |head| head.keys.block_size() + head.values.block_size())
    }

    /// Bytes of a whole state; none if there are more than fit a number.
    fn state_bytes(&self, tokens: usize, logits: usize) -> Option<usize> {
        let (blocks, heads) = (tokens.div_ceil(BLOCK), self.head_count());
        let cells = self.head_bytes(1).checked_mul(blocks)?.checked_mul(heads)?;
        front_bytes(tokens, logits, heads.checked_mul(2)?.checked_mul(blocks)?)?.checked_add(cells)
    }
}

/// Bytes of a front.
fn front_bytes(tokens: usize, logits: usize, checksums: usize) -> Option<usize> {
    let numbers = tokens.checked_add(logits)?.checked_mul(4)?;
    numbers.checked_add(checksums.checked_mul(CHECKSUM)?)?.checked_add(HEADER + CHECKSUM)
}

fn refuse<T>(finding: &str) -> Result<T> {
    Err(Error::invalid_argument(format!("saved session: {finding}")))
}

fn too_large() -> Error {
    Error::invalid_argument("saved session: it has more bytes than memory")
}

fn unreadable(error: &io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("saved session: {error}"))
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
    /// Writes them all; `out` has as many bytes.
    fn write(numbers: &[Self], out: &mut [u8]);
    /// Takes as many bytes as there are numbers.
    fn read(numbers: &mut [Self], bytes: &[u8]);
}

macro_rules! number {
    ($($kind:ty)+) => {$(
        impl Number for $kind {
            fn write(numbers: &[Self], out: &mut [u8]) {
                for (bytes, number) in out.as_chunks_mut().0.iter_mut().zip(numbers) {
                    *bytes = number.to_le_bytes();
                }
            }
            fn read(numbers: &mut [Self], bytes: &[u8]) {
                for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
                    *number = Self::from_le_bytes(*bytes);
                }
            }
        }
    )+};
}

number!(f32 u64 u32 u16 i8);

/// Fills from the front of `bytes`, whose length was checked.
fn fill<T: Number>(numbers: &mut [T], bytes: &mut &[u8]) {
    let (mine, rest) = bytes.split_at(size_of_val(numbers));
    T::read(numbers, mine);
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

    fn write_block(&self, block: usize, out: &mut [u8]) {
        let ((cells, scales), (size, scale_count)) = (self.sizes(block), self.sizes(1));
        match &self.cells {
            Cells::F32(x) => Number::write(&x[cells..][..size], out),
            Cells::F16(x) => Number::write(&x[cells..][..size], out),
            Cells::Q8 { codes, scales: x } => {
                let (codes_part, scales_part) = out.split_at_mut(size);
                Number::write(&codes[cells..][..size], codes_part);
                Number::write(&x[scales..][..scale_count], scales_part);
            }
        }
    }

    fn read_block(&mut self, block: usize, mut bytes: &[u8]) {
        let ((cells, scales), (size, scale_count)) = (self.sizes(block), self.sizes(1));
        match &mut self.cells {
            Cells::F32(x) => fill(&mut x[cells..][..size], &mut bytes),
            Cells::F16(x) => fill(&mut x[cells..][..size], &mut bytes),
            Cells::Q8 { codes, scales: x } => {
                fill(&mut codes[cells..][..size], &mut bytes);
                fill(&mut x[scales..][..scale_count], &mut bytes);
            }
        }
    }

    /// Reads neighbouring blocks of a state to their places.
    fn read_blocks(&mut self, state: &dyn Source, start: usize, places: &[u32], checksums: &[u64]) -> Result<()> {
        let size = self.block_size();
        self.grow(places.iter().max().map_or(0, |&place| place as usize + 1));
        let mut buffer = memory::zeros(size * places.len().min(READ_BLOCKS), "saved session")?;
        let parts = places.chunks(READ_BLOCKS).zip(checksums.chunks(READ_BLOCKS));
        for (part, (places, checksums)) in parts.enumerate() {
            let bytes = &mut buffer[..size * places.len()];
            let position = start + part * READ_BLOCKS * size;
            state.read_at(position as u64, bytes).map_err(|error| unreadable(&error))?;
            for ((&place, checksum), block) in places.iter().zip(checksums).zip(bytes.chunks_exact(size)) {
                if Fnv::of(block) != *checksum {
                    return refuse("it is damaged: a checksum does not match");
                }
                self.read_block(place as usize, block);
            }
        }
        Ok(())
    }
}
