//! Products with many tokens: a span of some rows is unpacked once, so that lanes are rows, and meets every token.

use std::marker::PhantomData;

use super::activations::{Rounded, counts, token_tiles};
use crate::formats::packed::{Packed, SPAN, Slot, Tile, Zero, offset};
use crate::isa::{Kernel, LANES, Panel, Simd};

/// Groups of a span at most.
const MOST_GROUPS: usize = 16;

/// Tokens of a tile at most.
const MOST_TOKENS: usize = 8;

/// Tiles of rows in a panel at most: each tile of tokens is fetched once for all of them.
pub(super) const PANEL_TILES: usize = 2;

/// 1.5 * 2^23: added to an integer of at most 2^22, it makes the bits of a float out of the integer's.
const ANCHOR: f32 = 12_582_912.0;

/// What a thread needs while it multiplies panels; kept from one product to the next.
#[derive(Default)]
pub(super) struct Scratch {
    tiles: Box<[Tile; PANEL_TILES]>,
    /// (tiles of tokens, tiles of rows, tokens of the tile, rows of the tile)
    sums: Vec<f32>,
    copy: Vec<u8>,
}

/// A panel of rows times all tokens.
pub(super) struct PanelOfRows<'a, P> {
    /// Whole rows, as many as the panel is wide.
    pub(super) bytes: &'a [u8],
    pub(super) row_bytes: usize,
    /// How far away in bytes the panel lies that the same thread is likely to get next.
    pub(super) next_panel: usize,
    pub(super) x: &'a Rounded,
    pub(super) scratch: &'a mut Scratch,
    /// (tokens, rows); at most `PANEL_TILES * S::TILE_ROWS` vectors of rows.
    pub(super) out: Panel<'a, f32>,
    pub(super) packed: PhantomData<P>,
}

/// How many rows a tile has.
pub(super) struct TileWidth;

impl Kernel for TileWidth {
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
        let width = M * LANES;
        let tile_count = self.out.width().div_ceil(width);
        let Scratch { tiles, sums, copy } = self.scratch;
        let tiles = &mut tiles[..tile_count];
        let needed = tokens * tile_count * width;
        if sums.len() < needed + LANES {
            sums.resize(needed + LANES, 0.0);
        }
        // Vectors that do not lie across two cache lines.
        let aligned = sums.as_ptr().align_offset(64).min(LANES);
        let sums = &mut sums[aligned..aligned + needed];
        let whole = self.out.width() == tile_count * width;
        let mut token_tile = 0;
        for span in 0..spans {
            for (i, tile) in tiles.iter_mut().enumerate() {
                let bytes = &self.bytes[i * width * self.row_bytes..];
                let start = span * P::BYTES;
                if bytes.len() >= width * self.row_bytes && start + P::BYTES <= self.row_bytes {
                    unpack::<S, P, M>(simd, &bytes[start..], self.row_bytes, tile);
                } else {
                    // A last tile with fewer rows, or a last span with fewer blocks: the rest is zero.
                    copy.clear();
                    copy.resize(width * P::BYTES, 0);
                    for (to, from) in copy.chunks_exact_mut(P::BYTES).zip(bytes.chunks_exact(self.row_bytes)) {
                        let from = &from[start..self.row_bytes.min(start + P::BYTES)];
                        to[..from.len()].copy_from_slice(from);
                    }
                    unpack::<S, P, M>(simd, copy, P::BYTES, tile);
                }
            }
            // The next span of the same rows, or the first of a panel that this thread may get.
            let ahead = if span + 1 < spans { P::BYTES } else { self.next_panel - span * P::BYTES };
            let upcoming = Upcoming {
                bytes: &self.bytes[span * P::BYTES..],
                stride: self.row_bytes,
                rows: self.out.width(),
                length: P::BYTES,
                ahead,
                tiles: tokens.div_ceil(S::TILE_TOKENS),
            };
            let (mut first, mut tile_of_tokens) = (0, 0);
            for (count, size) in token_tiles(tokens, S::TILE_TOKENS) {
                let end = first + count * size;
                let product = Product {
                    tiles,
                    x: TokenTiles::new::<P>(self.x, span * tokens + first, span * tokens + end, token_tile, count),
                    offset: i32::from(offset::<S, P>()),
                    largest_code: P::WHOLE_SCALES.unwrap_or(0),
                    sums: &mut sums[first * tile_count * width..end * tile_count * width],
                    is_first: span == 0,
                    out: (whole && span + 1 == spans).then_some(&mut self.out),
                    first_token: first,
                    upcoming,
                    first_tile: tile_of_tokens,
                };
                multiply_tiles::<S, P, M>(simd, product, size);
                first = end;
                tile_of_tokens += count;
                token_tile += count;
            }
        }
        if !whole {
            let mut sums = &sums[..];
            let mut token = 0;
            for (count, size) in token_tiles(tokens, S::TILE_TOKENS) {
                for _ in 0..count {
                    for i in 0..tile_count {
                        let columns = width.min(self.out.width() - i * width);
                        for t in 0..size {
                            self.out.row(token + t)[i * width..][..columns].copy_from_slice(&sums[..columns]);
                            sums = &sums[width..];
                        }
                    }
                    token += size;
                }
            }
        }
    }
}

/// Unpacks one span of `M` vectors of rows.
#[inline(always)]
fn unpack<S: Simd, P: Packed, const M: usize>(simd: S, rows: &[u8], stride: usize, tile: &mut Tile) {
    for m in 0..M {
        let rows = &rows[m * LANES * stride..];
        P::unpack(simd, rows, stride, &mut Slot { tile, vectors: M, vector: m });
    }
    simd.arrange(&mut tile.codes[..SPAN * M * LANES]);
}

/// One span of some tiles of tokens, all of one size.
#[derive(Clone, Copy)]
struct TokenTiles<'a> {
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
    fn new<P: Packed>(x: &'a Rounded, first: usize, end: usize, tile: usize, count: usize) -> Self {
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
struct Product<'a, 'b> {
    tiles: &'a [Tile],
    x: TokenTiles<'a>,
    /// Taken from the codes.
    offset: i32,
    /// Where scales are whole.
    largest_code: i32,
    /// (tiles of tokens, tiles of rows, tokens, rows)
    sums: &'a mut [f32],
    /// Whether the sums start here.
    is_first: bool,
    /// Where the sums go if they end here.
    out: Option<&'a mut Panel<'b, f32>>,
    first_token: usize,
    upcoming: Upcoming<'a>,
    first_tile: usize,
}

/// Weights that are needed after this span. They are asked for a few rows at a time, between tiles of tokens: all at once
/// would keep other loads waiting.
#[derive(Clone, Copy)]
struct Upcoming<'a> {
    /// Rows from this span on.
    bytes: &'a [u8],
    stride: usize,
    rows: usize,
    /// Bytes of a span.
    length: usize,
    ahead: usize,
    /// Tiles of tokens in all.
    tiles: usize,
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
    fine: bool,
    /// Whether scales are half floats, so that their product with the anchor is exact.
    anchored: bool,
    minima: bool,
    signed: bool,
    whole: bool,
}

impl Kind {
    const fn of<S: Simd, P: Packed>() -> Self {
        Self {
            group: P::GROUP,
            fine: P::FINE,
            anchored: P::HALF_SCALES,
            minima: matches!(P::ZERO, Zero::Minima),
            signed: matches!(P::ZERO, Zero::Signed) && S::BIAS == 0,
            whole: P::WHOLE_SCALES.is_some(),
        }
    }

    /// For use as a constant parameter.
    const fn bits(self) -> usize {
        self.group << 5
            | (self.fine as usize)
            | (self.anchored as usize) << 1
            | (self.minima as usize) << 2
            | (self.signed as usize) << 3
            | (self.whole as usize) << 4
    }

    const fn from_bits(bits: usize) -> Self {
        Self {
            group: bits >> 5,
            fine: bits & 1 != 0,
            anchored: bits & 2 != 0,
            minima: bits & 4 != 0,
            signed: bits & 8 != 0,
            whole: bits & 16 != 0,
        }
    }
}

/// Multiplies tiles of weights by tiles of `size` tokens.
#[inline(always)]
fn multiply_tiles<S: Simd, P: Packed, const M: usize>(simd: S, product: Product, size: usize) {
    macro_rules! with_kind {
        ($($group:literal $fine:literal $anchored:literal $minima:literal $signed:literal $whole:literal;)+) => {
            $({
                const KIND: usize = kind($group, $fine, $anchored, $minima, $signed, $whole);
                if const { Kind::of::<S, P>().bits() == KIND } {
                    return with_size::<S, KIND, M>(simd, product, size);
                }
            })+
        };
    }
    // Formats of one kind share the code.
    with_kind! {
        32 true true true false false;
        32 true true false false false;
        32 true true false true false;
        32 true false false false false;
        32 false false true false true;
        32 false false false false false;
        32 false false false true false;
        16 false false true false true;
        16 false false false false true;
    }
    unreachable!("all kinds of formats are listed");
}

const fn kind(group: usize, fine: bool, anchored: bool, minima: bool, signed: bool, whole: bool) -> usize {
    Kind { group, fine, anchored, minima, signed, whole }.bits()
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
        let (scale_count, sum_count) = const { counts(Kind::from_bits(KIND).fine) };
        let groups = SPAN / kind.group;
        let skipped = if !kind.fine && kind.group == 32 { 16 * N } else { 0 };
        for (i, sums) in sums.chunks_exact_mut(tiles.len() * N * M * LANES).enumerate() {
            let fits_words = kind.whole && x.most[i] * (kind.group / 16) as i32 * largest_code <= i32::from(i16::MAX);
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
            if kind.anchored || !(kind.minima || kind.signed) {
                let anchor = if kind.anchored { ANCHOR.to_bits() as i32 } else { 0 };
                let offset = if kind.minima || kind.signed { 0 } else { offset };
                for (start, &sum) in starts[..groups * N].iter_mut().zip(x.sums) {
                    *start = anchor - offset * sum;
                }
            }
            for (s, (tile, sums)) in tiles.iter().zip(sums.chunks_exact_mut(N * M * LANES)).enumerate() {
                let mut totals = [[simd.splat(0.0); M]; N];
                if !is_first {
                    for t in 0..N {
                        for m in 0..M {
                            totals[t][m] = simd.load(&sums[(t * M + m) * LANES..]);
                        }
                    }
                }
                let totals = if fits_words {
                    multiply_whole::<S, KIND, M, N>(simd, tile, x, &starts, totals)
                } else {
                    multiply::<S, KIND, M, N>(simd, tile, x, &starts, totals)
                };
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

/// `totals + w x` for one tile of rows and one of tokens.
#[inline(always)]
fn multiply<S: Simd, const KIND: usize, const M: usize, const N: usize>(
    simd: S,
    w: &Tile,
    x: TokenTiles,
    starts: &[i32; MOST_GROUPS * MOST_TOKENS],
    totals: [[S::F32; M]; N],
) -> [[S::F32; M]; N] {
    let kind = const { Kind::from_bits(KIND) };
    let mut floats = if kind.fine { totals } else { [[simd.splat(0.0); M]; N] };
    for group in 0..SPAN / kind.group {
        let products = multiply_group::<S, KIND, M, N>(simd, w, x, starts, group);
        let x_scales = if kind.fine { &x.scales[group * N..][..N] } else { &[] };
        for m in 0..M {
            let at = (group * M + m) * LANES;
            let scales = if kind.whole {
                let whole = simd.load_i32(&w.whole_scales[at..]);
                let whole = simd.mul_add_words(simd.splat_i32(0), simd.splat_i32(1), whole);
                simd.mul(simd.to_f32(whole), simd.load(&w.factors[m * LANES..]))
            } else {
                simd.load(&w.scales[at..])
            };
            let anchors = if kind.anchored { simd.mul(scales, simd.splat(-ANCHOR)) } else { scales };
            for t in 0..N {
                floats[t][m] = if kind.anchored {
                    // The difference is the integer times the scale, rounded once.
                    let scaled = simd.mul_add(simd.float_bits(products[t][m]), scales, anchors);
                    simd.mul_add(scaled, simd.splat(x_scales[t]), floats[t][m])
                } else {
                    let scales = if kind.fine { simd.mul(scales, simd.splat(x_scales[t])) } else { scales };
                    simd.mul_add(simd.to_f32(products[t][m]), scales, floats[t][m])
                };
            }
        }
        take_minima::<S, KIND, M, N>(simd, w, x, group, &mut floats);
    }
    if !kind.fine {
        for t in 0..N {
            for m in 0..M {
                floats[t][m] = simd.mul_add(floats[t][m], simd.splat(x.scales[t]), totals[t][m]);
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
    mut totals: [[S::F32; M]; N],
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
            totals[t][m] = simd.mul_add(floats[t][m], simd.splat(x.scales[t]), totals[t][m]);
        }
    }
    totals
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
    if kind.anchored || !(kind.minima || kind.signed) {
        let starts = &starts[group * N..][..N];
        for t in 0..N {
            products[t] = [simd.splat_i32(starts[t]); M];
        }
    }
    let w_codes = &w.codes[group * kind.group * M * LANES..][..kind.group * M * LANES];
    let x_codes = &x.codes[group * kind.group * N..][..kind.group * N];
    if kind.signed {
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
    if const { Kind::from_bits(KIND).minima } {
        let shares = &x.shares[group * N..][..N];
        for m in 0..M {
            let minima = simd.load(&w.minima[(group * M + m) * LANES..]);
            for t in 0..N {
                floats[t][m] = simd.neg_mul_add(minima, simd.splat(shares[t]), floats[t][m]);
            }
        }
    }
}
