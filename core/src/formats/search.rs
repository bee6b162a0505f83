//! The scale, and the offset, with which a group's codes come closest to its values: the best of several least-squares fits.
//!
//! A candidate rounds the values with a scale that is a little too large or too small; the codes that it finds have a best
//! scale and offset of their own, and an error, which follow from sums over the group. Source: the recipes of ggml's
//! `make_qkx2_quants` and `make_qx_quants`, here on values that are first brought to the range from 0 to 1, or to 1.

use super::f16;
use super::groups::{Groups, LARGEST_HALF};
use crate::isa::Simd;

/// Ranges and sums of weights below this are taken as zero.
const TINY: f32 = 1e-30;

/// Scale and minimum of each group, `x = scale q - minimum`, for codes from 0 to `levels`; both are not negative.
///
/// `candidates` say how many steps the range of a group is cut into.
#[inline(always)]
pub(super) fn affine<S: Simd, const N: usize>(
    simd: S,
    groups: &Groups<S, N>,
    levels: f32,
    candidates: &[f32],
) -> (S::F32, S::F32) {
    let zero = simd.splat(0.0);
    let (scale, offset) = fit(simd, groups, zero, levels, candidates);
    (scale, simd.max(simd.sub(zero, offset), zero))
}

/// Scale and offset of each group, `x = scale q + offset`, for codes from 0 to `levels`; the offset is free.
#[inline(always)]
pub(super) fn free_affine<S: Simd, const N: usize>(
    simd: S,
    groups: &Groups<S, N>,
    levels: f32,
    candidates: &[f32],
) -> (S::F32, S::F32) {
    fit(simd, groups, simd.splat(f32::MAX), levels, candidates)
}

/// As [`free_affine`], with an offset of at most `most`.
#[inline(always)]
fn fit<S: Simd, const N: usize>(
    simd: S,
    groups: &Groups<S, N>,
    most: S::F32,
    levels: f32,
    candidates: &[f32],
) -> (S::F32, S::F32) {
    let w = &groups.w;
    let (mut low, mut high) = (simd.min(groups.x[0], most), groups.x[0]);
    for i in 0..N {
        low = simd.min(low, groups.x[i]);
        high = simd.max(high, groups.x[i]);
    }
    let (zero, one, two) = (simd.splat(0.0), simd.splat(1.0), simd.splat(2.0));
    let range = simd.sub(high, low);
    let inverse = simd.select_less(simd.splat(TINY), range, simd.div(one, range), zero);
    // From here on in units of the range, from `low` on.
    let most = simd.mul(simd.sub(most, low), inverse);
    let mut y = groups.x;
    let (mut sum_y, mut sum_yy) = (zero, zero);
    for i in 0..N {
        y[i] = simd.mul(simd.sub(y[i], low), inverse);
        let wy = simd.mul(w[i], y[i]);
        sum_y = simd.add(sum_y, wy);
        sum_yy = simd.add(sum_yy, simd.mul(wy, y[i]));
    }
    let last = simd.splat(levels);
    let (mut best_scale, mut best_offset, mut best) = (simd.splat(1.0 / levels), zero, simd.splat(f32::MAX));
    for &steps in candidates {
        let steps = simd.splat(steps);
        let (mut sum_q, mut sum_qq, mut sum_qy) = (zero, zero, zero);
        for i in 0..N {
            let q = simd.min(simd.to_f32(simd.round(simd.mul(y[i], steps))), last);
            let wq = simd.mul(w[i], q);
            sum_q = simd.add(sum_q, wq);
            sum_qq = simd.add(sum_qq, simd.mul(wq, q));
            sum_qy = simd.add(sum_qy, simd.mul(wq, y[i]));
        }
        let determinant = simd.sub(sum_qq, simd.mul(sum_q, sum_q));
        let inverse = simd.div(one, determinant);
        let scale = simd.mul(simd.sub(sum_qy, simd.mul(sum_y, sum_q)), inverse);
        let offset = simd.mul(simd.sub(simd.mul(sum_qq, sum_y), simd.mul(sum_q, sum_qy)), inverse);
        let bound_scale = simd.div(simd.sub(sum_qy, simd.mul(most, sum_q)), sum_qq);
        let scale = simd.select_less(most, offset, bound_scale, scale);
        let offset = simd.select_less(most, offset, most, offset);
        // The sum of w (scale q + offset - y)^2.
        let cross = simd.sub(simd.mul(offset, sum_q), sum_qy);
        let with_scale = simd.mul(scale, simd.add(simd.mul(scale, sum_qq), simd.mul(two, cross)));
        let with_offset = simd.mul(offset, simd.sub(offset, simd.mul(two, sum_y)));
        let error = simd.add(sum_yy, simd.add(with_scale, with_offset));
        // Where nearly all weight is on one code, there is no line through the points.
        let least = simd.mul(sum_qq, simd.splat(1e-5));
        let error = simd.select_less(least, determinant, error, simd.splat(f32::MAX));
        best_scale = simd.select_less(error, best, scale, best_scale);
        best_offset = simd.select_less(error, best, offset, best_offset);
        best = simd.select_less(error, best, error, best);
    }
    (simd.mul(best_scale, range), simd.add(low, simd.mul(best_offset, range)))
}

/// How values in units of a candidate's scale become codes.
pub(super) trait Round: Copy {
    /// What the nearest codes stand for.
    fn round<S: Simd>(self, simd: S, x: S::F32) -> S::F32;
}

/// Whole numbers from the first to the second.
#[derive(Clone, Copy)]
pub(super) struct Whole(pub(super) f32, pub(super) f32);

impl Round for Whole {
    #[inline(always)]
    fn round<S: Simd>(self, simd: S, x: S::F32) -> S::F32 {
        simd.to_f32(simd.round(simd.min(simd.max(x, simd.splat(self.0)), simd.splat(self.1))))
    }
}

/// The values of a table that rises.
#[derive(Clone, Copy)]
pub(super) struct Table<'a>(pub(super) &'a [i8; 16]);

impl Round for Table<'_> {
    #[inline(always)]
    fn round<S: Simd>(self, simd: S, x: S::F32) -> S::F32 {
        let mut nearest = simd.splat(f32::from(self.0[0]));
        for pair in self.0.windows(2) {
            let middle = f32::midpoint(f32::from(pair[0]), f32::from(pair[1]));
            nearest = simd.select_less(simd.splat(middle), x, simd.splat(f32::from(pair[1])), nearest);
        }
        nearest
    }
}

/// Scale of each group, with its sign: `x = scale q`, for what `round` makes of the values.
///
/// `candidates` say what the value of the largest magnitude becomes, before rounding.
#[inline(always)]
pub(super) fn symmetric<S: Simd, const N: usize>(
    simd: S,
    groups: &Groups<S, N>,
    round: impl Round,
    candidates: &[f32],
) -> S::F32 {
    let (zero, one) = (simd.splat(0.0), simd.splat(1.0));
    let (mut largest, mut magnitude) = (zero, zero);
    for i in 0..N {
        largest = simd.select_less(magnitude, simd.abs(groups.x[i]), groups.x[i], largest);
        magnitude = simd.max(magnitude, simd.abs(groups.x[i]));
    }
    let inverse = simd.select_less(simd.splat(TINY), magnitude, simd.div(one, largest), zero);
    let mut y = groups.x;
    for i in 0..N {
        y[i] = simd.mul(y[i], inverse);
    }
    let (mut best_scale, mut best) = (zero, zero);
    for &candidate in candidates {
        let candidate = simd.splat(candidate);
        let (mut sum_qq, mut sum_qy) = (zero, zero);
        for i in 0..N {
            let q = round.round(simd, simd.mul(y[i], candidate));
            let wq = simd.mul(groups.w[i], q);
            sum_qq = simd.add(sum_qq, simd.mul(wq, q));
            sum_qy = simd.add(sum_qy, simd.mul(wq, y[i]));
        }
        let scale = simd.select_less(simd.splat(TINY), sum_qq, simd.div(sum_qy, sum_qq), zero);
        let gain = simd.mul(sum_qy, scale); // by so much the error is smaller than with all codes zero
        best_scale = simd.select_less(best, gain, scale, best_scale);
        best = simd.select_less(best, gain, gain, best);
    }
    simd.mul(best_scale, largest)
}

/// So many candidates, `step` apart.
pub(super) const fn candidates<const N: usize>(first: f32, step: f32) -> [f32; N] {
    let mut candidates = [first; N];
    let mut i = 0;
    while i < N {
        candidates[i] += i as f32 * step;
        i += 1;
    }
    candidates
}

/// The half float nearest to a scale; never infinite, nor a negative zero.
pub(super) fn half(scale: f32) -> u16 {
    f16::from_f32(scale.clamp(-LARGEST_HALF, LARGEST_HALF) + 0.0)
}

/// As [`half`], rounded away from zero: among the smallest halves the nearest may be much too small.
fn half_not_below(scale: f32) -> u16 {
    let nearest = half(scale);
    let is_below = f16::to_f32(nearest).abs() < scale.abs() && nearest & 0x7fff < f16::from_f32(LARGEST_HALF);
    nearest + u16::from(is_below)
}

/// A half-precision unit for scales that are not negative, and the multiples, up to `most`, that are nearest to them.
pub(super) fn multiples<const N: usize>(scales: [f32; N], most: u8) -> (u16, [u8; N]) {
    let unit = half_not_below(scales.iter().copied().fold(0.0, f32::max) / f32::from(most));
    let inverse = inverse_of(unit);
    (unit, scales.map(|scale| (scale * inverse).round_ties_even().min(f32::from(most)) as u8))
}

/// As [`multiples`], for scales with signs: the one of the largest magnitude becomes `least`, which is negative.
pub(super) fn signed_multiples<const N: usize>(scales: [f32; N], least: i8) -> (u16, [i8; N]) {
    let largest = scales.iter().copied().fold(0.0, |a: f32, b| if b.abs() > a.abs() { b } else { a });
    let unit = half_not_below(largest / f32::from(least));
    let inverse = inverse_of(unit);
    let (low, high) = (f32::from(least), -1.0 - f32::from(least));
    (unit, scales.map(|scale| (scale * inverse).round_ties_even().clamp(low, high) as i8))
}

/// One divided by a half, zero for zero.
fn inverse_of(unit: u16) -> f32 {
    match f16::to_f32(unit) {
        0.0 => 0.0,
        exact => 1.0 / exact,
    }
}
