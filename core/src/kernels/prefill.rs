//! Products with many tokens: a span of some rows is unpacked once, so that lanes are rows, and meets every token.

use std::marker::PhantomData;

use super::activations::{Rounded, counts, token_tiles};
use crate::formats::packed::{Packed, SPAN, Slot, Tile, Zero, offset};
use crate::isa::{Kernel, LANES, Panel, Simd};

/// Groups of a span at most.
const MOST_GROUPS: usize = 16;

/// Tokens of a tile at most.
const MOST_TOKENS: usize = 8;

/// A panel of rows times all tokens.
pub(super) struct PanelOfRows<'a, P> {
    /// Whole rows, as many as the panel is wide.
    pub(super) bytes: &'a [u8],
    pub(super) row_bytes: usize,
    pub(super) x: &'a Rounded,
    /// (tokens, rows); at most `S::TILE_ROWS` vectors of rows.
    pub(super) out: Panel<'a, f32>,
    pub(super) packed: PhantomData<P>,
}

/// How many rows a panel has.
pub(super) struct PanelWidth;

impl Kernel for PanelWidth {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> usize {
        S::TILE_ROWS * LANES
    }
}

impl<P: Packed> Kernel for PanelOfRows<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if const { S::TILE_TOKENS == 1 } {
            unreachable!("tiles have several tokens");
        } else if const { S::TILE_ROWS == 2 } {
            self.multiply::<S, 2>(simd);
        } else {
            self.multiply::<S, 1>(simd);
        }
    }
}

impl<P: Packed> PanelOfRows<'_, P> {
    #[inline(always)]
    fn multiply<S: Simd, const M: usize>(mut self, simd: S) {
        let (tokens, spans) = (self.out.rows(), self.row_bytes.div_ceil(P::BYTES));
        let mut tile = Tile::new();
        let mut sums = vec![0.0; tokens * M * LANES]; // (tokens, rows)
        let mut copy = Vec::new();
        let whole = self.out.width() == M * LANES;
        for span in 0..spans {
            let start = span * P::BYTES;
            if whole && start + P::BYTES <= self.row_bytes {
                unpack::<S, P, M>(simd, &self.bytes[start..], self.row_bytes, &mut tile);
            } else {
                // A last panel with fewer rows, or a last span with fewer blocks: the rest is zero.
                copy.clear();
                copy.resize(M * LANES * P::BYTES, 0);
                let rows = self.bytes.chunks_exact(self.row_bytes);
                for (to, from) in copy.chunks_exact_mut(P::BYTES).zip(rows) {
                    let from = &from[start..self.row_bytes.min(start + P::BYTES)];
                    to[..from.len()].copy_from_slice(from);
                }
                unpack::<S, P, M>(simd, &copy, P::BYTES, &mut tile);
            }
            for (first, count) in token_tiles(tokens, S::TILE_TOKENS) {
                let x = TokenTile::new::<P>(self.x, span * tokens + first, count);
                let sums = &mut sums[first * M * LANES..][..count * M * LANES];
                multiply_tile::<S, P, M>(simd, &tile, x, sums, count);
            }
        }
        let width = self.out.width();
        for (t, sums) in sums.chunks_exact(M * LANES).enumerate() {
            self.out.row(t).copy_from_slice(&sums[..width]);
        }
    }
}

/// Unpacks one span of `M` vectors of rows, and asks for the next span's memory.
#[inline(always)]
fn unpack<S: Simd, P: Packed, const M: usize>(simd: S, rows: &[u8], stride: usize, tile: &mut Tile) {
    for m in 0..M {
        let rows = &rows[m * LANES * stride..];
        P::unpack(simd, rows, stride, &mut Slot { tile, vectors: M, vector: m });
        for row in 0..LANES {
            simd.prefetch(&rows[row * stride..][..P::BYTES], P::BYTES);
        }
    }
    simd.arrange(&mut tile.codes[..SPAN * M * LANES]);
}

/// One span of some tokens.
struct TokenTile<'a> {
    /// (depths, tokens, depth)
    codes: &'a [i8],
    /// (8 or 1, tokens)
    scales: &'a [f32],
    /// Of the codes of each group of the format: (groups, tokens)
    sums: &'a [i32],
    /// The same as floats, times the scale where it is fine.
    shares: &'a [f32],
}

impl<'a> TokenTile<'a> {
    #[inline(always)]
    fn new<P: Packed>(x: &'a Rounded, first: usize, count: usize) -> Self {
        let (scale_count, sum_count) = counts(P::FINE);
        let before = if !P::FINE && P::GROUP == 32 { 16 } else { 0 };
        let sums = first * sum_count + before * count..first * sum_count + (before + SPAN / P::GROUP) * count;
        Self {
            codes: &x.codes[first * SPAN..][..count * SPAN],
            scales: &x.scales[first * scale_count..][..count * scale_count],
            sums: &x.sums[sums.clone()],
            shares: &x.shares[sums],
        }
    }
}

/// Multiplies a tile of weights by a tile of tokens.
#[inline(always)]
fn multiply_tile<S: Simd, P: Packed, const M: usize>(simd: S, w: &Tile, x: TokenTile, sums: &mut [f32], count: usize) {
    let offset = i32::from(offset::<S, P>());
    macro_rules! with_kind {
        ($($group:literal $fine:literal $minima:literal $signed:literal;)+) => {
            $(if const {
                P::GROUP == $group
                    && P::FINE == $fine
                    && matches!(P::ZERO, Zero::Minima) == $minima
                    && (matches!(P::ZERO, Zero::Signed) && S::BIAS == 0) == $signed
            } {
                return multiply::<S, $group, $fine, $minima, $signed, M>(simd, w, x, offset, sums, count);
            })+
        };
    }
    // Formats of one kind share the code.
    with_kind! {
        32 true true false;
        32 true false false;
        32 true false true;
        32 false true false;
        32 false false false;
        32 false false true;
        16 false true false;
        16 false false false;
    }
    unreachable!("all kinds of formats are listed");
}

#[inline(always)]
fn multiply<S: Simd, const GROUP: usize, const FINE: bool, const MINIMA: bool, const SIGNED: bool, const M: usize>(
    simd: S,
    w: &Tile,
    x: TokenTile,
    offset: i32,
    sums: &mut [f32],
    count: usize,
) {
    macro_rules! with_count {
        ($($n:literal)+) => {
            match count {
                // Tiles of tokens are even, so that none has less than half of what it may have.
                $($n if const { $n <= S::TILE_TOKENS && 2 * $n >= S::TILE_TOKENS } => {
                    simd.run(TileProduct::<GROUP, FINE, MINIMA, SIGNED, M, $n> { w, x, offset, sums });
                })+
                _ => unreachable!("tiles of tokens are even"),
            }
        };
    }
    with_count!(1 2 3 4 5 6 7 8);
}

/// `sums += w x`, for `M` vectors of rows and `N` tokens; one function for all formats of a kind.
struct TileProduct<
    'a,
    const GROUP: usize,
    const FINE: bool,
    const MINIMA: bool,
    const SIGNED: bool,
    const M: usize,
    const N: usize,
> {
    w: &'a Tile,
    x: TokenTile<'a>,
    /// Taken from the codes.
    offset: i32,
    /// (tokens, rows)
    sums: &'a mut [f32],
}

impl<const GROUP: usize, const FINE: bool, const MINIMA: bool, const SIGNED: bool, const M: usize, const N: usize>
    Kernel for TileProduct<'_, GROUP, FINE, MINIMA, SIGNED, M, N>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { w, x, offset, sums } = self;
        // What each sum of products starts with.
        let mut starts = [0; MOST_GROUPS * MOST_TOKENS];
        if !MINIMA && !SIGNED {
            for (start, &sum) in starts.iter_mut().zip(x.sums) {
                *start = -offset * sum;
            }
        }
        let mut floats = [[simd.splat(0.0); M]; N];
        let by_group = w.codes[..SPAN * M * LANES].chunks_exact(GROUP * M * LANES);
        for (group, (w_codes, x_codes)) in by_group.zip(x.codes.chunks_exact(GROUP * N)).enumerate() {
            let mut products = [[simd.splat_i32(0); M]; N];
            if !MINIMA && !SIGNED {
                let starts = &starts[group * N..][..N];
                for t in 0..N {
                    products[t] = [simd.splat_i32(starts[t]); M];
                }
            }
            simd.add_products::<SIGNED, M, N>(&mut products, w_codes, x_codes);
            let shares = &x.shares[group * N..][..N];
            let x_scales = if FINE { &x.scales[group * N..][..N] } else { &[] };
            for m in 0..M {
                let scales = simd.load(&w.scales[(group * M + m) * LANES..]);
                for t in 0..N {
                    let scales = if FINE { simd.mul(scales, simd.splat(x_scales[t])) } else { scales };
                    floats[t][m] = simd.mul_add(simd.to_f32(products[t][m]), scales, floats[t][m]);
                }
                if MINIMA {
                    let minima = simd.load(&w.minima[(group * M + m) * LANES..]);
                    for t in 0..N {
                        floats[t][m] = simd.neg_mul_add(minima, simd.splat(shares[t]), floats[t][m]);
                    }
                }
            }
        }
        for t in 0..N {
            for m in 0..M {
                let sum = &mut sums[(t * M + m) * LANES..][..LANES];
                let before = simd.load(sum);
                let after = if FINE {
                    simd.add(floats[t][m], before)
                } else {
                    simd.mul_add(floats[t][m], simd.splat(x.scales[t]), before)
                };
                simd.store(after, sum);
            }
        }
    }
}
