//! Products with weights that are floats: `f32`, `f16` and `bf16`, widened as they are loaded.

use std::marker::PhantomData;

use super::activations::TILED_FROM;
use crate::isa::{Kernel, LANES, Panel, Simd};

/// Tokens that stay in the second-level cache while a panel of rows meets them.
const TOKEN_BLOCK: usize = 32;

/// A float format.
pub(super) trait Floats: 'static {
    /// Bytes of a value.
    const BYTES: usize;
    /// 16 values.
    fn load<S: Simd>(simd: S, bytes: &[u8]) -> S::F32;
}

/// `f32`
pub(super) struct F32;
/// `f16`
pub(super) struct F16;
/// `bf16`
pub(super) struct Bf16;

impl Floats for F32 {
    const BYTES: usize = 4;
    #[inline(always)]
    fn load<S: Simd>(simd: S, bytes: &[u8]) -> S::F32 {
        simd.f32_from_bytes(simd.load_bytes(bytes))
    }
}

impl Floats for F16 {
    const BYTES: usize = 2;
    #[inline(always)]
    fn load<S: Simd>(simd: S, bytes: &[u8]) -> S::F32 {
        simd.load_f16_bytes(bytes)
    }
}

impl Floats for Bf16 {
    const BYTES: usize = 2;
    #[inline(always)]
    fn load<S: Simd>(simd: S, bytes: &[u8]) -> S::F32 {
        simd.load_bf16_bytes(bytes)
    }
}

/// Some rows times all tokens.
pub(super) struct FloatRows<'a, F> {
    /// Whole rows, as many as the panel is wide.
    pub(super) bytes: &'a [u8],
    pub(super) columns: usize,
    /// (tokens, columns padded to whole vectors)
    pub(super) x: &'a [f32],
    /// (tokens, rows)
    pub(super) out: Panel<'a, f32>,
    pub(super) floats: PhantomData<F>,
}

impl<F: Floats> Kernel for FloatRows<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (tokens, rows) = (self.out.rows(), self.out.width());
        for first in (0..tokens).step_by(TOKEN_BLOCK) {
            let end = tokens.min(first + TOKEN_BLOCK);
            let mut row = 0;
            // Several rows side by side cost bandwidth and save loads.
            if const { S::TILE_ROWS > 1 } && tokens >= TILED_FROM {
                while row + 4 <= rows {
                    let mut t = first;
                    while t + 4 <= end {
                        self.multiply::<S, 4, 4, 1>(simd, row, t);
                        t += 4;
                    }
                    while t < end {
                        self.multiply::<S, 4, 1, 1>(simd, row, t);
                        t += 1;
                    }
                    row += 4;
                }
            }
            while row < rows {
                let mut t = first;
                // The same two sums for one token and for several: a token's result does not depend on its company.
                while t + 4 <= end {
                    self.multiply::<S, 1, 4, 2>(simd, row, t);
                    t += 4;
                }
                while t < end {
                    self.multiply::<S, 1, 1, 2>(simd, row, t);
                    t += 1;
                }
                row += 1;
            }
        }
    }
}

impl<F: Floats> FloatRows<'_, F> {
    /// `R` rows from `row` on times `T` tokens from `t` on; `U` sums each, so that additions need not wait.
    #[inline(always)]
    fn multiply<S: Simd, const R: usize, const T: usize, const U: usize>(&mut self, simd: S, row: usize, t: usize) {
        let (columns, padded) = (self.columns, self.columns.next_multiple_of(LANES));
        let whole = columns / LANES * LANES;
        let mut w: [&[u8]; R] = [&[]; R];
        for i in 0..R {
            w[i] = &self.bytes[(row + i) * columns * F::BYTES..][..columns * F::BYTES];
        }
        let mut x: [&[f32]; T] = [&[]; T];
        for j in 0..T {
            x[j] = &self.x[(t + j) * padded..][..padded];
        }
        let mut sums = [[[simd.splat(0.0); T]; R]; U];
        let mut k = 0;
        while k + U * LANES <= whole {
            for u in 0..U {
                add::<S, F, R, T>(simd, &w, &x, k + u * LANES, &mut sums[u]);
            }
            for w in w {
                simd.prefetch_stream(&w[k * F::BYTES..][..U * LANES * F::BYTES]);
            }
            k += U * LANES;
        }
        while k < whole {
            add::<S, F, R, T>(simd, &w, &x, k, &mut sums[0]);
            k += LANES;
        }
        if whole < columns {
            let mut ends = [[0; 4 * LANES]; R];
            let mut w_ends: [&[u8]; R] = [&[]; R];
            for ((end, w_end), w) in ends.iter_mut().zip(&mut w_ends).zip(w) {
                let rest = &w[whole * F::BYTES..];
                end[..rest.len()].copy_from_slice(rest);
                *w_end = end;
            }
            for x in &mut x {
                *x = &x[whole..];
            }
            add::<S, F, R, T>(simd, &w_ends, &x, 0, &mut sums[0]);
        }
        for j in 0..T {
            for i in 0..R {
                let mut sum = sums[0][i][j];
                for sums in &sums[1..] {
                    sum = simd.add(sum, sums[i][j]);
                }
                self.out.row(t + j)[row + i] = simd.reduce_add(sum);
            }
        }
    }
}

/// Adds the products of 16 columns from `k` on.
#[inline(always)]
fn add<S: Simd, F: Floats, const R: usize, const T: usize>(
    simd: S,
    w: &[&[u8]; R],
    x: &[&[f32]; T],
    k: usize,
    sums: &mut [[S::F32; T]; R],
) {
    let mut tokens = [simd.splat(0.0); T];
    for j in 0..T {
        tokens[j] = simd.load(&x[j][k..]);
    }
    for i in 0..R {
        let row = F::load(simd, &w[i][k * F::BYTES..]);
        for j in 0..T {
            sums[i][j] = simd.mul_add(row, tokens[j], sums[i][j]);
        }
    }
}
