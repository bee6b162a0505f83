//! `q8_0`: 32 values of 8 bits, `x = d q`.

use super::groups::{self, Batch, Quantizer, Rows};
use super::packed::{Packed, Slot, Zero};
use super::{Format, block, f16, packed};
use crate::isa::{Isa, Simd};

block::block! {
    /// Signed codes with one scale.
    34 bytes {
        /// Scale, as f16.
        d: 2,
        /// Codes -128 to 127, as i8.
        qs: 32,
    }
}

/// `d q`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<34, 32>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let d = f16::read(block.d);
        for (out, q) in out.iter_mut().zip(block.qs) {
            *out = d * f32::from(q as i8);
        }
    });
}

/// The kernels' view.
pub struct Q8_0;

impl Packed for Q8_0 {
    const BYTES: usize = 8 * 34;
    const GROUP: usize = 32;
    const ZERO: Zero = Zero::Signed;
    const FINE: bool = true;

    #[inline(always)]
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4] {
        let mut codes = [simd.splat_byte(0); 4];
        for (i, codes) in codes.iter_mut().enumerate() {
            let signed = simd.load_halves(&span[68 * i + 2..], &span[68 * i + 36..]);
            *codes = simd.xor(signed, simd.splat_byte(S::BIAS));
        }
        codes
    }

    #[inline(always)]
    fn scales<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        simd.load_halves_twice(span, 0, 34)
    }

    #[inline(always)]
    fn unpack<S: Simd>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
        let bias = simd.splat_byte(S::BIAS);
        for block in 0..8 {
            for half in 0..2 {
                let signed = simd.transpose(rows, 34 * block + 2 + 16 * half, stride);
                for i in 0..4 {
                    slot.set_codes(simd, 8 * block + 4 * half + i, simd.xor(signed[i], bias));
                }
            }
        }
        packed::unpack_half_scales::<S, 34, 0>(simd, rows, stride, slot);
    }
}

/// Finds the blocks of rows.
pub fn quantize(isa: Isa, rows: Rows, out: &mut [u8]) {
    groups::quantize::<Q8_0>(isa, rows, out);
}

impl Quantizer for Q8_0 {
    const FORMAT: Format = Format::Q8_0;

    #[inline(always)]
    fn quantize<S: Simd>(simd: S, batch: Batch, out: &mut [u8]) {
        let (blocks, _) = batch.values.as_chunks::<128>();
        for (values, out) in blocks.iter().zip(out.chunks_exact_mut(34)) {
            let first = simd.abs(simd.f32_from_bytes(simd.load_bytes(&values[..64])));
            let second = simd.abs(simd.f32_from_bytes(simd.load_bytes(&values[64..])));
            let d = groups::half(simd.reduce_max(simd.max(first, second)) / 127.0);
            out[..2].copy_from_slice(&d.to_le_bytes());
            let mut codes = [0; 32];
            groups::codes(simd, values, (f16::to_f32(d), 0.0), (-127.0, 127.0), &mut codes);
            for (byte, code) in out[2..].iter_mut().zip(codes) {
                *byte = code as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_signed() {
        let mut bytes = [0; 34];
        bytes[..2].copy_from_slice(&[0x00, 0x38]); // 0.5
        bytes[2..5].copy_from_slice(&[0x80, 0x7f, 0xff]);
        let mut out = [f32::NAN; 32];
        dequantize(&bytes, &mut out);
        assert_eq!(out[..4], [-64.0, 63.5, -0.5, 0.0]);
    }
}
