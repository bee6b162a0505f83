//! `q5_1`: 32 values of 5 bits, `x = d q + m`.

use super::affine::{self, Search};
use super::groups::{self, Batch, Quantizer, Rows};
use super::packed::{Packed, Zero};
use super::{Format, block, f16, packed};
use crate::isa::{Isa, Simd};

block::block! {
    /// Value `i` is the low nibble of `qs[i]`, value `16 + i` the high one; bit `i` of `qh` is the fifth bit of value `i`.
    24 bytes {
        /// Scale, as f16.
        d: 2,
        /// Minimum, as f16.
        m: 2,
        /// Fifth bits, as a 32-bit number.
        qh: 4,
        /// Low four bits.
        qs: 16,
    }
}

/// `d q + m`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<24, 32>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let (d, m) = (f16::read(block.d), f16::read(block.m));
        let high = u32::from_le_bytes(block.qh);
        for (i, q) in block.qs.into_iter().enumerate() {
            let first = (q & 15) | (((high >> i) & 1) << 4) as u8;
            let second = (q >> 4) | (((high >> (16 + i)) & 1) << 4) as u8;
            out[i] = d * f32::from(first) + m;
            out[16 + i] = d * f32::from(second) + m;
        }
    });
}

/// The kernels' view.
pub struct Q5_1;

impl Packed for Q5_1 {
    const BYTES: usize = 8 * 24;
    const GROUP: usize = 32;
    const ZERO: Zero = Zero::Minima;
    const FINE: bool = true;

    #[inline(always)]
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4] {
        let mut codes = [simd.splat_byte(0); 4];
        for (i, codes) in codes.iter_mut().enumerate() {
            let (a, b) = (&span[48 * i..], &span[48 * i + 24..]);
            let low = packed::block_nibbles(simd, span, 48 * i + 8, 48 * i + 32);
            let bits = [a[4], a[5], a[6], a[7], b[4], b[5], b[6], b[7]];
            let fifth = simd.and(simd.expand_bits(u64::from_le_bytes(bits)), simd.splat_byte(16));
            *codes = simd.or(low, fifth);
        }
        codes
    }

    #[inline(always)]
    fn scales<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        simd.load_halves_twice(span, 0, 24)
    }

    #[inline(always)]
    fn minima<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        simd.sub(simd.splat(0.0), simd.load_halves_twice(span, 2, 24))
    }
}

/// Finds the blocks of rows.
pub fn quantize(isa: Isa, rows: Rows, out: &mut [u8]) {
    groups::quantize::<Q5_1>(isa, rows, out);
}

const SEARCH: Search = Search { levels: 31.0, most: 1.0, candidates: &groups::candidates::<12>(27.5, 0.4) };

impl Quantizer for Q5_1 {
    const FORMAT: Format = Format::Q5_1;

    #[inline(always)]
    fn quantize<S: Simd>(simd: S, batch: Batch, out: &mut [u8]) {
        affine::single_groups(simd, batch, &SEARCH, out.chunks_exact_mut(24), |codes, rest| {
            let fifth = (0..32).fold(0, |bits, i| bits | u32::from(codes[i] >> 4) << i);
            rest[..4].copy_from_slice(&fifth.to_le_bytes());
            for (i, byte) in rest[4..].iter_mut().enumerate() {
                *byte = (codes[i] & 15) | codes[16 + i] << 4;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_reach_31_above_the_minimum() {
        let mut bytes = [0; 24];
        bytes[..4].copy_from_slice(&[0x00, 0x40, 0x00, 0xbc]); // 2, -1
        bytes[4..8].copy_from_slice(&[0x02, 0x00, 0x01, 0x00]); // values 1 and 16
        bytes[8] = 0xf3;
        let mut out = [f32::NAN; 32];
        dequantize(&bytes, &mut out);
        assert_eq!((out[0], out[1], out[16], out[17]), (5.0, 31.0, 61.0, -1.0));
    }
}
