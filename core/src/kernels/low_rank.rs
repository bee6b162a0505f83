//! Products with matrices of few columns, added to what is there: the second half of what an adapter does.

use std::marker::PhantomData;

use super::Matrix;
use super::unpacked::{Bf16, F16, F32, Floats};
use crate::error::Result;
use crate::formats::{self, Format};
use crate::isa::{Isa, Kernel, LANES, Panel, Panels, Pool, Simd};
use crate::model::memory;

/// Fewer multiply-adds are not worth waking another thread.
const PARALLEL_FROM: usize = 1 << 15;

/// Pieces for each thread.
const PIECES: usize = 4;

/// Rows of a piece, from the fewest that are worth claiming to the most whose weights stay in a cache.
const WIDTHS: (usize, usize) = (4 * LANES, 32 * LANES);

/// Tokens that meet a vector of weights once it is loaded.
const TOKENS: usize = 4;

/// A matrix of few columns, in groups of 16 rows that lie side by side: (groups, columns, 16), zero behind the last row.
/// So a product needs no sums across lanes, whose number is that of rows.
#[derive(Clone, Debug)]
pub(crate) struct NarrowMatrix {
    /// F32, F16 or BF16.
    format: Format,
    rows: usize,
    columns: usize,
    bytes: Vec<u8>,
}

/// What is added to one output: the sum of several products.
pub(crate) struct Addition<'a> {
    /// (tokens, rows)
    pub(crate) out: &'a mut [f32],
    /// Matrices of as many rows, and what each is multiplied with, (tokens, columns).
    pub(crate) products: Vec<(&'a NarrowMatrix, &'a [f32])>,
}

impl NarrowMatrix {
    /// A copy of a matrix; floats stay as they are stored, everything else becomes f32.
    pub(crate) fn new(matrix: &Matrix) -> Result<Self> {
        let (rows, columns) = (matrix.rows, matrix.columns);
        let is_float = matches!(matrix.format, Format::F32 | Format::F16 | Format::BF16);
        let format = if is_float { matrix.format } else { Format::F32 };
        let size = format.block_bytes();
        let length = rows.next_multiple_of(LANES).saturating_mul(columns).saturating_mul(size);
        let mut bytes = memory::zeros(length, "an adapter")?;
        let mut floats = memory::zeros(if is_float { 0 } else { columns }, "an adapter")?;
        let mut widened = Vec::new();
        for row in 0..rows {
            let mut values = matrix.rows_from(row, 1);
            if !is_float {
                formats::dequantize(matrix.format, values, &mut floats)?;
                widened.clear();
                widened.extend(floats.iter().flat_map(|x| x.to_le_bytes()));
                values = &widened;
            }
            let start = (row / LANES * columns * LANES + row % LANES) * size;
            let places = bytes[start..].chunks_mut(LANES * size);
            places.zip(values.chunks_exact(size)).for_each(|(place, value)| place[..size].copy_from_slice(value));
        }
        Ok(Self { format, rows, columns, bytes })
    }

    /// Number of inputs.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of the copy.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn add(&self, isa: Isa, x: &[f32], out: &mut Panel<f32>) {
        match self.format {
            Format::F16 => isa.run(AddProduct { matrix: self, x, out, floats: PhantomData::<F16> }),
            Format::BF16 => isa.run(AddProduct { matrix: self, x, out, floats: PhantomData::<Bf16> }),
            _ => isa.run(AddProduct { matrix: self, x, out, floats: PhantomData::<F32> }),
        }
    }
}

/// Adds products to several outputs. A token's result does not depend, bit for bit, on the others.
pub(crate) fn add_products(pool: &Pool, isa: Isa, additions: Vec<Addition>) {
    let rows = |addition: &Addition| addition.products.first().map_or(0, |(matrix, _)| matrix.rows);
    let total: usize = additions.iter().map(rows).sum();
    let width = (total / (PIECES * pool.threads())).next_multiple_of(LANES).clamp(WIDTHS.0, WIDTHS.1);
    let (mut work, mut parts) = (0, Vec::new());
    for addition in additions.into_iter().filter(|addition| !addition.products.is_empty()) {
        for (matrix, x) in &addition.products {
            assert_eq!(addition.out.len() * matrix.columns, x.len() * matrix.rows, "as many inputs as outputs");
            work += matrix.rows * x.len();
        }
        let rows = rows(&addition);
        parts.push((Panels::new(addition.out, rows, width), addition.products));
    }
    let count = parts.iter().map(|(panels, _)| panels.count()).sum();
    let piece = |mut i: usize| {
        for (panels, products) in &parts {
            if i < panels.count() {
                let mut panel = panels.claim(i);
                for (matrix, x) in products {
                    matrix.add(isa, x, &mut panel);
                }
                return;
            }
            i -= panels.count();
        }
    };
    if work >= PARALLEL_FROM { pool.each(count, &piece) } else { (0..count).for_each(piece) }
}

/// Some rows of a matrix times all tokens.
struct AddProduct<'a, 'b, F> {
    matrix: &'a NarrowMatrix,
    /// (tokens, columns)
    x: &'a [f32],
    /// (tokens, rows), from a whole group on.
    out: &'a mut Panel<'b, f32>,
    floats: PhantomData<F>,
}

impl<F: Floats> Kernel for AddProduct<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let tokens = self.out.rows();
        let mut token = 0;
        while token + TOKENS <= tokens {
            self.add::<S, TOKENS>(simd, token);
            token += TOKENS;
        }
        while token < tokens {
            self.add::<S, 1>(simd, token);
            token += 1;
        }
    }
}

impl<F: Floats> AddProduct<'_, '_, F> {
    /// All groups times `T` tokens. One sum for each output, in the order of the columns.
    #[inline(always)]
    fn add<S: Simd, const T: usize>(&mut self, simd: S, token: usize) {
        let (columns, width) = (self.matrix.columns, self.out.width());
        let x = &self.x[token * columns..][..T * columns];
        let first = self.out.first() * columns * F::BYTES;
        let groups = self.matrix.bytes[first..].chunks_exact(columns * LANES * F::BYTES);
        for (row, group) in (0..width).step_by(LANES).zip(groups) {
            let end = width.min(row + LANES);
            let mut sums = [simd.splat(0.0); T];
            for t in 0..T {
                sums[t] = simd.load_partial(&self.out.row(token + t)[row..end]);
            }
            for (column, weights) in group.chunks_exact(LANES * F::BYTES).enumerate() {
                let weights = F::load(simd, weights);
                for t in 0..T {
                    sums[t] = simd.mul_add(weights, simd.splat(x[t * columns + column]), sums[t]);
                }
            }
            for t in 0..T {
                simd.store_partial(sums[t], &mut self.out.row(token + t)[row..end]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, step: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * step + 0.3).sin()).collect()
    }

    fn stored(format: Format, values: &[f32]) -> Vec<u8> {
        match format {
            Format::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Format::BF16 => values.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect(),
            // Random bits, but for the exponents' highest, so that all numbers are small.
            format => (0..format.row_bytes(values.len()).unwrap()).map(|i| (i * 37 % 251) as u8 & 0xbf).collect(),
        }
    }

    #[test]
    fn products_are_added_as_the_oracle_says_at_every_size() {
        for isa in Isa::available() {
            for format in [Format::F32, Format::F16, Format::BF16, Format::Q8_0] {
                for (rows, columns, tokens) in [(1, 1_usize, 1), (15, 3, 2), (16, 4, 4), (70, 17, 5), (600, 32, 9)] {
                    let columns = columns.next_multiple_of(format.block_values());
                    let bytes = stored(format, &values(rows * columns, 0.7));
                    let mut weights = vec![0.0; rows * columns];
                    formats::dequantize(format, &bytes, &mut weights).unwrap();
                    let (x, out) = (values(tokens * columns, 0.3), values(tokens * rows, 0.9));
                    let matrix = NarrowMatrix::new(&Matrix { format, rows, columns, bytes: &bytes }).unwrap();
                    let mut found = out.clone();
                    let products = vec![(&matrix, &x[..]), (&matrix, &x[..])];
                    add_products(&Pool::new(2), isa, vec![Addition { out: &mut found, products }]);
                    for (i, found) in found.into_iter().enumerate() {
                        let (x, w) = (&x[i / rows * columns..][..columns], &weights[i % rows * columns..][..columns]);
                        let products = x.iter().zip(w).map(|(&x, &w)| 2.0 * f64::from(x) * f64::from(w));
                        let magnitude: f64 = products.clone().map(f64::abs).sum::<f64>() + 1.0;
                        let expected = f64::from(out[i]) + products.sum::<f64>();
                        assert!((f64::from(found) - expected).abs() < 1e-6 * magnitude, "{} {format} {i}", isa.name());
                    }
                }
            }
        }
    }

    #[test]
    fn a_token_has_the_same_bits_alone_and_with_others_on_any_number_of_threads() {
        let (rows, columns, tokens) = (1000, 19, 23);
        let (weights, x) = (stored(Format::F32, &values(rows * columns, 0.7)), values(tokens * columns, 0.3));
        let matrix = NarrowMatrix::new(&Matrix { format: Format::F32, rows, columns, bytes: &weights }).unwrap();
        for isa in Isa::available() {
            let add = |pool: &Pool, x: &[f32]| {
                let mut out = vec![0.5; x.len() / columns * rows];
                add_products(pool, isa, vec![Addition { out: &mut out, products: vec![(&matrix, x)] }]);
                out
            };
            let alone: Vec<f32> = x.chunks(columns).flat_map(|x| add(&Pool::new(1), x)).collect();
            assert!(add(&Pool::new(3), &x) == alone, "{}", isa.name());
        }
    }
}
