//! Causal attention over the cache: grouped queries, sliding windows, soft caps; decode and prefill in one text.
//!
//! A tile is the query heads of one key-value head for a few tokens; keys and values are read once per tile. Scores of
//! 256 positions at a time go through an online softmax, so memory does not grow with the context. When there are
//! fewer tiles than threads, each is split over positions and the parts are merged.
//!
//! Source: online softmax, Milakov and Gimelshein 2018, arXiv 1805.02867.

mod tile;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Result;
use crate::isa::{Chunks, Isa, LANES, Pool};
use crate::model::kv_cache::{BLOCK, Head};
use crate::model::memory;
use tile::{Tile, TileKernel};

/// Positions whose scores are held at a time.
const SPAN: usize = 256;
/// Query rows of a tile that has several tokens.
const TILE_ROWS: usize = 64;
/// Positions below which a split costs more than it gains.
const MIN_SPLIT: usize = 2 * SPAN;

/// What one call computes.
pub(crate) struct Attention<'a> {
    /// Cached keys and values of the layer, those of the tokens of this call included.
    pub(crate) heads: &'a [Head],
    pub(crate) head_length: usize,
    /// Query heads per key-value head.
    pub(crate) group: usize,
    /// Position of the first token.
    pub(crate) first: usize,
    pub(crate) tokens: usize,
    /// Positions that a query sees, itself included.
    pub(crate) window: Option<usize>,
    pub(crate) scale: f32,
    pub(crate) soft_cap: Option<f32>,
}

impl Attention<'_> {
    /// The first position that the token sees.
    fn start(&self, token: usize) -> usize {
        self.window.map_or(0, |window| (self.first + token + 1).saturating_sub(window))
    }

    fn tile_tokens(&self) -> usize {
        (TILE_ROWS / self.group).max(1)
    }

    /// Length of a row of values in the cache.
    fn row(&self) -> usize {
        self.head_length.next_multiple_of(LANES)
    }
}

/// Memory of the kernel, allocated once.
pub(crate) struct AttentionScratch {
    threads: Vec<f32>, // (threads, per_thread)
    per_thread: usize,
    parts: Vec<f32>, // (tiles x splits, rows x (row + 2))
}

impl AttentionScratch {
    pub(crate) fn new(threads: usize, head_length: usize, head_count_kv: usize, group: usize) -> Result<Self> {
        let (rows, row) = (group.max(TILE_ROWS), head_length.next_multiple_of(LANES));
        let per_thread = rows * (head_length + SPAN + row + 2) + BLOCK * (head_length + row);
        // A call with one token has a tile per key-value head; splits at most double the threads.
        let parts = (head_count_kv + 2 * threads) * group * (row + 2);
        Ok(Self {
            threads: memory::zeros(threads * per_thread, "attention scratch")?,
            per_thread,
            parts: memory::zeros(parts, "attention scratch")?,
        })
    }

    /// Bytes held.
    pub(crate) fn size_bytes(&self) -> usize {
        size_of_val(&self.threads[..]) + size_of_val(&self.parts[..])
    }
}

/// Writes the attended values of `queries` to `out`, both (tokens, heads x head length).
pub(crate) fn attend(
    pool: &Pool,
    isa: Isa,
    attention: &Attention,
    queries: &[f32],
    out: &mut [f32],
    scratch: &mut AttentionScratch,
) {
    let heads = attention.heads.len();
    if heads == 0 || attention.tokens == 0 {
        return;
    }
    let tile_tokens = attention.tile_tokens();
    let tiles = heads * attention.tokens.div_ceil(tile_tokens);
    let positions = attention.first + attention.tokens - attention.start(0);
    let splits = if attention.tokens == 1 && tiles < 2 * pool.threads() {
        (2 * pool.threads()).div_ceil(tiles).min(positions / MIN_SPLIT).max(1)
    } else {
        1
    };

    let next = AtomicUsize::new(0);
    let output = Chunks::new(out, attention.group * attention.head_length);
    let part_length = attention.group * (attention.row() + 2);
    let parts = Chunks::new(&mut scratch.parts, part_length);
    let memory = Chunks::new(&mut scratch.threads, scratch.per_thread);
    pool.run(&|thread| {
        let memory = memory.claim(thread);
        loop {
            let item = next.fetch_add(1, Ordering::Relaxed);
            if item >= tiles * splits {
                break;
            }
            let (tile, split) = (item / splits, item % splits);
            let (first_token, head) = (tile / heads * tile_tokens, tile % heads);
            let tokens = tile_tokens.min(attention.tokens - first_token);
            let end = attention.first + first_token + tokens;
            let start = attention.start(first_token) / BLOCK * BLOCK;
            let share = (end - start).div_ceil(splits).next_multiple_of(BLOCK);
            let start = start + split * share;
            let tile = Tile { attention, head, first_token, tokens, start, end: end.min(start + share), queries };
            let result = isa.run(TileKernel { tile, memory });
            if splits > 1 {
                result.save(parts.claim(item));
            } else {
                for token in 0..tokens {
                    let out = output.claim((first_token + token) * heads + head);
                    result.finish(token * attention.group, attention.head_length, out);
                }
            }
        }
    });
    if splits > 1 {
        for (tile, parts) in scratch.parts.chunks_exact_mut(part_length * splits).take(tiles).enumerate() {
            let (first, rest) = parts.split_at_mut(part_length);
            let mut merged = Sums::over(first, attention.group, attention.row());
            for part in rest.chunks_exact_mut(part_length) {
                merged.merge(&Sums::over(part, attention.group, attention.row()));
            }
            merged.finish(0, attention.head_length, output.claim(tile));
        }
    }
}

/// Weighted sums of values, not yet divided by the sum of their weights.
struct Sums<'a> {
    values: &'a mut [f32],  // (rows, row)
    largest: &'a mut [f32], // (rows): the score that weights are relative to
    total: &'a mut [f32],   // (rows): sum of weights
    row: usize,
}

impl<'a> Sums<'a> {
    fn over(memory: &'a mut [f32], rows: usize, row: usize) -> Self {
        let (values, rest) = memory.split_at_mut(rows * row);
        let (largest, rest) = rest.split_at_mut(rows);
        Self { values, largest, total: &mut rest[..rows], row }
    }

    fn save(&self, part: &mut [f32]) {
        let saved = Sums::over(part, self.largest.len(), self.row);
        saved.values.copy_from_slice(self.values);
        saved.largest.copy_from_slice(self.largest);
        saved.total.copy_from_slice(self.total);
    }

    fn merge(&mut self, other: &Sums) {
        for r in 0..self.largest.len() {
            let largest = self.largest[r].max(other.largest[r]);
            let (mine, theirs) = ((self.largest[r] - largest).exp(), (other.largest[r] - largest).exp());
            let values = &mut self.values[r * self.row..][..self.row];
            for (value, other) in values.iter_mut().zip(&other.values[r * self.row..]) {
                *value = *value * mine + other * theirs;
            }
            self.total[r] = self.total[r] * mine + other.total[r] * theirs;
            self.largest[r] = largest;
        }
    }

    /// Writes the rows from `first` on that `out` has room for, divided by their weights.
    fn finish(&self, first: usize, head_length: usize, out: &mut [f32]) {
        for (r, out) in (first..).zip(out.chunks_exact_mut(head_length)) {
            let inverse = 1.0 / self.total[r];
            for (out, value) in out.iter_mut().zip(&self.values[r * self.row..]) {
                *out = value * inverse;
            }
        }
    }
}

#[cfg(test)]
mod tests;
