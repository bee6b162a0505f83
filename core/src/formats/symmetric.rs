//! Groups of codes with a scale and no offset: the scale with which they come closest to the values.
//!
//! Each candidate rounds the values with another scale; the codes that it finds have a best scale of their own, and an error,
//! which follow from sums over the group. Source: the recipe of ggml's `make_qx_quants`. Here blocks of several groups then
//! choose among neighbouring whole scales by their error, and fit what the groups share to the codes.

use super::f16;
use super::groups::{Groups, TINY, half, half_not_below, inverse, lanes};
use crate::isa::{LANES, Simd};

/// How values in units of a scale become what codes stand for.
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
pub(super) struct Table(pub(super) &'static [i8; 16]);

impl Round for Table {
    #[inline(always)]
    fn round<S: Simd>(self, simd: S, x: S::F32) -> S::F32 {
        let mut nearest = simd.splat(f32::from(self.0[0]));
        for i in 1..16 {
            let (below, value) = (f32::from(self.0[i - 1]), f32::from(self.0[i]));
            nearest = simd.select_less(simd.splat(f32::midpoint(below, value)), x, simd.splat(value), nearest);
        }
        nearest
    }
}

/// Weighted means of squared codes, and of codes times values.
#[inline(always)]
fn products<S: Simd, const N: usize>(
    simd: S,
    groups: &Groups<S, N>,
    round: impl Round,
    factor: S::F32,
) -> (S::F32, S::F32) {
    let (mut qq, mut qx) = (simd.splat(0.0), simd.splat(0.0));
    for i in 0..N {
        let q = round.round(simd, simd.mul(groups.x[i], factor));
        let wq = simd.mul(groups.w[i], q);
        qq = simd.add(qq, simd.mul(wq, q));
        qx = simd.add(qx, simd.mul(wq, groups.x[i]));
    }
    (qq, qx)
}

/// Scale of each group, with its sign: `x = scale q`.
///
/// `candidates` say what the value of the largest magnitude becomes, before rounding.
#[inline(always)]
pub(super) fn scale<S: Simd, const N: usize>(
    simd: S,
    groups: &Groups<S, N>,
    round: impl Round,
    candidates: &[f32],
) -> S::F32 {
    let zero = simd.splat(0.0);
    let (mut largest, mut magnitude) = (zero, zero);
    for i in 0..N {
        largest = simd.select_less(magnitude, simd.abs(groups.x[i]), groups.x[i], largest);
        magnitude = simd.select_less(magnitude, simd.abs(groups.x[i]), simd.abs(groups.x[i]), magnitude);
    }
    let inverse = simd.select_less(simd.splat(TINY), magnitude, simd.div(simd.splat(1.0), largest), zero);
    let (mut best_scale, mut best) = (zero, zero);
    for &candidate in candidates {
        let (qq, qx) = products(simd, groups, round, simd.mul(inverse, simd.splat(candidate)));
        let scale = simd.select_less(simd.splat(TINY), qq, simd.div(qx, qq), zero);
        let gain = simd.mul(qx, scale); // by so much the error is smaller than with all codes zero
        best_scale = simd.select_less(best, gain, scale, best_scale);
        best = simd.select_less(best, gain, gain, best);
    }
    best_scale
}

/// Whole scales of sixteen groups, and the unit that those of a block share: `x = d s q`.
pub(super) struct Blocks {
    /// Half floats, one per block.
    pub(super) d: [u16; 2],
    pub(super) scales: [i8; LANES],
}

impl Blocks {
    /// What a group's codes are multiplied by.
    #[inline(always)]
    pub(super) fn factor<const N: usize>(&self, group: usize) -> f32 {
        f16::to_f32(self.d[group * N / 256]) * f32::from(self.scales[group])
    }
}

/// The blocks, of 256 values, of sixteen groups; the whole scale of the largest magnitude is `least`, or near it.
#[inline(always)]
pub(super) fn blocks<S: Simd, const N: usize>(
    simd: S,
    groups: &Groups<S, N>,
    round: impl Round,
    least: f32,
    candidates: &[f32],
) -> Blocks {
    let scale = scale(simd, groups, round, candidates);
    let d = units::<N>(&lanes(simd, scale), least);
    let mut d_of_group = [0.0; LANES];
    for (group, out) in d_of_group.iter_mut().enumerate() {
        *out = f16::to_f32(d[group * N / 256]);
    }
    let zero = simd.splat(0.0);
    let unit = simd.load(&d_of_group);
    let nearest = simd.to_f32(simd.round(simd.mul(scale, inverse(simd, unit))));
    let (low, high) = (simd.splat(least), simd.splat(-1.0 - least));
    let (mut whole, mut best_qq, mut best_qx, mut best) = (zero, zero, zero, simd.splat(f32::MIN));
    for step in [0.0, 1.0, -1.0] {
        let s = simd.min(simd.max(simd.add(nearest, simd.splat(step)), low), high);
        let scale = simd.mul(unit, s);
        let (qq, qx) = products(simd, groups, round, inverse(simd, scale));
        let gain = simd.mul(scale, simd.sub(simd.mul(simd.splat(2.0), qx), simd.mul(scale, qq)));
        whole = simd.select_less(best, gain, s, whole);
        best_qq = simd.select_less(best, gain, qq, best_qq);
        best_qx = simd.select_less(best, gain, qx, best_qx);
        best = simd.select_less(best, gain, gain, best);
    }
    let (whole, qq, qx) = (lanes(simd, whole), lanes(simd, best_qq), lanes(simd, best_qx));
    let weight = lanes(simd, groups.weight);
    let mut blocks = Blocks { d, scales: whole.map(|s| s as i8) };
    for (block, d) in blocks.d[..N / 16].iter_mut().enumerate() {
        let (mut aa, mut xa) = (0.0, 0.0);
        for i in block * 256 / N..(block + 1) * 256 / N {
            aa += f64::from(weight[i]) * f64::from(whole[i]).powi(2) * f64::from(qq[i]);
            xa += f64::from(weight[i]) * f64::from(whole[i]) * f64::from(qx[i]);
        }
        let error = |d: u16| f64::from(f16::to_f32(d)) * (f64::from(f16::to_f32(d)) * aa - 2.0 * xa);
        let after = half(if aa > 0.0 { (xa / aa) as f32 } else { 0.0 });
        if error(after) < error(*d) {
            *d = after;
        }
    }
    blocks
}

/// For each block, a half that is not too small for its value of the largest magnitude, which becomes `least`.
#[inline(always)]
fn units<const N: usize>(values: &[f32; LANES], least: f32) -> [u16; 2] {
    let mut units = [0; 2];
    for (values, unit) in values.chunks(256 / N).zip(&mut units) {
        let largest = values.iter().fold(0.0, |a: f32, &b| if b.abs() > a.abs() { b } else { a });
        *unit = half_not_below(largest / least);
    }
    units
}
