//! From rows of floats to blocks: sixteen groups of values at a time, side by side, so that the lanes of a vector are groups.
//!
//! Quantizers multiply and add in two steps, never in one, and sum within a lane only: each instruction set finds the same
//! blocks, bit for bit.

use super::packed::Packed;
use super::{Format, f16};
use crate::isa::{Isa, Kernel, LANES, Simd};

/// Ranges, sums of weights and scales below this are taken as zero.
pub(super) const TINY: f32 = 1e-30;

/// The largest weight that formats with a half-precision scale are given.
pub(super) const LARGEST_HALF: f32 = 65504.0;

/// Rows on their way into blocks.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// The values of whole rows, as little-endian f32: vectors load and transpose bytes.
    pub values: &'a [u8],
    /// What the squared error of each column weighs, as little-endian f32.
    pub importance: Option<&'a [u8]>,
}

/// Sixteen groups of a row, or of several; the last are zeros where the rows end.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    /// Little-endian f32.
    pub(super) values: &'a [u8],
    /// Little-endian f32, one per value.
    pub(super) importance: Option<&'a [u8]>,
}

/// A format whose blocks are found from sixteen groups of [`Packed::GROUP`] values.
pub(super) trait Quantizer: Packed {
    /// Which format it is.
    const FORMAT: Format;

    /// Finds the blocks of a batch; `out` holds them all.
    fn quantize<S: Simd>(simd: S, batch: Batch, out: &mut [u8]);
}

/// Quantizes rows of whole blocks, batch by batch.
pub(super) fn quantize<Q: Quantizer>(isa: Isa, rows: Rows, out: &mut [u8]) {
    isa.run(EachBatch::<Q>(rows, out, std::marker::PhantomData));
}

struct EachBatch<'a, Q>(Rows<'a>, &'a mut [u8], std::marker::PhantomData<Q>);

impl<Q: Quantizer> Kernel for EachBatch<'_, Q> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self(Rows { values, importance }, out, _) = self;
        let batch_bytes = 4 * LANES * Q::GROUP;
        let (mut padded, mut weights) = ([0; 4 * LANES * 32], [0; 4 * LANES * 32]);
        let mut blocks = [0; MOST_BLOCK_BYTES];
        let batch_blocks = LANES * Q::GROUP / Q::FORMAT.block_values() * Q::FORMAT.block_bytes();
        for ((number, values), out) in values.chunks(batch_bytes).enumerate().zip(out.chunks_mut(batch_blocks)) {
            let importance = importance.map(|columns| {
                repeat(columns, number * batch_bytes, 4 * Q::GROUP, &mut weights[..batch_bytes]);
                &weights[..batch_bytes]
            });
            if values.len() == batch_bytes {
                Q::quantize(simd, Batch { values, importance }, out);
            } else {
                let (filled, rest) = padded[..batch_bytes].split_at_mut(values.len());
                filled.copy_from_slice(values);
                rest.fill(0);
                let blocks = &mut blocks[..batch_blocks];
                Q::quantize(simd, Batch { values: &padded[..batch_bytes], importance }, blocks);
                let length = out.len();
                out.copy_from_slice(&blocks[..length]);
            }
        }
    }
}

/// Bytes of the blocks of the largest batch, 512 values of `q8_0`.
const MOST_BLOCK_BYTES: usize = 16 * 34;

/// Fills `out` with the columns' importance from byte `start` on, in groups: rows are whole groups.
#[inline(always)]
fn repeat(columns: &[u8], start: usize, group_bytes: usize, out: &mut [u8]) {
    let mut at = start % columns.len();
    for out in out.chunks_exact_mut(group_bytes) {
        out.copy_from_slice(&columns[at..at + group_bytes]);
        at = (at + group_bytes) % columns.len();
    }
}

/// Sixteen groups of `N` values; lane `g` of vector `i` is value `i` of group `g`.
pub(super) struct Groups<S: Simd, const N: usize> {
    pub(super) x: [S::F32; N],
    /// Weights of the squared errors, whose sum is one in each group.
    pub(super) w: [S::F32; N],
    /// What the group weighs among others.
    pub(super) weight: S::F32,
}

impl<S: Simd, const N: usize> Groups<S, N> {
    /// Transposes a batch. Without importance, the square of an error weighs as much as the value, plus the group's root of the
    /// mean square: large weights matter a little more.
    #[inline(always)]
    pub(super) fn load(simd: S, batch: Batch) -> Self {
        let (zero, one) = (simd.splat(0.0), simd.splat(1.0));
        let mut groups = Self { x: [zero; N], w: [one; N], weight: zero };
        transpose(simd, batch.values, &mut groups.x);
        if let Some(importance) = batch.importance {
            transpose(simd, importance, &mut groups.w);
        } else {
            let mut square = zero;
            for i in 0..N {
                square = simd.add(square, simd.mul(groups.x[i], groups.x[i]));
            }
            let root = simd.sqrt(simd.mul(square, simd.splat(1.0 / N as f32)));
            for i in 0..N {
                groups.w[i] = simd.add(root, simd.abs(groups.x[i]));
            }
        }
        for i in 0..N {
            groups.weight = simd.add(groups.weight, groups.w[i]);
        }
        let (least, factor) = (simd.splat(TINY), simd.div(one, groups.weight));
        for i in 0..N {
            let scaled = simd.mul(groups.w[i], factor);
            groups.w[i] = simd.select_less(least, groups.weight, scaled, simd.splat(1.0 / N as f32));
        }
        groups
    }
}

/// Lane `g` of vector `i` becomes value `i` of group `g`.
#[inline(always)]
fn transpose<S: Simd, const N: usize>(simd: S, bytes: &[u8], out: &mut [S::F32; N]) {
    for i in 0..N / 4 {
        let four = simd.transpose(bytes, 16 * i, 4 * N);
        for j in 0..4 {
            out[4 * i + j] = simd.f32_from_bytes(four[j]);
        }
    }
}

/// The nearest codes of contiguous values, `(x + offset) / scale`, from `low` to `high`; zeros where the scale is zero.
#[inline(always)]
pub(super) fn codes<S: Simd>(
    simd: S,
    values: &[u8],
    (scale, offset): (f32, f32),
    (low, high): (f32, f32),
    out: &mut [i8],
) {
    let inverse = simd.splat(inverse_or_zero(scale));
    let (offset, low, high) = (simd.splat(offset), simd.splat(low), simd.splat(high));
    for (values, out) in values.chunks_exact(64).zip(out.chunks_exact_mut(16)) {
        let x = simd.f32_from_bytes(simd.load_bytes(values));
        let code = simd.mul(simd.add(x, offset), inverse);
        simd.store_i8(simd.round(simd.min(simd.max(code, low), high)), out);
    }
}

/// The lanes as numbers.
#[inline(always)]
pub(super) fn lanes<S: Simd>(simd: S, x: S::F32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    simd.store(x, &mut out);
    out
}

/// One divided by each lane; zero where that is nearly zero.
#[inline(always)]
pub(super) fn inverse<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    simd.select_less(simd.splat(TINY), simd.abs(x), simd.div(simd.splat(1.0), x), simd.splat(0.0))
}

/// As [`inverse`], of one number.
#[inline(always)]
pub(super) fn inverse_or_zero(x: f32) -> f32 {
    if x.abs() > TINY { 1.0 / x } else { 0.0 }
}

/// The half float nearest to a scale; never infinite, nor a negative zero.
pub(super) fn half(scale: f32) -> u16 {
    f16::from_f32(scale.clamp(-LARGEST_HALF, LARGEST_HALF) + 0.0)
}

/// As [`half`], rounded away from zero: among the smallest halves the nearest may be much too small.
pub(super) fn half_not_below(scale: f32) -> u16 {
    let nearest = half(scale);
    let is_below = f16::to_f32(nearest).abs() < scale.abs() && nearest & 0x7fff < f16::from_f32(LARGEST_HALF);
    nearest + u16::from(is_below)
}

/// So many candidates of a search, `step` apart.
pub(super) const fn candidates<const N: usize>(first: f32, step: f32) -> [f32; N] {
    let mut candidates = [first; N];
    let mut i = 0;
    while i < N {
        candidates[i] += i as f32 * step;
        i += 1;
    }
    candidates
}

/// As [`candidates`], half of them below zero and half above.
pub(super) const fn candidates_of_both_signs<const N: usize>(below: f32, above: f32, step: f32) -> [f32; N] {
    let mut candidates = [below; N];
    let mut i = 0;
    while i < N {
        let first = if i < N / 2 { below } else { above };
        candidates[i] = first + (i % (N / 2)) as f32 * step;
        i += 1;
    }
    candidates
}
