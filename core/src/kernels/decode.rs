//! Products with few tokens: each row of weights is read once, from its first block to its last, straight from the file.

use std::marker::PhantomData;

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
        for (r, row) in self.bytes.chunks_exact(self.row_bytes).enumerate() {
            let mut t = 0;
            while t < tokens {
                // Codes are unpacked once for several tokens.
                t += match tokens - t {
                    1 => multiply::<S, P, 1>(simd, row, self.x, tokens, t, r, &mut self.out),
                    2 | 3 => multiply::<S, P, 2>(simd, row, self.x, tokens, t, r, &mut self.out),
                    4..8 => multiply::<S, P, 4>(simd, row, self.x, tokens, t, r, &mut self.out),
                    _ => multiply::<S, P, 8>(simd, row, self.x, tokens, t, r, &mut self.out),
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
    x: &[TokenSpan],
    tokens: usize,
    first: usize,
    r: usize,
    out: &mut Panel<f32>,
) -> usize {
    let mut sums = [simd.splat(0.0); N];
    let spans = row.chunks_exact(P::BYTES);
    let rest = spans.remainder();
    let mut x = x.chunks_exact(tokens);
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
    let codes = P::codes(simd, span);
    let scales = P::scales(simd, span);
    let offset = offset::<S, P>();
    let has_minima = P::ZERO == Zero::Minima || offset != 0;
    let minima =
        if P::ZERO == Zero::Minima { P::minima(simd, span) } else { simd.mul(scales, simd.splat(f32::from(offset))) };
    for t in 0..N {
        let x = &x[t];
        let mut sum = simd.splat(0.0);
        if has_minima {
            sum = simd.neg_mul_add(minima, simd.load(&x.sums), sum);
        }
        let scales = if P::FINE { simd.mul(scales, simd.load(&x.scales)) } else { scales };
        sum = match (P::ZERO, P::GROUP) {
            (Zero::Signed, 16) => simd.add_scaled_products::<true, 16>(sum, &codes, &x.codes, scales),
            (Zero::Signed, _) => simd.add_scaled_products::<true, 32>(sum, &codes, &x.codes, scales),
            (_, 16) => simd.add_scaled_products::<false, 16>(sum, &codes, &x.codes, scales),
            _ => simd.add_scaled_products::<false, 32>(sum, &codes, &x.codes, scales),
        };
        sums[t] = if P::FINE { simd.add(sum, sums[t]) } else { simd.mul_add(sum, simd.splat(x.scales[0]), sums[t]) };
    }
}
