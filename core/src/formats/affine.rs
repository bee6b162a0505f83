//! Groups of codes with a scale and an offset: the pair with which they come closest to the values.
//!
//! A candidate rounds the values with a scale that is a little too large or too small; the codes that it finds have a best
//! scale and offset of their own, and an error, which follow from sums over the group. Source: the recipe of ggml's
//! `make_qkx2_quants`. Here the values are first brought to the range from 0 to 1; blocks of several groups then choose
//! among neighbouring whole scales by their error, and fit what the groups share to the codes.

use super::f16;
use super::groups::{self, Batch, Groups, half, half_not_below, inverse, lanes};
use crate::isa::{LANES, Simd};

/// Codes, what their groups share, and how scales are searched.
pub(super) struct Search {
    /// The largest code.
    pub(super) levels: f32,
    /// The largest whole scale, and minimum, where groups share units.
    pub(super) most: f32,
    /// How many steps the range of a group is cut into.
    pub(super) candidates: &'static [f32],
}

/// The best fit of sixteen groups.
struct Fit<S: Simd, const N: usize> {
    /// The values, in units of the range, from the lowest on.
    y: [S::F32; N],
    low: S::F32,
    range: S::F32,
    /// One divided by the range; zero where that is zero.
    inverse: S::F32,
    /// Weighted means of `y` and its square.
    mean_y: S::F32,
    mean_yy: S::F32,
    /// In units of the range.
    scale: S::F32,
    offset: S::F32,
    /// Weighted mean of the codes.
    mean_q: S::F32,
}

impl<S: Simd, const N: usize> Fit<S, N> {
    /// Finds scale and offset, which is at most `most`.
    #[inline(always)]
    fn find(simd: S, groups: &Groups<S, N>, most: S::F32, search: &Search) -> Self {
        let (zero, one, two) = (simd.splat(0.0), simd.splat(1.0), simd.splat(2.0));
        let mut fit = Self::begin(simd, groups, most, search.levels);
        let most = simd.mul(simd.sub(most, fit.low), fit.inverse);
        let last = simd.splat(search.levels);
        let mut best = simd.splat(f32::MAX);
        for &steps in search.candidates {
            let steps = simd.splat(steps);
            let (mut q1, mut qq, mut qy) = (zero, zero, zero);
            for i in 0..N {
                let q = simd.min(simd.to_f32(simd.round(simd.mul(fit.y[i], steps))), last);
                let wq = simd.mul(groups.w[i], q);
                q1 = simd.add(q1, wq);
                qq = simd.add(qq, simd.mul(wq, q));
                qy = simd.add(qy, simd.mul(wq, fit.y[i]));
            }
            let determinant = simd.sub(qq, simd.mul(q1, q1));
            let inverse = simd.div(one, determinant);
            let scale = simd.mul(simd.sub(qy, simd.mul(fit.mean_y, q1)), inverse);
            let offset = simd.mul(simd.sub(simd.mul(qq, fit.mean_y), simd.mul(q1, qy)), inverse);
            let bound_scale = simd.div(simd.sub(qy, simd.mul(most, q1)), qq);
            let scale = simd.select_less(most, offset, bound_scale, scale);
            let offset = simd.select_less(most, offset, most, offset);
            // The sum of w (scale q + offset - y)^2.
            let cross = simd.sub(simd.mul(offset, q1), qy);
            let with_scale = simd.mul(scale, simd.add(simd.mul(scale, qq), simd.mul(two, cross)));
            let with_offset = simd.mul(offset, simd.sub(offset, simd.mul(two, fit.mean_y)));
            let error = simd.add(fit.mean_yy, simd.add(with_scale, with_offset));
            // Where nearly all weight is on one code, there is no line through the points.
            let error = simd.select_less(simd.mul(qq, simd.splat(1e-5)), determinant, error, simd.splat(f32::MAX));
            fit.scale = simd.select_less(error, best, scale, fit.scale);
            fit.offset = simd.select_less(error, best, offset, fit.offset);
            fit.mean_q = simd.select_less(error, best, q1, fit.mean_q);
            best = simd.select_less(error, best, error, best);
        }
        fit
    }

    /// The fit that reaches from the lowest to the highest value.
    #[inline(always)]
    fn begin(simd: S, groups: &Groups<S, N>, most: S::F32, levels: f32) -> Self {
        let (mut low, mut high) = (simd.min(groups.x[0], most), groups.x[0]);
        for i in 0..N {
            low = simd.min(low, groups.x[i]);
            high = simd.max(high, groups.x[i]);
        }
        let zero = simd.splat(0.0);
        let range = simd.sub(high, low);
        let inverse = inverse(simd, range);
        let mut fit = Self {
            y: groups.x,
            low,
            range,
            inverse,
            mean_y: zero,
            mean_yy: zero,
            scale: simd.splat(1.0 / levels),
            offset: zero,
            mean_q: zero,
        };
        for i in 0..N {
            fit.y[i] = simd.mul(simd.sub(fit.y[i], low), inverse);
            let wy = simd.mul(groups.w[i], fit.y[i]);
            fit.mean_y = simd.add(fit.mean_y, wy);
            fit.mean_yy = simd.add(fit.mean_yy, simd.mul(wy, fit.y[i]));
        }
        fit.mean_q = simd.mul(fit.mean_y, simd.splat(levels));
        fit
    }

    /// The weighted mean of the values.
    #[inline(always)]
    fn mean(&self, simd: S) -> S::F32 {
        simd.add(self.low, simd.mul(self.range, self.mean_y))
    }
}

/// Blocks of 32 values with a scale and an offset each, `x = scale q + offset`, whose first four bytes are these two as half
/// floats; `pack` takes the codes, from 0 on, and what follows in the block.
#[inline(always)]
pub(super) fn single_groups<S: Simd>(
    simd: S,
    batch: Batch,
    search: &Search,
    out: std::slice::ChunksExactMut<u8>,
    pack: impl Fn([u8; 32], &mut [u8]),
) {
    let fit = Fit::find(simd, &Groups::<S, 32>::load(simd, batch), simd.splat(f32::MAX), search);
    let scales = lanes(simd, simd.mul(fit.scale, fit.range)).map(half);
    let offsets = lanes(simd, simd.add(fit.low, simd.mul(fit.offset, fit.range))).map(half);
    for (block, out) in out.enumerate() {
        out[..2].copy_from_slice(&scales[block].to_le_bytes());
        out[2..4].copy_from_slice(&offsets[block].to_le_bytes());
        let factors = (f16::to_f32(scales[block]), -f16::to_f32(offsets[block]));
        let mut codes = [0; 32];
        groups::codes(simd, &batch.values[128 * block..][..128], factors, (0.0, search.levels), &mut codes);
        pack(codes.map(|code| code as u8), &mut out[4..]);
    }
}

/// Whole scales and minima of sixteen groups, and the units that those of a block share: `x = d s q - dmin m`.
pub(super) struct Blocks {
    /// Half floats, one per block.
    pub(super) d: [u16; 2],
    /// Half floats, one per block.
    pub(super) dmin: [u16; 2],
    pub(super) scales: [u8; LANES],
    pub(super) minima: [u8; LANES],
}

impl Blocks {
    /// What a group's codes are multiplied by, and what is taken off then.
    #[inline(always)]
    fn factors<const N: usize>(&self, group: usize) -> (f32, f32) {
        let block = group * N / 256;
        let (d, dmin) = (f16::to_f32(self.d[block]), f16::to_f32(self.dmin[block]));
        (d * f32::from(self.scales[group]), dmin * f32::from(self.minima[group]))
    }

    /// The codes of one block, whose values come after those of the blocks before it.
    #[inline(always)]
    pub(super) fn codes<S: Simd, const N: usize>(
        &self,
        simd: S,
        values: &[u8],
        block: usize,
        search: &Search,
    ) -> [i8; 256] {
        let mut codes = [0; 256];
        for (i, codes) in codes.as_chunks_mut::<N>().0.iter_mut().enumerate() {
            let group = block * 256 / N + i;
            let values = &values[4 * N * group..][..4 * N];
            groups::codes(simd, values, self.factors::<N>(group), (0.0, search.levels), codes);
        }
        codes
    }
}

/// The blocks, of 256 values, of sixteen groups.
#[inline(always)]
pub(super) fn blocks<S: Simd, const N: usize>(simd: S, groups: &Groups<S, N>, search: &Search) -> Blocks {
    let zero = simd.splat(0.0);
    let fit = Fit::find(simd, groups, zero, search);
    let scale = simd.mul(fit.scale, fit.range);
    let minimum = simd.sub(zero, simd.add(fit.low, simd.mul(fit.offset, fit.range)));
    let d = units::<N>(lanes(simd, scale), search.most);
    let dmin = units::<N>(lanes(simd, minimum), search.most);
    let chosen = Chosen::find(simd, groups, &fit, search, scale, (spread::<N>(&d), spread::<N>(&dmin)));
    let sums = chosen.sums(simd, groups, fit.mean(simd));
    let mut blocks = Blocks { d, dmin, scales: sums.s.map(|s| s as u8), minima: sums.m.map(|m| m as u8) };
    for block in 0..N / 16 {
        (blocks.d[block], blocks.dmin[block]) =
            sums.refit(block * 256 / N..(block + 1) * 256 / N, (d[block], dmin[block]));
    }
    blocks
}

/// For each block, a half that is not too small for its largest value, which becomes `most`.
#[inline(always)]
fn units<const N: usize>(values: [f32; LANES], most: f32) -> [u16; 2] {
    let mut units = [0; 2];
    for (values, unit) in values.chunks(256 / N).zip(&mut units) {
        *unit = half_not_below(values.iter().fold(0.0, |a: f32, &b| if b > a { b } else { a }) / most);
    }
    units
}

/// The unit of each group's block.
#[inline(always)]
fn spread<const N: usize>(units: &[u16; 2]) -> [f32; LANES] {
    let units = units.map(f16::to_f32);
    let mut out = [0.0; LANES];
    for (group, out) in out.iter_mut().enumerate() {
        *out = units[group * N / 256];
    }
    out
}

/// Whole scales and minima near the best fit, and sums over the codes that they give.
struct Chosen<S: Simd> {
    s: S::F32,
    m: S::F32,
    /// What is taken off: the minimum.
    minimum: S::F32,
    q: S::F32,
    qq: S::F32,
    /// Of codes times values with the minimum added, in units of the range.
    qt: S::F32,
    range: S::F32,
}

/// Steps from the nearest whole scale, and from the minimum that suits it best.
const NEIGHBOURS: [(f32, f32); 5] = [(0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)];

impl<S: Simd> Chosen<S> {
    #[inline(always)]
    fn find<const N: usize>(
        simd: S,
        groups: &Groups<S, N>,
        fit: &Fit<S, N>,
        search: &Search,
        scale: S::F32,
        (d, dmin): ([f32; LANES], [f32; LANES]),
    ) -> Self {
        let (zero, last, most) = (simd.splat(0.0), simd.splat(search.levels), simd.splat(search.most));
        let (d, dmin) = (simd.load(&d), simd.load(&dmin));
        let (inverse_d, inverse_dmin) = (inverse(simd, d), inverse(simd, dmin));
        let nearest = simd.to_f32(simd.round(simd.mul(scale, inverse_d)));
        let mean = fit.mean(simd);
        let mut chosen = Self { s: zero, m: zero, minimum: zero, q: zero, qq: zero, qt: zero, range: fit.range };
        let mut best = simd.splat(f32::MAX);
        for (more, higher) in NEIGHBOURS {
            let s = simd.min(simd.max(simd.add(nearest, simd.splat(more)), zero), most);
            let scale = simd.mul(d, s);
            let suited = simd.mul(simd.sub(simd.mul(scale, fit.mean_q), mean), inverse_dmin);
            let suited = simd.min(simd.max(suited, zero), most);
            let m = simd.add(simd.to_f32(simd.round(suited)), simd.splat(higher));
            let m = simd.min(simd.max(m, zero), most);
            let minimum = simd.mul(dmin, m);
            // In units of the range.
            let scale = simd.mul(scale, fit.inverse);
            let add = simd.mul(simd.add(fit.low, minimum), fit.inverse);
            let inverse_scale = inverse(simd, scale);
            let (mut q1, mut qq, mut qt) = (zero, zero, zero);
            for i in 0..N {
                let t = simd.add(fit.y[i], add);
                let q = simd.min(simd.max(simd.mul(t, inverse_scale), zero), last);
                let q = simd.to_f32(simd.round(q));
                let wq = simd.mul(groups.w[i], q);
                q1 = simd.add(q1, wq);
                qq = simd.add(qq, simd.mul(wq, q));
                qt = simd.add(qt, simd.mul(wq, t));
            }
            // The sum of w (scale q - t)^2.
            let tt = simd.add(simd.mul(simd.splat(2.0), fit.mean_y), add);
            let tt = simd.add(fit.mean_yy, simd.mul(add, tt));
            let with_scale = simd.sub(simd.mul(scale, qq), simd.mul(simd.splat(2.0), qt));
            let error = simd.add(tt, simd.mul(scale, with_scale));
            chosen.s = simd.select_less(error, best, s, chosen.s);
            chosen.m = simd.select_less(error, best, m, chosen.m);
            chosen.minimum = simd.select_less(error, best, minimum, chosen.minimum);
            chosen.q = simd.select_less(error, best, q1, chosen.q);
            chosen.qq = simd.select_less(error, best, qq, chosen.qq);
            chosen.qt = simd.select_less(error, best, qt, chosen.qt);
            best = simd.select_less(error, best, error, best);
        }
        chosen
    }

    #[inline(always)]
    fn sums<const N: usize>(&self, simd: S, groups: &Groups<S, N>, mean: S::F32) -> Sums {
        let qx = simd.sub(simd.mul(self.qt, self.range), simd.mul(self.minimum, self.q));
        Sums {
            s: lanes(simd, self.s),
            m: lanes(simd, self.m),
            q: lanes(simd, self.q),
            qq: lanes(simd, self.qq),
            qx: lanes(simd, qx),
            x: lanes(simd, mean),
            weight: lanes(simd, groups.weight),
        }
    }
}

/// Whole scales and minima of each group, and weighted means over its codes and values.
struct Sums {
    s: [f32; LANES],
    m: [f32; LANES],
    q: [f32; LANES],
    qq: [f32; LANES],
    qx: [f32; LANES],
    x: [f32; LANES],
    weight: [f32; LANES],
}

impl Sums {
    /// The units that suit the codes of a block best, if they are better than those that led to them.
    #[inline(always)]
    fn refit(&self, groups: std::ops::Range<usize>, before: (u16, u16)) -> (u16, u16) {
        // For x = d a - dmin b, where a = s q and b = m.
        let (mut aa, mut ab, mut bb, mut xa, mut xb) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for i in groups {
            let (weight, s, m) = (f64::from(self.weight[i]), f64::from(self.s[i]), f64::from(self.m[i]));
            aa += weight * s * s * f64::from(self.qq[i]);
            ab += weight * s * m * f64::from(self.q[i]);
            bb += weight * m * m;
            xa += weight * s * f64::from(self.qx[i]);
            xb += weight * m * f64::from(self.x[i]);
        }
        let determinant = aa * bb - ab * ab;
        let (d, dmin) = if determinant > 1e-6 * aa * bb {
            ((xa * bb - ab * xb) / determinant, (xa * ab - xb * aa) / determinant)
        } else if bb == 0.0 && aa > 0.0 {
            (xa / aa, 0.0)
        } else {
            return before;
        };
        if d < 0.0 || dmin < 0.0 {
            return before;
        }
        let error = |(d, dmin): (u16, u16)| {
            let (d, dmin) = (f64::from(f16::to_f32(d)), f64::from(f16::to_f32(dmin)));
            d * (d * aa - 2.0 * (dmin * ab + xa)) + dmin * (dmin * bb + 2.0 * xb)
        };
        let after = (half(d as f32), half(dmin as f32));
        if error(after) < error(before) { after } else { before }
    }
}
