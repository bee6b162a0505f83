//! The product of one unpacked span of rows with tiles of tokens: the innermost loops of prefill.

use super::activations::{Rounded, counts};
use crate::formats::packed::{Packed, SPAN, Tile, Zero};
use crate::isa::{Kernel, LANES, Panel, Simd};

/// Groups of a span at most.
const MOST_GROUPS: usize = 16;

/// Tokens of a tile at most.
const MOST_TOKENS: usize = 8;

/// 1.5 * 2^23: added to an integer of at most 2^22, it makes the bits of a float out of the integer's.
const ANCHOR: f32 = 12_582_912.0;

/// One span of some tiles of tokens, all of one size.
#[derive(Clone, Copy)]
pub(super) struct TokenTiles<'a> {
    /// (tiles, depths, tokens, depth)
    codes: &'a [i8],
    /// (tiles, 8 or 1, tokens)
    scales: &'a [f32],
    /// Of the codes of each group of 32, and before them of 16 where scales are coarse: (tiles, groups, tokens)
    sums: &'a [i32],
    /// The same as floats, times the scale where it is fine.
    shares: &'a [f32],
    /// The largest sum of the magnitudes of 16 codes, where scales are coarse: (tiles)
    most: &'a [i32],
}

impl<'a> TokenTiles<'a> {
    /// Tokens from `first` to `end`, which are so many tiles from `tile` on.
    #[inline(always)]
    pub(super) fn new<P: Packed>(x: &'a Rounded, first: usize, end: usize, tile: usize, count: usize) -> Self {
        let (scale_count, sum_count) = counts(P::FINE);
        Self {
            codes: &x.codes[first * SPAN..end * SPAN],
            scales: &x.scales[first * scale_count..end * scale_count],
            sums: &x.sums[first * sum_count..end * sum_count],
            shares: &x.shares[first * sum_count..end * sum_count],
            most: if P::FINE { &[] } else { &x.most[tile..tile + count] },
        }
    }
}

/// What all formats of a kind do the same way: `sums += w x` for some tiles of rows and some tiles of tokens.
pub(super) struct Product<'a, 'b> {
    pub(super) tiles: &'a [Tile],
    pub(super) x: TokenTiles<'a>,
    /// Taken from the codes.
    pub(super) offset: i32,
    /// Where scales are whole.
    pub(super) largest_code: i32,
    /// (tiles of tokens, tiles of rows, tokens, rows)
    pub(super) sums: &'a mut [f32],
    /// Whether the sums start here.
    pub(super) is_first: bool,
    /// Where the sums go if they end here.
    pub(super) out: Option<&'a mut Panel<'b, f32>>,
    pub(super) first_token: usize,
    pub(super) upcoming: Upcoming<'a>,
    pub(super) first_tile: usize,
}

/// Weights that are needed after this span. They are asked for a few rows at a time, between tiles of tokens: all at once
/// would keep other loads waiting.
#[derive(Clone, Copy)]
pub(super) struct Upcoming<'a> {
    /// Rows from this span on.
    pub(super) bytes: &'a [u8],
    pub(super) stride: usize,
    pub(super) rows: usize,
    /// Bytes of a span.
    pub(super) length: usize,
    pub(super) ahead: usize,
    /// Tiles of tokens in all.
    pub(super) tiles: usize,
}

impl Upcoming<'_> {
    /// Asks for the part that falls to one tile of tokens.
    #[inline(always)]
    fn prefetch<S: Simd>(&self, simd: S, tile: usize) {
        for row in tile * self.rows / self.tiles..(tile + 1) * self.rows / self.tiles {
            let bytes = &self.bytes[row * self.stride..];
            simd.prefetch(&bytes[..self.length.min(bytes.len())], self.ahead);
        }
    }
}

/// What tells the kinds of formats apart.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    group: usize,
    scales: Scales,
    start: Start,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scales {
    /// Activations are fine.
    Fine,
    /// The same, and weights' scales are half floats, so that their product with the anchor is exact.
    FineHalf,
    /// Activations have one scale for the span.
    Coarse,
    /// The same, and weights' scales are whole.
    Whole,
}

/// What sums of products start with, and what is left to take off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Zero; minima are taken off.
    Minima,
    /// What the offset of the codes will add.
    Offset,
    /// Zero, as codes are signed.
    Signed,
}

impl Kind {
    const fn of<S: Simd, P: Packed>() -> Self {
        Self {
            group: P::GROUP,
            scales: match (P::FINE, P::HALF_SCALES, P::WHOLE_SCALES) {
                (true, true, _) => Scales::FineHalf,
                (true, false, _) => Scales::Fine,
                (false, _, None) => Scales::Coarse,
                (false, _, Some(_)) => Scales::Whole,
            },
            start: match P::ZERO {
                Zero::Minima => Start::Minima,
                Zero::Signed if S::BIAS == 0 => Start::Signed,
                Zero::Signed | Zero::Offset(_) => Start::Offset,
            },
        }
    }

    /// For use as a constant parameter.
    const fn bits(self) -> usize {
        self.group << 4 | (self.scales as usize) << 2 | self.start as usize
    }

    const fn from_bits(bits: usize) -> Self {
        const SCALES: [Scales; 4] = [Scales::Fine, Scales::FineHalf, Scales::Coarse, Scales::Whole];
        const STARTS: [Start; 3] = [Start::Minima, Start::Offset, Start::Signed];
        Self { group: bits >> 4, scales: SCALES[(bits >> 2) & 3], start: STARTS[bits & 3] }
    }

    const fn is_fine(self) -> bool {
        matches!(self.scales, Scales::Fine | Scales::FineHalf)
    }

    /// Whether sums of products start with numbers of their own.
    const fn has_starts(self) -> bool {
        matches!(self.scales, Scales::FineHalf) || matches!(self.start, Start::Offset)
    }
}

/// Multiplies tiles of weights by tiles of `size` tokens.
#[inline(always)]
pub(super) fn multiply_tiles<S: Simd, P: Packed, const M: usize>(simd: S, product: Product, size: usize) {
    macro_rules! with_kind {
        ($($group:literal $scales:ident $start:ident;)+) => {
            $({
                const KIND: usize = Kind { group: $group, scales: Scales::$scales, start: Start::$start }.bits();
                if const { Kind::of::<S, P>().bits() == KIND } {
                    return with_size::<S, KIND, M>(simd, product, size);
                }
            })+
        };
    }
    // Formats of one kind share the code.
    with_kind! {
        32 FineHalf Minima;
        32 FineHalf Offset;
        32 FineHalf Signed;
        32 Fine Offset;
        32 Whole Minima;
        32 Coarse Offset;
        32 Coarse Signed;
        16 Whole Minima;
        16 Whole Offset;
    }
    unreachable!("all kinds of formats are listed");
}

#[inline(always)]
fn with_size<S: Simd, const KIND: usize, const M: usize>(simd: S, product: Product, size: usize) {
    macro_rules! with_size {
        ($($n:literal)+) => {
            match size {
                // Tiles of tokens are even, so that none has less than half of what it may have.
                $($n if const { $n <= S::TILE_TOKENS && 2 * $n >= S::TILE_TOKENS } => {
                    simd.run(TileProduct::<KIND, M, $n>(product));
                })+
                _ => unreachable!("tiles of tokens are even"),
            }
        };
    }
    with_size!(1 2 3 4 5 6 7 8);
}

/// A product with tiles of `M` vectors of rows and `N` tokens; one function for all formats of a kind.
struct TileProduct<'a, 'b, const KIND: usize, const M: usize, const N: usize>(Product<'a, 'b>);

impl<const KIND: usize, const M: usize, const N: usize> Kernel for TileProduct<'_, '_, KIND, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let kind = const { Kind::from_bits(KIND) };
        let Product { tiles, x, offset, largest_code, sums, is_first, mut out, first_token, upcoming, first_tile } =
            self.0;
        let (scale_count, sum_count) = const { counts(Kind::from_bits(KIND).is_fine()) };
        let groups = SPAN / kind.group;
        let skipped = if !kind.is_fine() && kind.group == 32 { 16 * N } else { 0 };
        for (i, sums) in sums.chunks_exact_mut(tiles.len() * N * M * LANES).enumerate() {
            let fits_words = kind.scales == Scales::Whole
                && x.most[i] * (kind.group / 16) as i32 * largest_code <= i32::from(i16::MAX);
            let x = TokenTiles {
                codes: &x.codes[i * SPAN * N..][..SPAN * N],
                scales: &x.scales[i * scale_count * N..][..scale_count * N],
                sums: &x.sums[i * sum_count * N + skipped..][..groups * N],
                shares: &x.shares[i * sum_count * N + skipped..][..groups * N],
                most: &[],
            };
            upcoming.prefetch(simd, first_tile + i);
            // What each sum of products starts with.
            let mut starts = [0; MOST_GROUPS * MOST_TOKENS];
            if kind.has_starts() {
                let anchor = if kind.scales == Scales::FineHalf { ANCHOR.to_bits() as i32 } else { 0 };
                let offset = if kind.start == Start::Offset { offset } else { 0 };
                for (start, &sum) in starts[..groups * N].iter_mut().zip(x.sums) {
                    *start = anchor - offset * sum;
                }
            }
            for (s, (tile, sums)) in tiles.iter().zip(sums.chunks_exact_mut(N * M * LANES)).enumerate() {
                simd.prefetch(sums, 0);
                let mut totals = if fits_words {
                    multiply_whole::<S, KIND, M, N>(simd, tile, x, &starts)
                } else {
                    multiply::<S, KIND, M, N>(simd, tile, x, &starts)
                };
                // Only now: earlier they would be waited for, and take registers.
                if !is_first {
                    for t in 0..N {
                        for m in 0..M {
                            totals[t][m] = simd.add(totals[t][m], simd.load(&sums[(t * M + m) * LANES..]));
                        }
                    }
                }
                for t in 0..N {
                    if let Some(out) = &mut out {
                        let row = &mut out.row(first_token + i * N + t)[s * M * LANES..][..M * LANES];
                        for m in 0..M {
                            simd.store(totals[t][m], &mut row[m * LANES..]);
                        }
                    } else {
                        for m in 0..M {
                            simd.store(totals[t][m], &mut sums[(t * M + m) * LANES..]);
                        }
                    }
                }
            }
        }
    }
}

/// `w x` for one tile of rows and one of tokens.
#[inline(always)]
fn multiply<S: Simd, const KIND: usize, const M: usize, const N: usize>(
    simd: S,
    w: &Tile,
    x: TokenTiles,
    starts: &[i32; MOST_GROUPS * MOST_TOKENS],
) -> [[S::F32; M]; N] {
    let kind = const { Kind::from_bits(KIND) };
    let mut floats = [[simd.splat(0.0); M]; N];
    for group in 0..SPAN / kind.group {
        let products = multiply_group::<S, KIND, M, N>(simd, w, x, starts, group);
        let x_scales = if kind.is_fine() { &x.scales[group * N..][..N] } else { &[] };
        for m in 0..M {
            let at = (group * M + m) * LANES;
            let scales = if kind.scales == Scales::Whole {
                let whole = simd.load_i32(&w.whole_scales[at..]);
                let whole = simd.mul_add_words(simd.splat_i32(0), simd.splat_i32(1), whole);
                simd.mul(simd.to_f32(whole), simd.load(&w.factors[m * LANES..]))
            } else {
                simd.load(&w.scales[at..])
            };
            let anchors = if kind.scales == Scales::FineHalf { simd.mul(scales, simd.splat(-ANCHOR)) } else { scales };
            for t in 0..N {
                floats[t][m] = if kind.scales == Scales::FineHalf {
                    // The difference is the integer times the scale, rounded once.
                    let scaled = simd.mul_add(simd.float_bits(products[t][m]), scales, anchors);
                    simd.mul_add(scaled, simd.splat(x_scales[t]), floats[t][m])
                } else {
                    let scales = if kind.is_fine() { simd.mul(scales, simd.splat(x_scales[t])) } else { scales };
                    simd.mul_add(simd.to_f32(products[t][m]), scales, floats[t][m])
                };
            }
        }
        take_minima::<S, KIND, M, N>(simd, w, x, group, &mut floats);
    }
    if !kind.is_fine() {
        for t in 0..N {
            for m in 0..M {
                floats[t][m] = simd.mul(floats[t][m], simd.splat(x.scales[t]));
            }
        }
    }
    floats
}

/// The same where scales are whole and the products of every group fit 16 bits.
#[inline(always)]
fn multiply_whole<S: Simd, const KIND: usize, const M: usize, const N: usize>(
    simd: S,
    w: &Tile,
    x: TokenTiles,
    starts: &[i32; MOST_GROUPS * MOST_TOKENS],
) -> [[S::F32; M]; N] {
    let kind = const { Kind::from_bits(KIND) };
    let mut sums = [[simd.splat_i32(0); M]; N];
    for group in 0..SPAN / kind.group {
        let products = multiply_group::<S, KIND, M, N>(simd, w, x, starts, group);
        for m in 0..M {
            let scales = simd.load_i32(&w.whole_scales[(group * M + m) * LANES..]);
            for t in 0..N {
                sums[t][m] = simd.mul_add_words(sums[t][m], products[t][m], scales);
            }
        }
    }
    let mut floats = [[simd.splat(0.0); M]; N];
    for m in 0..M {
        let factors = simd.load(&w.factors[m * LANES..]);
        for t in 0..N {
            floats[t][m] = simd.mul(simd.to_f32(sums[t][m]), factors);
        }
    }
    for group in 0..SPAN / kind.group {
        take_minima::<S, KIND, M, N>(simd, w, x, group, &mut floats);
    }
    for t in 0..N {
        for m in 0..M {
            floats[t][m] = simd.mul(floats[t][m], simd.splat(x.scales[t]));
        }
    }
    floats
}

/// The sums of products of one group.
#[inline(always)]
fn multiply_group<S: Simd, const KIND: usize, const M: usize, const N: usize>(
    simd: S,
    w: &Tile,
    x: TokenTiles,
    starts: &[i32; MOST_GROUPS * MOST_TOKENS],
    group: usize,
) -> [[S::I32; M]; N] {
    let kind = const { Kind::from_bits(KIND) };
    let mut products = [[simd.splat_i32(0); M]; N];
    if kind.has_starts() {
        let starts = &starts[group * N..][..N];
        for t in 0..N {
            products[t] = [simd.splat_i32(starts[t]); M];
        }
    }
    let w_codes = &w.codes[group * kind.group * M * LANES..][..kind.group * M * LANES];
    let x_codes = &x.codes[group * kind.group * N..][..kind.group * N];
    if kind.start == Start::Signed {
        simd.add_products::<true, M, N>(&mut products, w_codes, x_codes);
    } else {
        simd.add_products::<false, M, N>(&mut products, w_codes, x_codes);
    }
    products
}

/// Takes the minima of one group, times the sums of its activations.
#[inline(always)]
fn take_minima<S: Simd, const KIND: usize, const M: usize, const N: usize>(
    simd: S,
    w: &Tile,
    x: TokenTiles,
    group: usize,
    floats: &mut [[S::F32; M]; N],
) {
    if const { matches!(Kind::from_bits(KIND).start, Start::Minima) } {
        let shares = &x.shares[group * N..][..N];
        for m in 0..M {
            let minima = simd.load(&w.minima[(group * M + m) * LANES..]);
            for t in 0..N {
                floats[t][m] = simd.neg_mul_add(minima, simd.splat(shares[t]), floats[t][m]);
            }
        }
    }
}
