//! `q4_0`: 32 values of 4 bits, `x = d (q - 8)`.

use super::groups::{self, Batch, Groups, Quantizer, Rows};
use super::packed::{Packed, Slot, Zero};
use super::symmetric::{self, Whole};
use super::{Format, block, f16, packed};
use crate::isa::{Isa, Simd};

block::block! {
    /// Value `i` is the low nibble of `qs[i]`, value `16 + i` the high one.
    18 bytes {
        /// Scale, as f16.
        d: 2,
        /// Codes 0 to 15.
        qs: 16,
    }
}

/// `d (q - 8)`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<18, 32>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let d = f16::read(block.d);
        for (i, q) in block.qs.into_iter().enumerate() {
            out[i] = d * f32::from((q & 15) as i8 - 8);
            out[16 + i] = d * f32::from((q >> 4) as i8 - 8);
        }
    });
}

/// The kernels' view.
pub struct Q4_0;

impl Packed for Q4_0 {
    const BYTES: usize = 8 * 18;
    const GROUP: usize = 32;
    const ZERO: Zero = Zero::Offset(8);
    const FINE: bool = true;

    #[inline(always)]
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4] {
        let mut codes = [simd.splat_byte(0); 4];
        for (i, codes) in codes.iter_mut().enumerate() {
            *codes = packed::block_nibbles(simd, span, 36 * i + 2, 36 * i + 20);
        }
        codes
    }

    #[inline(always)]
    fn scales<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        simd.load_halves_twice(span, 0, 18)
    }

    #[inline(always)]
    fn unpack<S: Simd>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
        packed::unpack_nibbles::<S, 18, 2>(simd, rows, stride, slot, None);
        packed::unpack_half_scales::<S, 18, 0>(simd, rows, stride, slot);
    }
}

/// Finds the blocks of rows.
pub fn quantize(isa: Isa, rows: Rows, out: &mut [u8]) {
    groups::quantize::<Q4_0>(isa, rows, out);
}

/// What the value of the largest magnitude becomes.
const CANDIDATES: [f32; 14] = groups::candidates(-8.9, 0.26);

impl Quantizer for Q4_0 {
    const FORMAT: Format = Format::Q4_0;

    #[inline(always)]
    fn quantize<S: Simd>(simd: S, batch: Batch, out: &mut [u8]) {
        let groups = Groups::<S, 32>::load(simd, batch);
        let scales = symmetric::scale(simd, &groups, Whole(-8.0, 7.0), &CANDIDATES);
        let scales = groups::lanes(simd, scales).map(groups::half);
        for (block, out) in out.chunks_exact_mut(18).enumerate() {
            out[..2].copy_from_slice(&scales[block].to_le_bytes());
            let mut codes = [0; 32];
            let values = &batch.values[128 * block..][..128];
            groups::codes(simd, values, (f16::to_f32(scales[block]), 0.0), (-8.0, 7.0), &mut codes);
            for (i, byte) in out[2..].iter_mut().enumerate() {
                *byte = (codes[i] + 8) as u8 | ((codes[16 + i] + 8) as u8) << 4;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_centred_at_eight() {
        let mut bytes = [0x80; 18]; // low nibble 0, high nibble 8
        bytes[..2].copy_from_slice(&[0x00, 0xb8]); // -0.5
        bytes[2] = 0xf1;
        let mut out = [f32::NAN; 32];
        dequantize(&bytes, &mut out);
        assert_eq!((out[0], out[1], out[16]), (3.5, 4.0, -3.5));
        assert_eq!(out[17].to_bits(), (-0.0f32).to_bits());
    }
}
