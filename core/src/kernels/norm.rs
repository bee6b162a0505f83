//! Norms, activations and sums over the rows of a chunk, on all threads where there is enough to do.

use super::float::{self, Gate};
use crate::isa::{Chunks, Isa, Kernel, LANES, Pool, Simd};

/// Work on fewer values in all is not worth waking another thread.
const PARALLEL_FROM: usize = 1 << 15;

/// Writes `x / sqrt(mean(x²) + epsilon) * weight` for every row of `weight.len()` values.
///
/// Source: Zhang and Sennrich 2019, arXiv 1910.07467.
pub(crate) fn rms_norm(pool: &Pool, isa: Isa, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let columns = weight.len();
    rows(pool, out, columns, &|row, out| float::rms_norm(isa, &x[row * columns..][..columns], weight, epsilon, out));
}

/// The same in place, for every `weight.len()` values of rows of `columns`.
pub(crate) fn rms_norm_in_place(pool: &Pool, isa: Isa, x: &mut [f32], columns: usize, weight: &[f32], epsilon: f32) {
    rows(pool, x, columns, &|_, x| isa.run(NormInPlace { x, weight, epsilon }));
}

struct NormInPlace<'a> {
    x: &'a mut [f32],
    weight: &'a [f32],
    epsilon: f32,
}

impl Kernel for NormInPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        for x in self.x.chunks_exact_mut(width) {
            let factor = simd.splat(1.0 / (float::dot(simd, x, x) / width as f32 + self.epsilon).sqrt());
            for (x, weight) in x.chunks_mut(LANES).zip(self.weight.chunks(LANES)) {
                let normed = simd.mul(simd.load_partial(x), factor);
                simd.store_partial(simd.mul(normed, simd.load_partial(weight)), x);
            }
        }
    }
}

/// Replaces every row of `weight.len()` values by `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
///
/// Source: Ba et al. 2016, arXiv 1607.06450.
pub(crate) fn layer_norm(pool: &Pool, isa: Isa, x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    rows(pool, x, weight.len(), &|_, x| isa.run(LayerNorm { x, weight, bias, epsilon }));
}

struct LayerNorm<'a> {
    x: &'a mut [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.x.len() as f32;
        let mut sum = simd.splat(0.0);
        for x in self.x.chunks(LANES) {
            sum = simd.add(sum, simd.load_partial(x));
        }
        let mean = simd.splat(simd.reduce_add(sum) / width);
        for x in self.x.chunks_mut(LANES) {
            simd.store_partial(simd.sub(simd.load_partial(x), mean), x);
        }
        let factor = simd.splat(1.0 / (float::dot(simd, self.x, self.x) / width + self.epsilon).sqrt());
        for ((x, weight), bias) in self.x.chunks_mut(LANES).zip(self.weight.chunks(LANES)).zip(self.bias.chunks(LANES))
        {
            let scale = simd.mul(simd.load_partial(weight), factor);
            simd.store_partial(simd.mul_add(simd.load_partial(x), scale, simd.load_partial(bias)), x);
        }
    }
}

/// Replaces every value by `bend(value)`, `columns` of them at a time.
pub(crate) fn activate(pool: &Pool, isa: Isa, bend: Gate, x: &mut [f32], columns: usize) {
    rows(pool, x, columns, &|_, x| float::activate(isa, bend, x));
}

/// Replaces `gate` by `bend(gate) * up`, both of `columns` values per row.
pub(crate) fn gated(pool: &Pool, isa: Isa, bend: Gate, gate: &mut [f32], up: &[f32], columns: usize) {
    rows(pool, gate, columns, &|row, gate| float::gated(isa, bend, gate, &up[row * columns..][..columns]));
}

/// Adds `bias` to every row.
pub(crate) fn add_bias(pool: &Pool, x: &mut [f32], bias: &[f32]) {
    rows(pool, x, bias.len(), &|_, x| add_row(x, bias));
}

/// Adds `y` to `x`, both of `columns` values per row.
pub(crate) fn add(pool: &Pool, x: &mut [f32], y: &[f32], columns: usize) {
    rows(pool, x, columns, &|row, x| add_row(x, &y[row * columns..]));
}

fn add_row(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// Bends values towards ±cap.
pub(crate) fn soft_cap(pool: &Pool, isa: Isa, x: &mut [f32], cap: f32) {
    rows(pool, x, 4096, &|_, x| isa.run(SoftCap { x, cap }));
}

struct SoftCap<'a> {
    x: &'a mut [f32],
    cap: f32,
}

impl Kernel for SoftCap<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        bend(simd, self.x, self.cap);
    }
}

/// `cap * tanh(x / cap)`.
#[inline(always)]
pub(crate) fn bend<S: Simd>(simd: S, x: &mut [f32], cap: f32) {
    let (one, two, double) = (simd.splat(1.0), simd.splat(2.0), simd.splat(2.0 / cap));
    for x in x.chunks_mut(LANES) {
        // tanh(x) = 1 - 2 / (exp(2 x) + 1)
        let exp = simd.exp(simd.mul(simd.load_partial(x), double));
        let tanh = simd.sub(one, simd.div(two, simd.add(exp, one)));
        simd.store_partial(simd.mul(simd.splat(cap), tanh), x);
    }
}

/// Calls `f(row number, row)` for every row, on all threads where there is enough to do.
pub(crate) fn rows(pool: &Pool, x: &mut [f32], columns: usize, f: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    if x.len() < PARALLEL_FROM {
        x.chunks_mut(columns).enumerate().for_each(|(row, x)| f(row, x));
        return;
    }
    let chunks = Chunks::new(x, columns);
    pool.each(chunks.count(), &|row| f(row, chunks.claim(row)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_in_place_is_the_norm_of_each_part() {
        let (pool, epsilon) = (Pool::new(2), 1e-6);
        for isa in Isa::available() {
            for (width, parts, count) in [(1, 1, 3), (15, 2, 1), (64, 8, 2), (288, 1, 200)] {
                let x: Vec<f32> = (0..width * parts * count).map(|i| (i as f32 * 0.37).sin() + 0.2).collect();
                let weight: Vec<f32> = (0..width).map(|i| 1.0 + i as f32 / 7.0).collect();
                let mut out = vec![0.0; x.len()];
                rms_norm(&pool, isa, &x, &weight, epsilon, &mut out);
                let mut in_place = x.clone();
                rms_norm_in_place(&pool, isa, &mut in_place, width * parts, &weight, epsilon);
                for (i, x) in x.iter().enumerate() {
                    let part = &out[i / width * width..][..width];
                    assert_eq!(in_place[i], part[i % width], "{} {x}", isa.name());
                }
            }
        }
    }

    #[test]
    fn a_layer_norm_is_its_formula_at_every_length() {
        for isa in Isa::available() {
            for (width, count) in [(1, 2), (15, 1), (16, 3), (384, 100)] {
                let x: Vec<f32> = (0..width * count).map(|i| (i as f32 * 0.37).sin() * 3.0 + 2.0).collect();
                let weight: Vec<f32> = (0..width).map(|i| 1.0 + i as f32 / 7.0).collect();
                let bias: Vec<f32> = (0..width).map(|i| i as f32 / 5.0 - 1.0).collect();
                let mut found = x.clone();
                layer_norm(&Pool::new(2), isa, &mut found, &weight, &bias, 1e-5);
                for (row, found) in x.chunks_exact(width).zip(found.chunks_exact(width)) {
                    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
                    let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / width as f64;
                    for (i, (&x, &found)) in row.iter().zip(found).enumerate() {
                        let normed = (f64::from(x) - mean) / (variance + 1e-5).sqrt();
                        let expected = normed * f64::from(weight[i]) + f64::from(bias[i]);
                        let tolerance = 1e-4 * expected.abs().max(1.0);
                        assert!((f64::from(found) - expected).abs() < tolerance, "{}: {found} {expected}", isa.name());
                    }
                }
            }
        }
    }

    #[test]
    fn work_on_many_threads_gives_what_one_thread_gives() {
        let (columns, count) = (1000, 100);
        let x: Vec<f32> = (0..columns * count).map(|i| (i as f32).sin()).collect();
        let run = |threads| {
            let mut gate = x.clone();
            gated(&Pool::new(threads), Isa::detect(), Gate::Silu, &mut gate, &x, columns);
            add(&Pool::new(threads), &mut gate, &x, columns);
            soft_cap(&Pool::new(threads), Isa::detect(), &mut gate, 0.5);
            gate
        };
        assert_eq!(run(1), run(3));
        assert!(run(1).iter().all(|x| x.abs() < 0.5));
    }

    #[test]
    fn a_soft_cap_is_the_tangent_of_its_formula() {
        for isa in Isa::available() {
            let x: Vec<f32> = (0..37).map(|i| (i as f32 - 18.0) * 3.0).collect();
            let mut capped = x.clone();
            soft_cap(&Pool::new(1), isa, &mut capped, 30.0);
            for (capped, x) in capped.iter().zip(x) {
                assert!((capped - 30.0 * (x / 30.0).tanh()).abs() < 1e-5, "{} {x}: {capped}", isa.name());
            }
        }
    }
}
