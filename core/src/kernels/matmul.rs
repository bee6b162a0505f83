//! Products of a weight matrix, as the file holds it, with the activations of some tokens.

use super::Activations;
use crate::formats::{self, Format};
use crate::isa::{Isa, Panels, Pool};

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

    /// The bytes of row `row`.
    pub fn row(&self, row: usize) -> &'a [u8] {
        &self.bytes[row * self.row_bytes()..][..self.row_bytes()]
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
pub fn matmul(pool: &Pool, _isa: Isa, weights: &Matrix, x: &Activations, out: &mut [f32]) {
    weights.check();
    assert_eq!(x.columns(), weights.columns, "activations fit the matrix");
    assert_eq!(out.len(), x.tokens() * weights.rows, "the output is (tokens, rows)");
    if out.is_empty() {
        return;
    }
    let panels = Panels::new(out, weights.rows, 16);
    pool.each(panels.count(), &|i| {
        let mut panel = panels.claim(i);
        let mut row = vec![0.0; weights.columns];
        for r in 0..panel.width() {
            dequantize_row(weights, panel.first() + r, &mut row);
            for token in 0..x.tokens() {
                panel.row(token)[r] = row.iter().zip(x.token(token)).map(|(w, x)| w * x).sum();
            }
        }
    });
}

/// The values of one row: an embedding. `out` has `columns` elements.
pub fn dequantize_row(weights: &Matrix, row: usize, out: &mut [f32]) {
    formats::dequantize(weights.format, weights.row(row), out).expect("a supported format and whole blocks");
}
