//! Products with few tokens: each row of weights is read once, from its first block to its last, straight from the file.

use std::marker::PhantomData;
use std::slice::ChunksExact;

use super::activations::TokenSpan;
use crate::formats::packed::{Packed, Zero, offset};
use crate::isa::{Kernel, Panel, Simd};

/// Bytes of the largest span of any format.
const LARGEST_SPAN: usize = 8 * 34;

/// Some rows times all tokens.
pub(super) struct Rows<'a, P> {
    /// Whole rows, as many as the panel is wide.
    pub(super) bytes: &'a [u8],
    pub(super) row_bytes: usize,
    /// (spans, tokens)
    pub(super) x: &'a [TokenSpan],
    /// (tokens, rows)
    pub(super) out: Panel<'a, f32>,
    pub(super) packed: PhantomData<P>,
}

impl<P: Packed> Kernel for Rows<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let tokens = self.out.rows();
        let x = self.x.chunks_exact(tokens.max(1));
        for (r, row) in self.bytes.chunks_exact(self.row_bytes).enumerate() {
            let mut t = 0;
            while t < tokens {
                // Codes are unpacked once for several tokens.
                t += match tokens - t {
                    1 => multiply::<S, P, 1>(simd, row, x.clone(), t, r, &mut self.out),
                    2 | 3 => multiply::<S, P, 2>(simd, row, x.clone(), t, r, &mut self.out),
                    4..8 => multiply::<S, P, 4>(simd, row, x.clone(), t, r, &mut self.out),
                    _ => multiply::<S, P, 8>(simd, row, x.clone(), t, r, &mut self.out),
                };
            }
        }
    }
}

/// One row times `N` tokens from `first` on; gives `N`.
#[inline(always)]
fn multiply<S: Simd, P: Packed, const N: usize>(
    simd: S,
    row: &[u8],
    mut x: ChunksExact<TokenSpan>,
    first: usize,
    r: usize,
    out: &mut Panel<f32>,
) -> usize {
    let mut sums = [simd.splat(0.0); N];
    let spans = row.chunks_exact(P::BYTES);
    let rest = spans.remainder();
    for (span, x) in spans.zip(&mut x) {
        simd.prefetch_stream(span);
        add_span::<S, P, N>(simd, span, &x[first..first + N], &mut sums);
    }
    if let (false, Some(x)) = (rest.is_empty(), x.next()) {
        let mut padded = [0; LARGEST_SPAN];
        padded[..rest.len()].copy_from_slice(rest);
        add_span::<S, P, N>(simd, &padded[..P::BYTES], &x[first..first + N], &mut sums);
    }
    for t in 0..N {
        out.row(first + t)[r] = simd.reduce_add(sums[t]);
    }
    N
}

/// Adds the products of one span: `sum(scale * code * x) - sum(minimum * x)`.
#[inline(always)]
fn add_span<S: Simd, P: Packed, const N: usize>(simd: S, span: &[u8], x: &[TokenSpan], sums: &mut [S::F32; N]) {
    if P::WHOLE_SCALES.is_some() {
        return add_span_whole::<S, P, N>(simd, span, x, sums);
    }
    let codes = P::codes(simd, span);
    let scales = P::scales(simd, span);
    let offset = offset::<S, P>();
    let has_minima = P::ZERO == Zero::Minima || offset != 0;
    let minima =
        if P::ZERO == Zero::Minima { P::minima(simd, span) } else { simd.mul(scales, simd.splat(f32::from(offset))) };
    for t in 0..N {
        let x = &x[t];
        if has_minima {
            sums[t] = simd.mul_add(minima, simd.load(&x.shares), sums[t]);
        }
        let scales = if P::FINE { simd.mul(scales, simd.load(&x.scales)) } else { scales };
        let sum = simd.splat(0.0);
        let sum = if P::ZERO == Zero::Signed {
            simd.add_scaled_products::<true>(sum, &codes, &x.codes, scales)
        } else {
            simd.add_scaled_products::<false>(sum, &codes, &x.codes, scales)
        };
        sums[t] = if P::FINE { simd.add(sum, sums[t]) } else { simd.mul_add(sum, simd.splat(x.scales[0]), sums[t]) };
    }
}

/// The same where scales are whole: integers collect the products of the span.
#[inline(always)]
fn add_span_whole<S: Simd, P: Packed, const N: usize>(simd: S, span: &[u8], x: &[TokenSpan], sums: &mut [S::F32; N]) {
    let codes = P::codes(simd, span);
    let offset = i16::from(offset::<S, P>());
    let (scales, factor) = (P::whole_scales(span), P::factor(simd, span));
    let scales = if P::GROUP == 16 {
        simd.whole_scales::<16>(scales, offset, factor)
    } else {
        simd.whole_scales::<32>(scales, offset, factor)
    };
    let minima = P::minima(simd, span);
    for t in 0..N {
        let x = &x[t];
        if P::ZERO == Zero::Minima {
            sums[t] = simd.mul_add(minima, simd.load(&x.shares), sums[t]);
        }
        let offset_sums = if offset == 0 { None } else { Some(&x.sums) };
        sums[t] = if P::GROUP == 16 {
            simd.add_whole_products::<16>(sums[t], &codes, &scales, &x.codes, x.scales[0], offset_sums)
        } else {
            simd.add_whole_products::<32>(sums[t], &codes, &scales, &x.codes, x.scales[0], offset_sums)
        };
    }
}
