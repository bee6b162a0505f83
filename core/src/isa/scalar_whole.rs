//! Products times whole scales, in plain loops.

use super::scalar::{Bytes, F32, dot};
use super::simd::LANES;

/// Floats hold these integers and their products, below 2^24, exactly; not every CPU multiplies vectors of integers.
#[derive(Clone, Copy)]
pub struct WholeScales {
    /// Of every 4 of 256 codes.
    scales: [F32; 4],
    /// Of every 16, times what is added to the codes.
    offsets: F32,
    factor: F32,
}

impl WholeScales {
    /// As [`super::Simd::whole_scales`].
    #[inline]
    pub(super) fn new<const GROUP: usize>(bytes: u128, offset: i16, factor: F32) -> Self {
        let bytes = bytes.to_le_bytes();
        let (mut scales, mut offsets) = ([[0.0; LANES]; 4], [0.0; LANES]);
        for i in 0..LANES {
            let byte = bytes[i * 16 / GROUP];
            let scale = if offset == 0 { f32::from(byte) } else { f32::from(byte as i8) };
            scales[i / 4][i % 4 * 4..][..4].fill(scale);
            offsets[i] = scale * -f32::from(offset);
        }
        Self { scales, offsets, factor }
    }

    /// As [`super::Simd::add_whole_products`].
    #[inline]
    pub(super) fn add_products(
        &self,
        sum: F32,
        w: &[Bytes; 4],
        x: &[i8],
        x_factor: f32,
        offset_sums: Option<&[i16; LANES]>,
    ) -> F32 {
        let mut totals = [0.0; LANES];
        if let Some(sums) = offset_sums {
            for i in 0..LANES {
                totals[i] = self.offsets[i] * f32::from(sums[i]);
            }
        }
        for ((w, scales), x) in w.iter().zip(&self.scales).zip(x.as_chunks::<64>().0) {
            let products = dot::<false>([0; LANES], w, &x.map(|x| x as u8));
            for i in 0..LANES {
                totals[i] += products[i] as f32 * scales[i];
            }
        }
        let mut out = sum;
        for i in 0..LANES {
            out[i] += totals[i] * x_factor * self.factor[i];
        }
        out
    }
}
