//! Products times whole scales, in plain loops.

use super::scalar::{Bytes, F32, I32, dot};
use super::simd::LANES;

/// Of each group of 16 codes.
#[derive(Clone, Copy)]
pub struct WholeScales {
    scales: I32,
    /// Times what is added to the codes.
    offsets: I32,
    factor: F32,
}

impl WholeScales {
    /// As [`super::Simd::whole_scales`].
    #[inline]
    pub(super) fn new<const GROUP: usize>(bytes: u128, offset: i16, factor: F32) -> Self {
        let bytes = bytes.to_le_bytes();
        let (mut scales, mut offsets) = ([0; LANES], [0; LANES]);
        for i in 0..LANES {
            let byte = bytes[i * 16 / GROUP];
            scales[i] = if offset == 0 { i32::from(byte) } else { i32::from(byte as i8) };
            offsets[i] = scales[i] * -i32::from(offset);
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
        let mut totals = [0; LANES];
        if let Some(sums) = offset_sums {
            for i in 0..LANES {
                totals[i] = self.offsets[i] * i32::from(sums[i]);
            }
        }
        for (i, (w, x)) in w.iter().zip(x.as_chunks::<64>().0).enumerate() {
            let mut bytes = [0; 64];
            for (byte, &x) in bytes.iter_mut().zip(x) {
                *byte = x as u8;
            }
            let products = dot::<false>([0; LANES], w, &bytes);
            for lane in 0..LANES {
                totals[lane] += products[lane] * self.scales[4 * i + lane / 4];
            }
        }
        let mut out = sum;
        for lane in 0..LANES {
            out[lane] += totals[lane] as f32 * x_factor * self.factor[lane];
        }
        out
    }
}
