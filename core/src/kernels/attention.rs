//! Attention over the cache, causal or not: grouped queries, sliding windows, soft caps; decode and prefill in one text.
//!
//! A tile is the query heads of one key-value head for a few tokens of one sequence; keys and values are read once per
//! tile. Scores of 256 positions at a time go through an online softmax, so memory does not grow with the context. With
//! few key-value heads, tiles of few tokens are split over positions, and the parts are merged.
//!
//! Spans and splits begin at fixed positions. So the result of a token that is evaluated with few others is, bit for bit,
//! that of the token alone, which speculative decoding relies on.
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
/// Positions of a part, where tiles are split.
const PART: usize = 2 * SPAN;
/// Tiles of a sequence with more tokens than this are not split: there are enough of them.
const FEW_TOKENS: usize = 8;

/// What one call computes: a layer of a model.
pub(crate) struct Attention<'a> {
    /// Cached keys and values of the layer, those of the tokens of this call included.
    pub(crate) heads: &'a [Head],
    pub(crate) head_length: usize,
    /// Query heads per key-value head.
    pub(crate) group: usize,
    /// Tokens see none behind them; otherwise all of their segment.
    pub(crate) is_causal: bool,
    /// How many positions a token sees, itself included.
    pub(crate) window: Option<usize>,
    pub(crate) scale: f32,
    pub(crate) soft_cap: Option<f32>,
}

/// Tokens of one sequence, one behind the other.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    /// The blocks of the cache that hold the sequence.
    pub(crate) blocks: &'a [u32],
    /// Position of the first token.
    pub(crate) first: usize,
    pub(crate) tokens: usize,
}

impl Attention<'_> {
    /// The first position that the token at `position` sees.
    fn start(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// Behind the last position that the token at `position` sees.
    fn end(&self, segment: &Segment, position: usize) -> usize {
        if self.is_causal { position + 1 } else { segment.first + segment.tokens }
    }

    fn tile_tokens(&self) -> usize {
        (TILE_ROWS / self.group).max(1)
    }

    /// Length of a row of values in the cache.
    fn row(&self) -> usize {
        self.head_length.next_multiple_of(LANES)
    }

    /// Cuts the work into items; gives how many parts have to be merged.
    fn cut(&self, segments: &[Segment], threads: usize, items: &mut Vec<Item>) -> usize {
        items.clear();
        let (mut row, mut parts) = (0, 0);
        for (index, segment) in segments.iter().enumerate() {
            let is_split = segment.tokens <= FEW_TOKENS && self.heads.len() < 4 * threads;
            for first in (0..segment.tokens).step_by(self.tile_tokens()) {
                let tokens = self.tile_tokens().min(segment.tokens - first);
                let end = self.end(segment, segment.first + first + tokens - 1);
                let start = self.start(segment.first + first) / BLOCK * BLOCK;
                let count = if is_split { end.div_ceil(PART) - start / PART } else { 1 };
                for head in 0..self.heads.len() {
                    for i in 0..count {
                        let (mut start, mut end) = (start, end);
                        if count > 1 {
                            let part = start / PART + i;
                            (start, end) = (start.max(part * PART), end.min((part + 1) * PART));
                        }
                        let part = (count > 1).then_some(parts + i);
                        items.push(Item { segment: index, head, first, tokens, row: row + first, start, end, part });
                    }
                    parts += if count > 1 { count } else { 0 };
                }
            }
            row += segment.tokens;
        }
        parts
    }
}

/// A tile of some tokens, or a part of one.
#[derive(Clone, Copy)]
struct Item {
    segment: usize,
    head: usize,
    /// First token, counted from the segment's.
    first: usize,
    tokens: usize,
    /// The first token's row among all queries.
    row: usize,
    /// Positions, `start` being a multiple of [`BLOCK`].
    start: usize,
    end: usize,
    /// Where the result is kept for merging; none if it is all of the tile.
    part: Option<usize>,
}

/// Memory of the kernel, allocated once; what many sequences at a time need beyond that grows.
pub(crate) struct AttentionScratch {
    threads: Vec<f32>, // (threads, per_thread)
    per_thread: usize,
    parts: Vec<f32>, // (parts, rows x (row + 2))
    items: Vec<Item>,
}

impl AttentionScratch {
    pub(crate) fn new(threads: usize, head_length: usize, group: usize) -> Result<Self> {
        let (rows, row) = (group.max(TILE_ROWS), head_length.next_multiple_of(LANES));
        let per_thread = rows * (head_length + SPAN + row + 2) + BLOCK * (head_length + row);
        Ok(Self {
            threads: memory::zeros(threads * per_thread, "attention scratch")?,
            per_thread,
            parts: Vec::new(),
            items: Vec::new(),
        })
    }

    /// Bytes held.
    pub(crate) fn size_bytes(&self) -> usize {
        size_of_val(&self.threads[..]) + size_of_val(&self.parts[..])
    }
}

/// Writes the attended values of `queries` to `out`, both (tokens of all segments, heads x head length).
pub(crate) fn attend(
    pool: &Pool,
    isa: Isa,
    attention: &Attention,
    segments: &[Segment],
    queries: &[f32],
    out: &mut [f32],
    scratch: &mut AttentionScratch,
) {
    let heads = attention.heads.len();
    let parts_count = attention.cut(segments, pool.threads(), &mut scratch.items);
    let items = &scratch.items[..];
    if items.is_empty() {
        return;
    }
    let part_rows = attention.tile_tokens().min(FEW_TOKENS) * attention.group;
    let part_length = part_rows * (attention.row() + 2);
    if scratch.parts.len() < parts_count * part_length {
        scratch.parts.resize(parts_count * part_length, 0.0);
    }

    let next = AtomicUsize::new(0);
    let output = Chunks::new(out, attention.group * attention.head_length);
    let parts = Chunks::new(&mut scratch.parts, part_length);
    let memory = Chunks::new(&mut scratch.threads, scratch.per_thread);
    pool.run(&|thread| {
        let memory = memory.claim(thread);
        while let Some(&item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            let tile = Tile { attention, segment: segments[item.segment], item, queries };
            let result = isa.run(TileKernel { tile, memory });
            if let Some(part) = item.part {
                result.save(parts.claim(part));
            } else {
                for token in 0..item.tokens {
                    let out = output.claim((item.row + token) * heads + item.head);
                    result.finish(token * attention.group, attention.head_length, out);
                }
            }
        }
    });
    let mut parts = scratch.parts.chunks_exact_mut(part_length);
    for same_tile in items.chunk_by(|a, b| (a.row, a.head) == (b.row, b.head)) {
        let item = same_tile[0];
        if item.part.is_none() {
            continue;
        }
        let Some(first) = parts.next() else { break };
        let rows = item.tokens * attention.group;
        let mut merged = Sums::over(first, rows, attention.row());
        for part in parts.by_ref().take(same_tile.len() - 1) {
            merged.merge(&Sums::over(part, rows, attention.row()));
        }
        for token in 0..item.tokens {
            let out = output.claim((item.row + token) * heads + item.head);
            merged.finish(token * attention.group, attention.head_length, out);
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
