//! Steps of a layer that work on floats: norms, softmax, activations, and the vector operations that attention uses.
//!
//! The functions that take a `simd` are for use inside kernels; those that take an [`Isa`] run by themselves.

use crate::isa::{Isa, Kernel, LANES, Simd};

/// Sum of the products of two slices of the same length.
#[inline(always)]
pub fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "two vectors of the same length");
    // Four sums, so that additions need not wait for each other.
    let mut sums = [simd.splat(0.0); 4];
    let (a_fours, a_rest) = a.as_chunks::<{ 4 * LANES }>();
    let (b_fours, b_rest) = b.as_chunks::<{ 4 * LANES }>();
    for (a, b) in a_fours.iter().zip(b_fours) {
        for i in 0..4 {
            sums[i] = simd.mul_add(simd.load(&a[LANES * i..]), simd.load(&b[LANES * i..]), sums[i]);
        }
    }
    for (a, b) in a_rest.chunks(LANES).zip(b_rest.chunks(LANES)) {
        sums[0] = simd.mul_add(simd.load_partial(a), simd.load_partial(b), sums[0]);
    }
    simd.reduce_add(simd.add(simd.add(sums[0], sums[1]), simd.add(sums[2], sums[3])))
}

/// `y += scale * x`
#[inline(always)]
pub fn axpy<S: Simd>(simd: S, scale: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "two vectors of the same length");
    let scale = simd.splat(scale);
    for (x, y) in x.chunks(LANES).zip(y.chunks_mut(LANES)) {
        simd.store_partial(simd.mul_add(scale, simd.load_partial(x), simd.load_partial(y)), y);
    }
}

/// `x *= scale`
#[inline(always)]
pub fn scale<S: Simd>(simd: S, scale: f32, x: &mut [f32]) {
    let scale = simd.splat(scale);
    for x in x.chunks_mut(LANES) {
        simd.store_partial(simd.mul(scale, simd.load_partial(x)), x);
    }
}

/// The largest element; minus infinity if there is none.
#[inline(always)]
pub fn largest<S: Simd>(simd: S, x: &[f32]) -> f32 {
    let (whole, rest) = x.as_chunks::<LANES>();
    let mut largest = simd.splat(f32::NEG_INFINITY);
    for x in whole {
        largest = simd.max(largest, simd.load(x));
    }
    let largest = simd.reduce_max(largest);
    rest.iter().fold(largest, |a, &b| a.max(b))
}

/// Replaces `x` by `e^(x - shift)` and gives the sum.
#[inline(always)]
pub fn exp_and_sum<S: Simd>(simd: S, shift: f32, x: &mut [f32]) -> f32 {
    let shift = simd.splat(shift);
    let mut sum = simd.splat(0.0);
    let (whole, rest) = x.as_chunks_mut::<LANES>();
    for x in whole {
        let e = simd.exp(simd.sub(simd.load(x), shift));
        simd.store(e, x);
        sum = simd.add(sum, e);
    }
    let sum = simd.reduce_add(sum);
    simd.store_partial(simd.exp(simd.sub(simd.load_partial(rest), shift)), rest);
    rest.iter().fold(sum, |a, b| a + b)
}

/// Probabilities in place of scores: `e^x / sum(e^x)`, without overflow.
#[inline(always)]
pub fn softmax<S: Simd>(simd: S, x: &mut [f32]) {
    let sum = exp_and_sum(simd, largest(simd, x), x);
    scale(simd, 1.0 / sum, x);
}

/// `1 / (1 + e^-x)`
#[inline(always)]
pub fn sigmoid<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let one = simd.splat(1.0);
    simd.div(one, simd.add(one, simd.exp(simd.sub(simd.splat(0.0), x))))
}

/// How the gate of a feed-forward network is bent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// `x / (1 + e^-x)`
    Silu,
    /// The tanh form of GELU: `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`
    Gelu,
}

/// `out = x / sqrt(mean(x^2) + epsilon) * weight`, for each row of `weight.len()` elements.
pub fn rms_norm(isa: Isa, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "as many outputs as inputs");
    isa.run(RmsNorm { x, weight, epsilon, out });
}

/// `gate = bend(gate) * up`: what the down projection of a gated feed-forward network reads.
pub fn gated(isa: Isa, bend: Gate, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "as many gates as values");
    isa.run(Gated { bend, gate, up });
}

/// `x = bend(x)`: what the down projection of a feed-forward network without a gate reads.
pub fn activate(isa: Isa, bend: Gate, x: &mut [f32]) {
    isa.run(Activate { bend, x });
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    out: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        if width == 0 {
            return;
        }
        for (x, out) in self.x.chunks_exact(width).zip(self.out.chunks_exact_mut(width)) {
            let factor = simd.splat(1.0 / (dot(simd, x, x) / width as f32 + self.epsilon).sqrt());
            let parts = x.chunks(LANES).zip(self.weight.chunks(LANES)).zip(out.chunks_mut(LANES));
            for ((x, weight), out) in parts {
                let normed = simd.mul(simd.load_partial(x), factor);
                simd.store_partial(simd.mul(normed, simd.load_partial(weight)), out);
            }
        }
    }
}

struct Gated<'a> {
    bend: Gate,
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl Kernel for Gated<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (gate, up) in self.gate.chunks_mut(LANES).zip(self.up.chunks(LANES)) {
            let bent = bent(simd, self.bend, simd.load_partial(gate));
            simd.store_partial(simd.mul(bent, simd.load_partial(up)), gate);
        }
    }
}

struct Activate<'a> {
    bend: Gate,
    x: &'a mut [f32],
}

impl Kernel for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for x in self.x.chunks_mut(LANES) {
            simd.store_partial(bent(simd, self.bend, simd.load_partial(x)), x);
        }
    }
}

/// A vector of values, bent.
#[inline(always)]
fn bent<S: Simd>(simd: S, bend: Gate, x: S::F32) -> S::F32 {
    let argument = match bend {
        Gate::Silu => x,
        Gate::Gelu => {
            // (1 + tanh(y)) / 2 = sigmoid(2 y), and 2 sqrt(2 / pi) = 1.595769.
            let cubic = simd.mul_add(simd.mul(x, x), simd.splat(0.044_715), simd.splat(1.0));
            simd.mul(simd.mul(x, simd.splat(1.595_769)), cubic)
        }
    };
    simd.mul(x, sigmoid(simd, argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 9] = [0, 1, 15, 16, 17, 63, 64, 65, 300];

    fn wave(length: usize, step: f32) -> Vec<f32> {
        (0..length).map(|i| (i as f32 * step + 0.3).sin() * 4.0).collect()
    }

    fn assert_close(found: &[f32], expected: impl IntoIterator<Item = f64>, isa: Isa) {
        for (i, (&found, expected)) in found.iter().zip(expected).enumerate() {
            let tolerance = 2e-6 * expected.abs().max(0.1);
            assert!((f64::from(found) - expected).abs() <= tolerance, "{}, {i}: {found} {expected}", isa.name());
        }
    }

    enum Step {
        Dot,
        Axpy,
        Softmax,
    }

    struct Run<'a>(Step, &'a [f32], &'a mut Vec<f32>);

    impl Kernel for Run<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            match self.0 {
                Step::Dot => *self.2 = vec![dot(simd, self.1, self.2)],
                Step::Axpy => axpy(simd, 0.75, self.1, self.2),
                Step::Softmax => softmax(simd, self.2),
            }
        }
    }

    #[test]
    fn vector_operations_match_their_definition_at_every_length() {
        for isa in Isa::available() {
            for length in LENGTHS {
                let (x, y) = (wave(length, 0.7), wave(length, 0.3));
                let mut out = y.clone();
                isa.run(Run(Step::Dot, &x, &mut out));
                let products = || x.iter().zip(&y).map(|(&x, &y)| f64::from(x) * f64::from(y));
                let magnitude: f64 = products().map(f64::abs).sum();
                assert!((f64::from(out[0]) - products().sum::<f64>()).abs() <= 1e-6 * magnitude, "{}", isa.name());

                let mut out = y.clone();
                isa.run(Run(Step::Axpy, &x, &mut out));
                assert_close(&out, x.iter().zip(&y).map(|(&x, &y)| 0.75 * f64::from(x) + f64::from(y)), isa);

                let mut out = y.clone();
                isa.run(Run(Step::Softmax, &x, &mut out));
                let sum: f64 = y.iter().map(|&y| f64::from(y).exp()).sum();
                assert_close(&out, y.iter().map(|&y| f64::from(y).exp() / sum), isa);
            }
        }
    }

    #[test]
    fn rms_norm_matches_its_definition_row_by_row() {
        for isa in Isa::available() {
            for width in [1, 15, 16, 48, 100] {
                let (x, weight) = (wave(3 * width, 0.9), wave(width, 0.2));
                let mut out = vec![0.0; 3 * width];
                rms_norm(isa, &x, &weight, 1e-5, &mut out);
                let expected = x.chunks(width).flat_map(|row| {
                    let mean = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / width as f64;
                    let factor = 1.0 / (mean + 1e-5).sqrt();
                    row.iter().zip(&weight).map(move |(&x, &w)| f64::from(x) * factor * f64::from(w))
                });
                assert_close(&out, expected, isa);
            }
        }
    }

    #[test]
    fn gates_match_their_definition() {
        for isa in Isa::available() {
            for length in LENGTHS {
                let (gate, up) = (wave(length, 1.1), wave(length, 0.5));
                let silu = |x: f64| x / (1.0 + (-x).exp());
                let gelu = |x: f64| {
                    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
                };
                for (bend, definition) in [(Gate::Silu, &silu as &dyn Fn(f64) -> f64), (Gate::Gelu, &gelu)] {
                    let mut out = gate.clone();
                    gated(isa, bend, &mut out, &up);
                    let expected = gate.iter().zip(&up).map(|(&g, &u)| definition(f64::from(g)) * f64::from(u));
                    assert_close(&out, expected, isa);
                    let mut out = gate.clone();
                    activate(isa, bend, &mut out);
                    assert_close(&out, gate.iter().map(|&g| definition(f64::from(g))), isa);
                }
            }
        }
    }
}
