//! `mxfp4`: 32 floats of 4 bits with a shared power of two, `x = 2^(e - 127) table[q] / 2`.
//!
//! Source: OCP Microscaling Formats, elements E2M1 and scale E8M0.

use super::packed::{Packed, Slot, Zero};
use super::{block, packed};
use crate::isa::{LANES, Simd};

block::block! {
    /// Value `i` is the low nibble of `qs[i]`, value `16 + i` the high one.
    17 bytes {
        /// Biased exponent of the scale.
        e: 1,
        /// Sign, two bits of exponent, one of fraction.
        qs: 16,
    }
}

/// The sixteen E2M1 values, doubled so that they are whole.
pub const TABLE: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Half of `2^(exponent - 127)`, which undoes the doubling of the table; exponents 0 and 1 give subnormals.
#[inline(always)]
pub const fn half_scale(exponent: u8) -> f32 {
    f32::from_bits(if exponent < 2 { 0x0020_0000 << exponent } else { (exponent as u32 - 1) << 23 })
}

/// `(2^(e - 127) / 2) table[q]`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<17, 32>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let d = half_scale(block.e[0]);
        for (i, q) in block.qs.into_iter().enumerate() {
            out[i] = d * f32::from(TABLE[usize::from(q & 15)]);
            out[16 + i] = d * f32::from(TABLE[usize::from(q >> 4)]);
        }
    });
}

/// The kernels' view: values from 0 on.
pub struct Mxfp4;

/// What is added to the values so that none is negative.
const OFFSET: u8 = 12;

/// The values with the offset.
const VALUES: [u8; 16] = {
    let mut values = [0; 16];
    let mut i = 0;
    while i < 16 {
        values[i] = (TABLE[i] + OFFSET as i8) as u8;
        i += 1;
    }
    values
};

/// The scale of a block. Exponents 0 and 1 give 0 here, not 2^-128 and 2^-127, which no sum of activations could tell
/// apart.
#[inline(always)]
fn scale(exponent: u8) -> f32 {
    f32::from_bits(u32::from(exponent.saturating_sub(1)) << 23)
}

impl Packed for Mxfp4 {
    const BYTES: usize = 8 * 17;
    const GROUP: usize = 32;
    const ZERO: Zero = Zero::Offset(OFFSET);
    const FINE: bool = true;
    const HALF_SCALES: bool = false;

    #[inline(always)]
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4] {
        let mut codes = [simd.splat_byte(0); 4];
        for (i, codes) in codes.iter_mut().enumerate() {
            *codes = simd.lookup(&VALUES, packed::block_nibbles(simd, span, 34 * i + 1, 34 * i + 18));
        }
        codes
    }

    #[inline(always)]
    fn scales<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        let mut scales = [0.0; LANES];
        for (i, to) in scales.iter_mut().enumerate() {
            *to = scale(span[17 * (i / 2)]);
        }
        simd.load(&scales)
    }

    #[inline(always)]
    fn unpack<S: Simd>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
        packed::unpack_nibbles::<S, 17, 1>(simd, rows, stride, slot, Some(&VALUES));
        for block in 0..8 {
            let mut scales = [0.0; LANES];
            for (row, to) in scales.iter_mut().enumerate() {
                *to = scale(rows[row * stride + 17 * block]);
            }
            slot.set_scales(simd, block, simd.load(&scales));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_half_a_power_of_two() {
        for exponent in 0..=255 {
            assert_eq!(f64::from(half_scale(exponent)), 2f64.powi(i32::from(exponent) - 128), "{exponent}");
        }
    }

    #[test]
    fn codes_are_small_floats() {
        let mut bytes = [0; 17];
        (bytes[0], bytes[1]) = (128, 0xf5); // 2^1
        let mut out = [f32::NAN; 32];
        dequantize(&bytes, &mut out);
        assert_eq!((out[0], out[1], out[16]), (6.0, 0.0, -12.0));
    }
}
