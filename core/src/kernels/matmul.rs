//! Products of a weight matrix, as the file holds it, with the activations of some tokens.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::activations::{Activations, TILED_FROM};
use super::decode::Rows;
use super::prefill::{PANEL_TILES, PanelOfRows, TileWidth};
use super::unpacked::{Bf16, F16, F32, FloatRows, Floats};
use crate::formats::packed::{Packed, with_packed};
use crate::formats::{self, Format};
use crate::isa::{Isa, LANES, Panels, Pool};

/// Bytes of weights that a thread should read in one go: less costs bandwidth, more leaves others waiting at the end.
const PIECE_BYTES: usize = 512 * 1024;

/// Bytes of weights, times tokens, below which another thread is not worth waking.
const PARALLEL_FROM_BYTES: usize = 32 * 1024;

/// Panels for each thread, below which they are made narrower, so that no thread waits long for the last.
const PANELS_FOR_EACH: usize = 4;

/// Rows of a panel of floats, which fits a cache.
const FLOAT_PANEL: usize = 32;

/// A weight matrix as the file holds it: `rows` rows of `columns` values, row after row.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// How the values are stored.
    pub format: Format,
    /// Outputs.
    pub rows: usize,
    /// Inputs; whole blocks of the format.
    pub columns: usize,
    /// `rows` times the format's `row_bytes(columns)`.
    pub bytes: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.bytes.len() / self.rows.max(1)
    }

    /// The bytes of `count` rows from `first` on.
    pub fn rows_from(&self, first: usize, count: usize) -> &'a [u8] {
        &self.bytes[first * self.row_bytes()..][..count * self.row_bytes()]
    }

    fn check(&self) {
        let row_bytes = self.format.row_bytes(self.columns).expect("rows are whole blocks");
        assert_eq!(self.bytes.len(), self.rows * row_bytes, "the bytes of {} rows", self.rows);
    }
}

/// `out = x w^T`: for every token, the dot product of its activations with every row; `out` is (tokens, rows).
///
/// `x` was set for this format and instruction set. The format is one that the core computes with
/// ([`Format::is_supported`]).
pub fn matmul(pool: &Pool, isa: Isa, weights: &Matrix, x: &Activations, out: &mut [f32]) {
    weights.check();
    assert_eq!(x.columns(), weights.columns, "activations fit the matrix");
    assert_eq!(out.len(), x.tokens() * weights.rows, "the output is (tokens, rows)");
    if out.is_empty() {
        return;
    }
    let product = Product { pool, isa, weights, x };
    with_packed!(weights.format, P => product.packed::<P>(out), _ => match weights.format {
        Format::F32 => product.floats::<F32>(out),
        Format::F16 => product.floats::<F16>(out),
        Format::BF16 => product.floats::<Bf16>(out),
        format => panic!("format {format} has no kernels"),
    });
}

/// The values of one row: an embedding. `out` has `columns` elements.
pub fn dequantize_row(weights: &Matrix, row: usize, out: &mut [f32]) {
    formats::dequantize(weights.format, weights.rows_from(row, 1), out).expect("a supported format and whole blocks");
}

#[derive(Clone, Copy)]
struct Product<'a> {
    pool: &'a Pool,
    isa: Isa,
    weights: &'a Matrix<'a>,
    x: &'a Activations,
}

impl Product<'_> {
    fn packed<P: Packed>(self, out: &mut [f32]) {
        let Self { isa, weights, .. } = self;
        let rounded = self.x.rounded(isa, P::FINE);
        let row_bytes = weights.row_bytes();
        if self.x.tiled() {
            let panels = Panels::new(out, weights.rows, self.rows_in_a_panel());
            let next = AtomicUsize::new(0);
            self.on_all_threads(panels.count(), &|| {
                let mut scratch = self.x.take_scratch();
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= panels.count() {
                        break;
                    }
                    let out = panels.claim(i);
                    let bytes = weights.rows_from(out.first(), out.width());
                    let scratch = &mut scratch;
                    isa.run(PanelOfRows { bytes, row_bytes, x: rounded, scratch, out, packed: PhantomData::<P> });
                }
                self.x.keep_scratch(scratch);
            });
        } else {
            let panels = Panels::new(out, weights.rows, self.rows_in_a_piece());
            self.each(panels.count(), &|i| {
                let out = panels.claim(i);
                let bytes = weights.rows_from(out.first(), out.width());
                isa.run(Rows { bytes, row_bytes, x: &rounded.spans, out, packed: PhantomData::<P> });
            });
        }
    }

    fn floats<F: Floats>(self, out: &mut [f32]) {
        let Self { isa, weights, .. } = self;
        let (x, columns) = (self.x.floats(), weights.columns);
        let width = if self.x.tokens() < TILED_FROM { self.rows_in_a_piece() } else { FLOAT_PANEL };
        let panels = Panels::new(out, weights.rows, width);
        self.each(panels.count(), &|i| {
            let out = panels.claim(i);
            let bytes = weights.rows_from(out.first(), out.width());
            isa.run(FloatRows { bytes, columns, x, out, floats: PhantomData::<F> });
        });
    }

    /// Rows that a thread takes at once where each row is read once: about `PIECE_BYTES`, and about as many for each
    /// thread.
    fn rows_in_a_piece(self) -> usize {
        let threads = self.pool.threads();
        let rounds = (self.weights.bytes.len() / (threads * PIECE_BYTES)).max(1);
        self.weights.rows.div_ceil(rounds * threads).next_multiple_of(LANES)
    }

    /// Rows that a thread unpacks at once for products in tiles: several tiles where enough panels remain for all.
    fn rows_in_a_panel(self) -> usize {
        let tile = self.isa.run(TileWidth);
        let enough = PANELS_FOR_EACH * self.pool.threads() * tile * PANEL_TILES;
        if self.weights.rows < enough { tile } else { tile * PANEL_TILES }
    }

    /// Whether other threads are worth waking.
    fn is_worth_threads(self) -> bool {
        self.weights.bytes.len() * self.x.tokens() >= PARALLEL_FROM_BYTES
    }

    /// All panels, on all threads if it is worth it.
    fn each(self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        if self.is_worth_threads() { self.pool.each(count, f) } else { (0..count).for_each(f) }
    }

    /// One call on every thread that `count` panels can keep busy and that is worth waking.
    fn on_all_threads(self, count: usize, f: &(dyn Fn() + Sync)) {
        if count > 1 && self.is_worth_threads() { self.pool.run(&|_| f()) } else { f() }
    }
}
