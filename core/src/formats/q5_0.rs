//! `q5_0`: 32 values of 5 bits, `x = d (q - 16)`.

use super::groups::{self, Batch, Groups, Quantizer, Rows};
use super::packed::{Packed, Zero};
use super::symmetric::{self, Whole};
use super::{Format, block, f16, packed};
use crate::isa::{Isa, Simd};

block::block! {
    /// Value `i` is the low nibble of `qs[i]`, value `16 + i` the high one; bit `i` of `qh` is the fifth bit of value `i`.
    22 bytes {
        /// Scale, as f16.
        d: 2,
        /// Fifth bits, as a 32-bit number.
        qh: 4,
        /// Low four bits.
        qs: 16,
    }
}

/// `d (q - 16)`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<22, 32>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let d = f16::read(block.d);
        let high = u32::from_le_bytes(block.qh);
        for (i, q) in block.qs.into_iter().enumerate() {
            let first = (q & 15) | (((high >> i) & 1) << 4) as u8;
            let second = (q >> 4) | (((high >> (16 + i)) & 1) << 4) as u8;
            out[i] = d * f32::from(first as i8 - 16);
            out[16 + i] = d * f32::from(second as i8 - 16);
        }
    });
}

/// The kernels' view.
pub struct Q5_0;

impl Packed for Q5_0 {
    const BYTES: usize = 8 * 22;
    const GROUP: usize = 32;
    const ZERO: Zero = Zero::Offset(16);
    const FINE: bool = true;

    #[inline(always)]
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4] {
        let mut codes = [simd.splat_byte(0); 4];
        for (i, codes) in codes.iter_mut().enumerate() {
            let (a, b) = (&span[44 * i..], &span[44 * i + 22..]);
            let low = packed::block_nibbles(simd, span, 44 * i + 6, 44 * i + 28);
            let bits = [a[2], a[3], a[4], a[5], b[2], b[3], b[4], b[5]];
            let fifth = simd.and(simd.expand_bits(u64::from_le_bytes(bits)), simd.splat_byte(16));
            *codes = simd.or(low, fifth);
        }
        codes
    }

    #[inline(always)]
    fn scales<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        simd.load_halves_twice(span, 0, 22)
    }
}

/// Finds the blocks of rows.
pub fn quantize(isa: Isa, rows: Rows, out: &mut [u8]) {
    groups::quantize::<Q5_0>(isa, rows, out);
}

/// What the value of the largest magnitude becomes.
const CANDIDATES: [f32; 14] = groups::candidates(-16.9, 0.33);

impl Quantizer for Q5_0 {
    const FORMAT: Format = Format::Q5_0;

    #[inline(always)]
    fn quantize<S: Simd>(simd: S, batch: Batch, out: &mut [u8]) {
        let groups = Groups::<S, 32>::load(simd, batch);
        let scales = symmetric::scale(simd, &groups, Whole(-16.0, 15.0), &CANDIDATES);
        let scales = groups::lanes(simd, scales).map(groups::half);
        for (block, out) in out.chunks_exact_mut(22).enumerate() {
            out[..2].copy_from_slice(&scales[block].to_le_bytes());
            let mut codes = [0; 32];
            let values = &batch.values[128 * block..][..128];
            groups::codes(simd, values, (f16::to_f32(scales[block]), 0.0), (-16.0, 15.0), &mut codes);
            let codes = codes.map(|code| (code + 16) as u8);
            let fifth = (0..32).fold(0, |bits, i| bits | u32::from(codes[i] >> 4) << i);
            out[2..6].copy_from_slice(&fifth.to_le_bytes());
            for (i, byte) in out[6..].iter_mut().enumerate() {
                *byte = (codes[i] & 15) | codes[16 + i] << 4;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_bit_comes_from_its_own_word() {
        let mut bytes = [0; 22];
        bytes[..2].copy_from_slice(&[0x00, 0x3c]); // 1
        bytes[2..6].copy_from_slice(&[0x01, 0x00, 0x01, 0x80]); // values 0, 16 and 31
        bytes[6] = 0x21;
        let mut out = [f32::NAN; 32];
        dequantize(&bytes, &mut out);
        assert_eq!((out[0], out[1], out[16], out[30], out[31]), (1.0, -16.0, 2.0, -16.0, 0.0));
    }
}
