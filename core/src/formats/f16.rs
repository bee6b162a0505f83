//! `f16`: IEEE half precision, little endian; also the scales of most block formats.

use super::groups::Rows;
use crate::isa::{Isa, Kernel, Simd};

/// Exact value of a half: subnormals, infinities and NaN included; without branches, so that loops vectorize.
#[inline(always)]
pub const fn to_f32(half: u16) -> f32 {
    const TWO_TO_112: f32 = f32::from_bits((112 + 127) << 23); // between the two exponent biases, 127 - 15
    let sign = ((half & 0x8000) as u32) << 16;
    let magnitude = ((half & 0x7fff) as u32) << 13;
    let finite = (f32::from_bits(magnitude) * TWO_TO_112).to_bits();
    let bits = if magnitude >= 0x0f80_0000 { magnitude | 0x7f80_0000 } else { finite };
    f32::from_bits(sign | bits)
}

/// Nearest half, ties to even; too large becomes infinite, NaN stays NaN.
#[inline(always)]
pub const fn from_f32(value: f32) -> u16 {
    const INFINITE: u32 = 0x7f80_0000;
    const SMALLEST_NORMAL: u32 = 113 << 23; // 2^-14
    const HALF_OF_SUBNORMAL_UNITS: f32 = 0.5; // 0.5 has a spacing of 2^-24, the unit of half subnormals
    let sign = ((value.to_bits() >> 16) & 0x8000) as u16;
    let magnitude = value.to_bits() & 0x7fff_ffff;
    let half = if magnitude > INFINITE {
        0x7e00
    } else if magnitude >= SMALLEST_NORMAL {
        let ties_to_even = 0x0fff + ((magnitude >> 13) & 1);
        let rounded = (magnitude - (112 << 23) + ties_to_even) >> 13;
        if rounded < 0x7c00 { rounded as u16 } else { 0x7c00 }
    } else {
        let rounded = f32::from_bits(magnitude) + HALF_OF_SUBNORMAL_UNITS;
        (rounded.to_bits() - HALF_OF_SUBNORMAL_UNITS.to_bits()) as u16
    };
    sign | half
}

/// Exact value of a half as the file holds it.
#[inline(always)]
pub const fn read(bytes: [u8; 2]) -> f32 {
    to_f32(u16::from_le_bytes(bytes))
}

/// Widens the halves.
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    let (values, _) = bytes.as_chunks::<2>();
    for (out, value) in out.iter_mut().zip(values) {
        *out = read(*value);
    }
}

/// Rounds the values.
pub fn quantize(isa: Isa, rows: Rows, out: &mut [u8]) {
    isa.run(Narrow(rows.values, out));
}

struct Narrow<'a>(&'a [u8], &'a mut [u8]);

impl Kernel for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (values, out) in self.0.chunks(64).zip(self.1.chunks_mut(32)) {
            let (mut padded, mut halves) = ([0; 64], [0; 16]);
            padded[..values.len()].copy_from_slice(values);
            simd.store_f16(simd.f32_from_bytes(simd.load_bytes(&padded)), &mut halves);
            for (out, half) in out.as_chunks_mut::<2>().0.iter_mut().zip(halves) {
                *out = half.to_le_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: sign, exponent, fraction.
    fn by_definition(half: u16) -> f64 {
        let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
        let (exponent, fraction) = (i32::from((half >> 10) & 31), f64::from(half & 0x3ff));
        match exponent {
            0 => sign * fraction * 2f64.powi(-24),
            31 if fraction == 0.0 => sign * f64::INFINITY,
            31 => f64::NAN,
            _ => sign * (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
        }
    }

    #[test]
    fn every_half_has_its_exact_value() {
        for half in 0..=u16::MAX {
            let (got, expected) = (to_f32(half), by_definition(half));
            assert!(
                f64::from(got) == expected || (got.is_nan() && expected.is_nan()),
                "{half:#06x}: {got} is not {expected}"
            );
            assert_eq!(got.is_sign_negative(), half & 0x8000 != 0, "{half:#06x}");
        }
    }

    #[test]
    fn every_half_survives_the_way_to_f32_and_back() {
        for half in (0..=u16::MAX).filter(|&half| !to_f32(half).is_nan()) {
            assert_eq!(from_f32(to_f32(half)), half);
        }
        assert!(to_f32(from_f32(f32::NAN)).is_nan());
    }

    #[test]
    fn rounding_goes_to_the_nearest_and_ties_to_even() {
        for half in 0..0x7bff_u16 {
            let (below, above) = (by_definition(half), by_definition(half + 1));
            let tie = f64::midpoint(below, above) as f32; // exact: one bit more than a half has
            let even = if half & 1 == 0 { half } else { half + 1 };
            assert_eq!(from_f32(tie), even, "{half:#06x}");
            assert_eq!(from_f32(tie.next_down()), half, "{half:#06x}");
            assert_eq!(from_f32(-tie.next_up()), (half + 1) | 0x8000, "{half:#06x}");
        }
        assert_eq!(from_f32(65_519.0), 0x7bff);
        assert_eq!(from_f32(65_520.0), 0x7c00);
        assert_eq!(from_f32(f32::NEG_INFINITY), 0xfc00);
    }

    #[test]
    fn halves_are_little_endian() {
        let mut out = [0.0; 2];
        dequantize(&[0x00, 0x3c, 0x01, 0x80], &mut out);
        assert_eq!(out, [1.0, -(2f32.powi(-24))]);
    }
}
