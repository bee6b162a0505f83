//! Products of a weight matrix, as the file holds it, with the activations of some tokens.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::activations::{Activations, TILED_FROM};
use super::decode::Rows;
use super::prefill::{PANEL_TILES, PanelOfRows, Scratch, TileWidth};
use super::unpacked::{Bf16, F16, F32, FloatRows, Floats};
use crate::formats::packed::{Packed, with_packed};
use crate::formats::{self, Format};
use crate::isa::{Isa, LANES, Panel, Panels, Pool};

/// Bytes of weights in the smallest piece of work for products with few tokens.
const PIECE_BYTES: usize = 256 * 1024;

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
    matmul_all(pool, isa, &mut [(*weights, out)], x);
}

/// Several products of the same activations, as [`matmul`] makes them, in one go: threads wait for each other once.
pub fn matmul_all(pool: &Pool, isa: Isa, products: &mut [(Matrix, &mut [f32])], x: &Activations) {
    let mut plan = Plan { isa, threads: pool.threads(), rows: 0, bytes: 0, x };
    for (weights, out) in &mut *products {
        weights.check();
        assert_eq!(x.columns(), weights.columns, "activations fit the matrix");
        assert_eq!(out.len(), x.tokens() * weights.rows, "the output is (tokens, rows)");
        plan.rows += weights.rows;
        plan.bytes += weights.bytes.len();
    }
    let products = products.iter_mut().filter(|(_, out)| !out.is_empty());
    let parts: Vec<Part> = products.map(|(weights, out)| plan.part(*weights, out)).collect();
    let count: usize = parts.iter().map(|part| part.count).sum();
    let next = AtomicUsize::new(0);
    // Long runs at first, which lie side by side in memory, and single pieces at the end, so that nobody waits long.
    let run_from = |first: usize| first + ((count - first) / (2 * plan.threads)).max(1);
    let claim = |first| (first < count).then(|| run_from(first));
    let work = |_| {
        let mut scratch = x.take_scratch();
        while let Ok(first) = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim) {
            let (mut start, end) = (0, run_from(first));
            for part in &parts {
                for i in first.max(start)..end.min(start + part.count) {
                    (part.make)(i - start, &mut scratch);
                }
                start += part.count;
            }
        }
        x.keep_scratch(scratch);
    };
    if count > 1 && plan.bytes * x.tokens() >= PARALLEL_FROM_BYTES { pool.run(&work) } else { work(0) }
}

/// The values of one row: an embedding. `out` has `columns` elements.
pub fn dequantize_row(weights: &Matrix, row: usize, out: &mut [f32]) {
    formats::dequantize(weights.format, weights.rows_from(row, 1), out).expect("a supported format and whole blocks");
}

/// Makes one piece of a product.
type MakePiece<'a> = dyn Fn(usize, &mut Scratch) + Sync + 'a;

/// One product, cut into pieces that any thread may make.
struct Part<'a> {
    count: usize,
    make: Box<MakePiece<'a>>,
}

impl<'a> Part<'a> {
    /// Pieces of `width` rows.
    fn of_rows(
        weights: Matrix<'a>,
        out: &'a mut [f32],
        width: usize,
        multiply: impl Fn(&[u8], Panel<f32>) + Sync + 'a,
    ) -> Self {
        let panels = Panels::new(out, weights.rows, width);
        let count = panels.count();
        let make = move |i, _: &mut Scratch| {
            let out = panels.claim(i);
            multiply(weights.rows_from(out.first(), out.width()), out);
        };
        Self { count, make: Box::new(make) }
    }
}

/// How products are cut into pieces.
#[derive(Clone, Copy)]
struct Plan<'a> {
    isa: Isa,
    threads: usize,
    /// Of all products together.
    rows: usize,
    /// Of all products together.
    bytes: usize,
    x: &'a Activations,
}

impl<'a> Plan<'a> {
    fn part(self, weights: Matrix<'a>, out: &'a mut [f32]) -> Part<'a> {
        with_packed!(weights.format, P => self.packed::<P>(weights, out), _ => match weights.format {
            Format::F32 => self.floats::<F32>(weights, out),
            Format::F16 => self.floats::<F16>(weights, out),
            Format::BF16 => self.floats::<Bf16>(weights, out),
            format => panic!("format {format} has no kernels"),
        })
    }

    fn packed<P: Packed>(self, weights: Matrix<'a>, out: &'a mut [f32]) -> Part<'a> {
        let x = self.x.rounded(self.isa, P::FINE);
        let row_bytes = weights.row_bytes();
        if self.x.tiled() {
            let panels = Panels::new(out, weights.rows, self.rows_in_a_panel());
            let count = panels.count();
            let next_panel = self.rows_in_a_panel() * row_bytes;
            let make = move |i, scratch: &mut Scratch| {
                let out = panels.claim(i);
                let bytes = weights.rows_from(out.first(), out.width());
                self.isa.run(PanelOfRows { bytes, row_bytes, next_panel, x, scratch, out, packed: PhantomData::<P> });
            };
            Part { count, make: Box::new(make) }
        } else {
            Part::of_rows(weights, out, rows_in_a_piece(&weights), move |bytes, out| {
                self.isa.run(Rows { bytes, row_bytes, x: &x.spans, out, packed: PhantomData::<P> });
            })
        }
    }

    fn floats<F: Floats>(self, weights: Matrix<'a>, out: &'a mut [f32]) -> Part<'a> {
        let (x, columns) = (self.x.floats(), weights.columns);
        let few = self.x.tokens() < TILED_FROM;
        let width = if few { rows_in_a_piece(&weights) } else { FLOAT_PANEL };
        Part::of_rows(weights, out, width, move |bytes, out| {
            self.isa.run(FloatRows { bytes, columns, x, out, floats: PhantomData::<F> });
        })
    }

    /// Rows that a thread unpacks at once for products in tiles: several tiles where enough panels remain for all.
    fn rows_in_a_panel(self) -> usize {
        let tile = self.isa.run(TileWidth);
        let enough = PANELS_FOR_EACH * self.threads * tile * PANEL_TILES;
        if self.rows < enough { tile } else { tile * PANEL_TILES }
    }
}

/// Rows of the smallest piece of work where each row is read once.
fn rows_in_a_piece(weights: &Matrix) -> usize {
    (PIECE_BYTES / weights.row_bytes().max(1)).next_multiple_of(LANES).max(LANES)
}
