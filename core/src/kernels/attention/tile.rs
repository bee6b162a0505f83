//! The attention of one tile: scores, online softmax and weighted sums, over the instruction set's vectors.

use super::{Attention, Item, SPAN, Segment, Sums};
use crate::isa::{Kernel, LANES, Simd};
use crate::kernels::float;
use crate::kernels::norm::bend;
use crate::model::kv_cache::{BLOCK, Block};

/// How far ahead of the numbers in use memory is asked for.
const AHEAD_BYTES: usize = 8192;

/// The query heads of one key-value head for a few tokens, over some positions.
pub(super) struct Tile<'a> {
    pub(super) attention: &'a Attention<'a>,
    pub(super) segment: Segment<'a>,
    pub(super) item: Item,
    pub(super) queries: &'a [f32],
}

pub(super) struct TileKernel<'a, 'b> {
    pub(super) tile: Tile<'a>,
    pub(super) memory: &'b mut [f32],
}

impl<'b> Kernel for TileKernel<'_, 'b> {
    type Output = Sums<'b>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Sums<'b> {
        let Tile { attention, segment, item, queries } = self.tile;
        let Item { head, tokens, start, end, .. } = item;
        let first = segment.first + item.first;
        let (group, length, row) = (attention.group, attention.head_length, attention.row());
        let rows = tokens * group;
        let cache = &attention.heads[head];

        let (scaled, memory) = self.memory.split_at_mut(rows * length);
        let (scores, memory) = memory.split_at_mut(rows * SPAN);
        let (key_scratch, memory) = memory.split_at_mut(BLOCK * length);
        let (value_scratch, memory) = memory.split_at_mut(BLOCK * row);
        let sums = Sums::over(&mut memory[..rows * (row + 2)], rows, row);
        sums.values.fill(0.0);
        sums.total.fill(0.0);
        sums.largest.fill(-1e30);

        let stride = attention.heads.len() * group * length;
        for (token, scaled) in scaled.chunks_exact_mut(group * length).enumerate() {
            let query = &queries[(item.row + token) * stride + head * group * length..][..group * length];
            for (scaled, x) in scaled.iter_mut().zip(query) {
                *scaled = x * attention.scale;
            }
        }

        let queries = Factors { values: scaled, stride: length, rows, count: length };
        let mut span = start;
        while span < end {
            // Spans begin at multiples of their length, whatever the first position.
            let count = SPAN.min(end - span).min(SPAN - span % SPAN);
            let blocks = &segment.blocks[span / BLOCK..][..count.div_ceil(BLOCK)];
            for (i, &block) in blocks.iter().enumerate() {
                let out = &mut scores[i * BLOCK..];
                match cache.keys.block(simd, block as usize, key_scratch) {
                    Block::F32(keys) => products::<S, _, false>(simd, queries, keys, BLOCK, out, SPAN),
                    Block::F16(keys) => products::<S, _, false>(simd, queries, keys, BLOCK, out, SPAN),
                }
            }
            for r in 0..rows {
                let scores = &mut scores[r * SPAN..][..count.next_multiple_of(BLOCK)];
                if let Some(cap) = attention.soft_cap {
                    bend(simd, scores, cap);
                }
                let position = first + r / group;
                let hidden = attention.start(position).saturating_sub(span).min(scores.len());
                let seen = attention.end(&segment, position).min(end).saturating_sub(span).min(scores.len());
                scores[..hidden].fill(f32::NEG_INFINITY);
                scores[seen..].fill(f32::NEG_INFINITY);
                let factor = weigh(simd, scores, &mut sums.largest[r], &mut sums.total[r]);
                // The vectors' exponential is not quite zero at minus infinity.
                scores[..hidden].fill(0.0);
                scores[seen..].fill(0.0);
                if factor != 1.0 {
                    for value in &mut sums.values[r * row..][..row] {
                        *value *= factor;
                    }
                }
            }
            for (i, &block) in blocks.iter().enumerate() {
                // What lies behind the last position was never written.
                let seen = BLOCK.min(count - i * BLOCK);
                let weights = Factors { values: &scores[i * BLOCK..], stride: SPAN, rows, count: seen };
                match cache.values.block(simd, block as usize, value_scratch) {
                    Block::F32(values) => products::<S, _, true>(simd, weights, values, row, sums.values, row),
                    Block::F16(values) => products::<S, _, true>(simd, weights, values, row, sums.values, row),
                }
            }
            span += count;
        }
        sums
    }
}

/// Rows of numbers that vectors are multiplied by.
#[derive(Clone, Copy)]
struct Factors<'a> {
    values: &'a [f32],
    stride: usize,
    rows: usize,
    /// Numbers used of each row.
    count: usize,
}

impl<'a> Factors<'a> {
    #[inline(always)]
    fn row(&self, r: usize) -> &'a [f32] {
        &self.values[r * self.stride..][..self.count]
    }
}

/// A number as the cache stores it.
trait Cell: Copy {
    fn load<S: Simd>(simd: S, x: &[Self]) -> S::F32;
}

impl Cell for f32 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, x: &[Self]) -> S::F32 {
        simd.load(x)
    }
}

impl Cell for u16 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, x: &[Self]) -> S::F32 {
        simd.load_f16(x)
    }
}

/// For each row `r` of factors: the sum over `i` of `factor[r][i] * b[i]`, rows of `b` and the result `width` long.
/// With `ADD` the result is added to `out`.
#[inline(always)]
fn products<S: Simd, C: Cell, const ADD: bool>(
    simd: S,
    factors: Factors,
    b: &[C],
    width: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    let mut column = 0;
    while column + 2 * LANES <= width {
        strip::<S, C, ADD, 2>(simd, factors, &b[column..], width, &mut out[column..], out_stride);
        column += 2 * LANES;
    }
    if column < width {
        strip::<S, C, ADD, 1>(simd, factors, &b[column..], width, &mut out[column..], out_stride);
    }
}

/// `W` vectors of columns, for all rows of factors.
#[inline(always)]
fn strip<S: Simd, C: Cell, const ADD: bool, const W: usize>(
    simd: S,
    factors: Factors,
    b: &[C],
    width: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    let mut r = 0;
    // As many rows as keep their sums in registers.
    if S::TILE_TOKENS >= 6 {
        while r + 8 <= factors.rows && factors.rows >= 16 {
            panel::<S, C, ADD, W, 8>(simd, factors, r, b, width, out, out_stride);
            r += 8;
        }
        while r + 4 <= factors.rows {
            panel::<S, C, ADD, W, 4>(simd, factors, r, b, width, out, out_stride);
            r += 4;
        }
    }
    while r + 2 <= factors.rows {
        panel::<S, C, ADD, W, 2>(simd, factors, r, b, width, out, out_stride);
        r += 2;
    }
    if r < factors.rows {
        panel::<S, C, ADD, W, 1>(simd, factors, r, b, width, out, out_stride);
    }
}

/// `W` vectors of columns, for `R` rows of factors from `first` on.
#[inline(always)]
fn panel<S: Simd, C: Cell, const ADD: bool, const W: usize, const R: usize>(
    simd: S,
    factors: Factors,
    first: usize,
    b: &[C],
    width: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    let mut rows: [&[f32]; R] = [&[]; R];
    for (r, row) in rows.iter_mut().enumerate() {
        *row = factors.row(first + r);
    }
    // Loops over indices: iterators over arrays of vectors would keep them in memory.
    let mut sums = [[simd.splat(0.0); W]; R];
    for i in 0..factors.count {
        let b = &b[i * width..][..W * LANES];
        if R <= 4 {
            simd.prefetch(b, AHEAD_BYTES); // few rows: a single token, which waits for memory
        }
        let mut vectors = [simd.splat(0.0); W];
        for w in 0..W {
            vectors[w] = C::load(simd, &b[w * LANES..]);
        }
        for r in 0..R {
            let factor = simd.splat(rows[r][i]);
            for w in 0..W {
                sums[r][w] = simd.mul_add(factor, vectors[w], sums[r][w]);
            }
        }
    }
    for r in 0..R {
        let out = &mut out[(first + r) * out_stride..][..W * LANES];
        for w in 0..W {
            let out = &mut out[w * LANES..];
            let sum = if ADD { simd.add(sums[r][w], simd.load(out)) } else { sums[r][w] };
            simd.store(sum, out);
        }
    }
}

/// Replaces scores by their weights relative to the largest score so far, which is updated as is the total of all
/// weights. Gives the factor that brings earlier weights to the new scale.
#[inline(always)]
fn weigh<S: Simd>(simd: S, scores: &mut [f32], largest: &mut f32, total: &mut f32) -> f32 {
    let most = largest.max(float::largest(simd, scores));
    let sum = float::exp_and_sum(simd, most, scores);
    let factor = (*largest - most).exp();
    *total = *total * factor + sum;
    *largest = most;
    factor
}
