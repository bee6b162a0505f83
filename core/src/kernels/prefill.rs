//! Products with many tokens: a span of some rows is unpacked once, so that lanes are rows, and meets every token.

use std::marker::PhantomData;

use super::activations::{Rounded, token_tiles};
use super::tile::{Product, TokenTiles, Upcoming, multiply_tiles};
use crate::formats::packed::{Packed, SPAN, Slot, Tile, offset};
use crate::isa::{Kernel, LANES, Panel, Simd};

/// Tiles of rows in a panel at most: each tile of tokens is fetched once for all of them.
pub(super) const PANEL_TILES: usize = 2;

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
