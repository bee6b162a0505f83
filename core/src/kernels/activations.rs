//! The right-hand side of matrix products, made once for all the matrices that it meets.

use std::sync::{Mutex, PoisonError};

use super::prefill::Scratch;
use crate::formats::Format;
use crate::formats::packed::{Packed, SPAN, with_packed};
use crate::isa::{Chunks, Isa, Kernel, LANES, Pool, Simd};

/// From so many tokens on, matrices are multiplied in tiles whose lanes are rows; below, row by row, and then the result
/// of a token is the same, bit for bit, whatever other tokens are there.
///
/// Not on instruction sets whose tiles have one token: they gain nothing.
pub(super) const TILED_FROM: usize = 10;

/// Below so many values, the work is not worth waking another thread.
const PARALLEL_FROM: usize = 1 << 14;

/// Floats of some tokens, in the forms that the products read. Buffers are kept from one use to the next.
#[derive(Default)]
pub struct Activations {
    tokens: usize,
    columns: usize,
    isa: Option<Isa>,
    tiled: bool,
    floats: Option<Vec<f32>>,
    fine: Rounded,
    coarse: Rounded,
    scratches: Mutex<Vec<Scratch>>,
}

/// The int8 form: `x = scale * code`, the scale of a span or of 32 values being its largest magnitude / 127, the code
/// the nearest integer, ties to even. Columns are padded to whole spans with zeros.
#[derive(Default)]
pub(super) struct Rounded {
    present: bool,
    /// For products row by row: (spans, tokens).
    pub(super) spans: Vec<TokenSpan>,
    /// For products in tiles: (spans, tiles of tokens, depths, tokens of the tile, values of a depth).
    pub(super) codes: Vec<i8>,
    /// For products in tiles: (spans, tiles of tokens, scales per span, tokens of the tile).
    pub(super) scales: Vec<f32>,
    /// For products in tiles: sums of the codes of each group; (spans, tiles of tokens, groups, tokens of the tile).
    /// The groups are 8 of 32; where scales are coarse, 16 of 16 come before them.
    pub(super) sums: Vec<i32>,
    /// The same sums as floats; where scales are fine, times the scale.
    pub(super) shares: Vec<f32>,
    /// For products in tiles, where scales are coarse: the largest sum of the magnitudes of 16 codes; (spans, tiles of
    /// tokens).
    pub(super) most: Vec<i32>,
}

/// Scales per span and token, and sums, in the layout for tiles.
pub(super) const fn counts(fine: bool) -> (usize, usize) {
    if fine { (8, 8) } else { (1, 16 + 8) }
}

/// A span of one token.
#[derive(Clone)]
#[repr(C, align(64))]
pub(super) struct TokenSpan {
    pub(super) codes: [i8; SPAN],
    /// Scale of each group of 16.
    pub(super) scales: [f32; LANES],
    /// Minus the sum of the values of each group of 16, which is added as often as its minimum says.
    pub(super) shares: [f32; LANES],
    /// Sum of the codes of each group of 16.
    pub(super) sums: [i16; LANES],
}

const EMPTY: TokenSpan = TokenSpan { codes: [0; SPAN], scales: [0.0; LANES], shares: [0.0; LANES], sums: [0; LANES] };

impl Activations {
    /// Empty, without buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `x`, (tokens, columns), for products with matrices of the given formats.
    pub fn set(&mut self, pool: &Pool, isa: Isa, x: &[f32], columns: usize, formats: &[Format]) {
        assert!(columns > 0 && x.len().is_multiple_of(columns), "whole rows of activations");
        self.tokens = x.len() / columns;
        let shape = Shape { tokens: self.tokens, columns, tile: isa.run(TileTokens) };
        self.columns = columns;
        self.isa = Some(isa);
        self.tiled = shape.tiled();
        (self.fine.present, self.coarse.present) = (false, false);
        let mut floats = false;
        for &format in formats {
            with_packed!(format, P => if P::FINE { self.fine.present = true } else { self.coarse.present = true },
                         _ => floats = true);
        }
        if self.fine.present {
            self.fine.fill::<true>(pool, isa, x, shape);
        }
        if self.coarse.present {
            self.coarse.fill::<false>(pool, isa, x, shape);
        }
        if floats {
            self.set_floats(x);
        } else if let Some(floats) = &mut self.floats {
            floats.clear();
        }
    }

    /// Copies the rows, each padded with zeros to whole vectors.
    fn set_floats(&mut self, x: &[f32]) {
        let padded = self.padded_columns();
        let floats = self.floats.get_or_insert_default();
        floats.clear();
        floats.resize(self.tokens * padded, 0.0);
        for (to, from) in floats.chunks_exact_mut(padded).zip(x.chunks_exact(self.columns)) {
            to[..from.len()].copy_from_slice(from);
        }
    }

    /// How many tokens were set.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Whether products of the int8 form are made in tiles.
    pub(super) fn tiled(&self) -> bool {
        self.tiled
    }

    /// Buffers of one thread for products in tiles.
    pub(super) fn take_scratch(&self) -> Scratch {
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps them for the next product.
    pub(super) fn keep_scratch(&self, scratch: Scratch) {
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }

    /// How many values each token has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Columns of the float form.
    pub(super) fn padded_columns(&self) -> usize {
        self.columns.next_multiple_of(LANES)
    }

    /// The float form, (tokens, padded columns).
    pub(super) fn floats(&self) -> &[f32] {
        let floats = self.floats.as_deref().unwrap_or(&[]);
        assert_eq!(floats.len(), self.tokens * self.padded_columns(), "activations were set for a float format");
        floats
    }

    /// The int8 form with fine or coarse scales, for this instruction set.
    pub(super) fn rounded(&self, isa: Isa, fine: bool) -> &Rounded {
        let rounded = if fine { &self.fine } else { &self.coarse };
        assert!(rounded.present, "activations were set for a format of this kind");
        assert!(self.isa == Some(isa), "activations were set for this instruction set");
        rounded
    }
}

/// What the layout depends on.
#[derive(Clone, Copy)]
struct Shape {
    tokens: usize,
    columns: usize,
    /// Tokens of a tile at most.
    tile: usize,
}

impl Shape {
    fn tiled(self) -> bool {
        self.tokens >= TILED_FROM && self.tile > 1
    }
}

struct TileTokens;

impl Kernel for TileTokens {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> usize {
        S::TILE_TOKENS
    }
}

/// Cuts tokens into tiles of at most `size`, as even as possible: how many there are of which size, larger ones first.
pub(super) fn token_tiles(tokens: usize, size: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = tokens.div_ceil(size);
    let (least, larger) = (tokens / tiles.max(1), tokens % tiles.max(1));
    [(larger, least + 1), (tiles - larger, least)].into_iter().filter(|&(count, _)| count > 0)
}

impl Rounded {
    fn fill<const FINE: bool>(&mut self, pool: &Pool, isa: Isa, x: &[f32], shape: Shape) {
        let Shape { tokens, columns, .. } = shape;
        let spans = columns.div_ceil(SPAN);
        let parallel = x.len() >= PARALLEL_FROM;
        if shape.tiled() {
            let (scale_count, sum_count) = counts(FINE);
            self.codes.resize(spans * tokens * SPAN, 0);
            self.scales.resize(spans * tokens * scale_count, 0.0);
            self.sums.resize(spans * tokens * sum_count, 0);
            self.shares.resize(spans * tokens * sum_count, 0.0);
            let tiles = tokens.div_ceil(shape.tile);
            self.most.resize(spans * tiles, 0);
            let most = Chunks::new(&mut self.most, tiles);
            let codes = Chunks::new(&mut self.codes, tokens * SPAN);
            let scales = Chunks::new(&mut self.scales, tokens * scale_count);
            let sums = Chunks::new(&mut self.sums, tokens * sum_count);
            let shares = Chunks::new(&mut self.shares, tokens * sum_count);
            let part = |i: usize| {
                let (codes, scales) = (codes.claim(i), scales.claim(i));
                let (sums, shares, most) = (sums.claim(i), shares.claim(i), most.claim(i));
                isa.run(RoundTiles::<FINE> { x, shape, span: i, codes, scales, sums, shares, most });
            };
            if parallel { pool.each(spans, &part) } else { (0..spans).for_each(part) }
        } else {
            self.spans.resize(spans * tokens, EMPTY);
            let parts = Chunks::new(&mut self.spans, tokens.max(1));
            let part = |i: usize| isa.run(RoundSpan::<FINE> { x, shape, span: i, out: parts.claim(i) });
            if parallel { pool.each(parts.count(), &part) } else { (0..parts.count()).for_each(part) }
        }
    }
}

/// One span of one token, rounded.
struct Span {
    codes: [i8; SPAN],
    /// Of groups of 32.
    scales: [f32; 8],
    /// Of groups of 16.
    sums: [i32; LANES],
}

/// Rounds columns `span * 256 ..` of one token.
#[inline(always)]
fn round_span<S: Simd, const FINE: bool>(simd: S, token: &[f32], span: usize, out: &mut Span) {
    let x = &token[span * SPAN..];
    let mut padded = [0.0; SPAN];
    let x: &[f32; SPAN] = if let Some(x) = x.first_chunk() {
        x
    } else {
        padded[..x.len()].copy_from_slice(x);
        &padded
    };
    if FINE {
        let parts = x.as_chunks::<32>().0.iter().zip(out.codes.as_chunks_mut::<32>().0).zip(&mut out.scales);
        for ((x, codes), scale) in parts {
            let largest = simd.max(simd.abs(simd.load(&x[..16])), simd.abs(simd.load(&x[16..])));
            round(simd, simd.reduce_max(largest), x, codes, std::slice::from_mut(scale));
        }
    } else {
        let mut largest = simd.splat(0.0);
        for x in x.as_chunks::<LANES>().0 {
            largest = simd.max(simd.abs(simd.load(x)), largest);
        }
        round(simd, simd.reduce_max(largest), x, &mut out.codes, &mut out.scales);
    }
    simd.store_i32(sum_sixteens(simd, &out.codes, false), &mut out.sums);
}

/// The sums of the codes of each group of 16, or of their magnitudes.
#[inline(always)]
fn sum_sixteens<S: Simd>(simd: S, codes: &[i8; SPAN], magnitudes: bool) -> S::I32 {
    let mut fours = [simd.splat_i32(0); 4];
    for (four, codes) in fours.iter_mut().zip(codes.as_chunks::<64>().0) {
        let codes = simd.load_signed(codes);
        *four = simd.dot(*four, simd.splat_byte(1), if magnitudes { simd.abs_bytes(codes) } else { codes });
    }
    simd.sum_fours(fours)
}

/// Rounds values that share a scale.
#[inline(always)]
fn round<S: Simd>(simd: S, largest: f32, x: &[f32], codes: &mut [i8], scales: &mut [f32]) {
    scales.fill(largest / 127.0);
    // So small that its inverse overflows: zero.
    let inverse = simd.splat(if largest > 1e-36 { 127.0 / largest } else { 0.0 });
    for (x, codes) in x.as_chunks::<LANES>().0.iter().zip(codes.as_chunks_mut::<LANES>().0) {
        simd.store_i8(simd.round(simd.mul(simd.load(x), inverse)), codes);
    }
}

const NO_SPAN: Span = Span { codes: [0; SPAN], scales: [0.0; 8], sums: [0; LANES] };

/// Rounds a span of all tokens for products row by row.
struct RoundSpan<'a, const FINE: bool> {
    x: &'a [f32],
    shape: Shape,
    span: usize,
    out: &'a mut [TokenSpan],
}

impl<const FINE: bool> Kernel for RoundSpan<'_, FINE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut rounded = NO_SPAN;
        for (x, out) in self.x.chunks_exact(self.shape.columns).zip(self.out) {
            round_span::<S, FINE>(simd, x, self.span, &mut rounded);
            out.codes = rounded.codes;
            for i in 0..LANES {
                out.scales[i] = rounded.scales[i / 2];
                out.sums[i] = rounded.sums[i] as i16;
                out.shares[i] = -(rounded.sums[i] as f32 * out.scales[i]);
            }
        }
    }
}

/// Puts a token's codes, `DEPTH` at a time, between those of the `size` tokens of its tile.
#[inline(always)]
fn spread<const DEPTH: usize>(from: &[i8; SPAN], to: &mut [i8], t: usize, size: usize) {
    let to = to.as_chunks_mut::<DEPTH>().0[t..].iter_mut().step_by(size);
    for (to, from) in to.zip(from.as_chunks::<DEPTH>().0) {
        *to = *from;
    }
}

/// Rounds a span of all tokens for products in tiles.
struct RoundTiles<'a, const FINE: bool> {
    x: &'a [f32],
    shape: Shape,
    span: usize,
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [i32],
    shares: &'a mut [f32],
    most: &'a mut [i32],
}

impl<const FINE: bool> Kernel for RoundTiles<'_, FINE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (scale_count, sum_count) = counts(FINE);
        let mut rounded = NO_SPAN;
        let mut tokens = self.x.chunks_exact(self.shape.columns);
        let mut first = 0;
        let mut most_of_tile = self.most.iter_mut();
        for (count, size) in token_tiles(self.shape.tokens, self.shape.tile) {
            let end = first + count * size;
            let codes = self.codes[first * SPAN..end * SPAN].chunks_exact_mut(size * SPAN);
            let scales = self.scales[first * scale_count..end * scale_count].chunks_exact_mut(size * scale_count);
            let sums = self.sums[first * sum_count..end * sum_count].chunks_exact_mut(size * sum_count);
            let shares = self.shares[first * sum_count..end * sum_count].chunks_exact_mut(size * sum_count);
            let tiles = codes.zip(scales).zip(sums).zip(shares).zip(most_of_tile.by_ref());
            for ((((codes, scales), sums), shares), most_of_tile) in tiles {
                let mut most = simd.splat(0.0);
                for (t, token) in tokens.by_ref().take(size).enumerate() {
                    // The same columns of the next token, which no hardware sees coming.
                    let columns = &token[self.span * SPAN..self.shape.columns.min((self.span + 1) * SPAN)];
                    simd.prefetch(columns, size_of_val(token));
                    round_span::<S, FINE>(simd, token, self.span, &mut rounded);
                    if !FINE {
                        most = simd.max(most, simd.to_f32(sum_sixteens(simd, &rounded.codes, true)));
                    }
                    if const { S::TILE_DEPTH == 8 } {
                        spread::<8>(&rounded.codes, codes, t, size);
                    } else {
                        spread::<4>(&rounded.codes, codes, t, size);
                    }
                    for (to, from) in scales[t..].iter_mut().step_by(size).zip(&rounded.scales[..scale_count]) {
                        *to = *from;
                    }
                    let pairs = rounded.sums.as_chunks::<2>().0.iter().map(|[a, b]| a + b);
                    let singles = rounded.sums[..if FINE { 0 } else { LANES }].iter().copied();
                    let to = sums[t..].iter_mut().step_by(size).zip(shares[t..].iter_mut().step_by(size));
                    for (i, ((sum, share), from)) in to.zip(singles.chain(pairs)).enumerate() {
                        *sum = from;
                        *share = from as f32 * if FINE { rounded.scales[i] } else { 1.0 };
                    }
                }
                *most_of_tile = simd.reduce_max(most) as i32;
            }
            first = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_of_tokens_are_even_and_cover_all() {
        for tokens in 0..70 {
            for size in 1..8 {
                let tiles: Vec<_> = token_tiles(tokens, size).collect();
                assert_eq!(tiles.iter().map(|(count, _)| count).sum::<usize>(), tokens.div_ceil(size));
                assert_eq!(tiles.iter().map(|(count, size)| count * size).sum::<usize>(), tokens);
                assert!(tiles.iter().all(|&(_, of)| of <= size && of >= tokens / tokens.div_ceil(size)));
            }
        }
    }

    #[test]
    fn rounding_is_the_same_on_every_instruction_set_and_off_by_half_a_step_at_most() {
        let pool = Pool::new(2);
        let columns = 256 + 96;
        for tokens in [1, 3, TILED_FROM + 3] {
            let x: Vec<f32> = (0..tokens * columns).map(|i| (i as f32 * 0.37).sin() * (1.0 + (i % 7) as f32)).collect();
            for (format, fine) in [(Format::Q4_0, true), (Format::Q4K, false)] {
                for isa in Isa::available() {
                    let mut activations = Activations::new();
                    activations.set(&pool, isa, &x, columns, &[format]);
                    let rounded = activations.rounded(isa, fine);
                    let (tile, depth) = (isa.run(TileTokens), isa.run(TileDepth));
                    for t in 0..tokens {
                        for i in 0..2 * SPAN {
                            let expected = if i < columns { x[t * columns + i] } else { 0.0 };
                            let (code, scale) = code_and_scale(rounded, fine, tokens, (tile, depth), t, i);
                            let error = (f32::from(code) * scale - expected).abs();
                            assert!(error <= 0.5001 * scale, "{}, {tokens}, {t}, {i}", isa.name());
                        }
                    }
                }
            }
        }
    }

    struct TileDepth;

    impl Kernel for TileDepth {
        type Output = usize;

        #[inline(always)]
        fn run<S: Simd>(self, _simd: S) -> usize {
            S::TILE_DEPTH
        }
    }

    /// Finds one value in either layout; tiles have so many tokens at most, and so many values of each side by side.
    fn code_and_scale(
        x: &Rounded,
        fine: bool,
        tokens: usize,
        (tile, depth): (usize, usize),
        t: usize,
        i: usize,
    ) -> (i8, f32) {
        let span = i / SPAN;
        if tokens < TILED_FROM || tile == 1 {
            let x = &x.spans[span * tokens + t];
            let in_group: i32 = x.codes[i % SPAN / 16 * 16..][..16].iter().map(|&code| i32::from(code)).sum();
            let scale = x.scales[i % SPAN / 16];
            assert_eq!(i32::from(x.sums[i % SPAN / 16]), in_group);
            assert!((x.shares[i % SPAN / 16] + in_group as f32 * scale).abs() < 1e-3);
            return (x.codes[i % SPAN], scale);
        }
        let mut firsts = (0, 0);
        let sizes = token_tiles(tokens, tile).flat_map(|(count, size)| std::iter::repeat_n(size, count));
        for size in sizes {
            firsts = (firsts.0 + firsts.1, size);
            if t < firsts.0 + size {
                break;
            }
        }
        let (first, count) = firsts;
        let at = span * tokens + first;
        let in_tile = |i: usize| (i % SPAN / depth * count + t - first) * depth + i % depth;
        let code = |i: usize| x.codes[at * SPAN + in_tile(i)];
        let (scale_count, sum_count) = counts(fine);
        let scale = x.scales[at * scale_count + if fine { i % SPAN / 32 * count } else { 0 } + t - first];
        for (group, row) in [(32, i % SPAN / 32 + if fine { 0 } else { 16 }), (16, i % SPAN / 16)] {
            if group == 16 && fine {
                continue;
            }
            let in_group: i32 = (i / group * group..(i / group + 1) * group).map(|i| i32::from(code(i))).sum();
            let share = in_group as f32 * if fine { scale } else { 1.0 };
            assert_eq!(x.sums[at * sum_count + row * count + t - first], in_group);
            assert!((x.shares[at * sum_count + row * count + t - first] - share).abs() < 1e-3);
        }
        (code(i), scale)
    }
}
