//! `bf16`: the upper half of an `f32`, little endian.

use super::groups::Rows;
use crate::isa::Isa;

/// Exact value: the lower fraction bits are zero.
#[inline(always)]
pub const fn to_f32(half: u16) -> f32 {
    f32::from_bits((half as u32) << 16)
}

/// Nearest `bf16`, ties to even; NaN stays NaN.
#[inline(always)]
pub const fn from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x0040; // quiet, so that dropping the payload cannot make it infinite
    }
    let ties_to_even = 0x7fff + ((bits >> 16) & 1);
    ((bits + ties_to_even) >> 16) as u16
}

/// Widens the values.
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    let (values, _) = bytes.as_chunks::<2>();
    for (out, value) in out.iter_mut().zip(values) {
        *out = to_f32(u16::from_le_bytes(*value));
    }
}

/// Rounds the values.
pub fn quantize(_isa: Isa, rows: Rows, out: &mut [u8]) {
    let (values, _) = rows.values.as_chunks::<4>();
    for (out, value) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
        *out = from_f32(f32::from_le_bytes(*value)).to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_upper_bits() {
        let mut out = [0.0; 4];
        dequantize(&[0x80, 0x3f, 0x00, 0x80, 0x01, 0x00, 0x80, 0xff], &mut out);
        assert_eq!(out.map(f32::to_bits), [0x3f80_0000, 0x8000_0000, 0x0001_0000, 0xff80_0000]);
    }

    #[test]
    fn every_value_survives_the_way_to_f32_and_back() {
        for half in (0..=u16::MAX).filter(|&half| !to_f32(half).is_nan()) {
            assert_eq!(from_f32(to_f32(half)), half);
        }
        assert!(to_f32(from_f32(f32::from_bits(0x7f80_0001))).is_nan());
    }

    #[test]
    fn rounding_ties_to_even() {
        assert_eq!(from_f32(f32::from_bits(0x3f80_8000)), 0x3f80);
        assert_eq!(from_f32(f32::from_bits(0x3f80_8001)), 0x3f81);
        assert_eq!(from_f32(f32::from_bits(0x3f81_8000)), 0x3f82);
        assert_eq!(from_f32(f32::MAX), 0x7f80);
    }
}
