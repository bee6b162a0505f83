//! `q4_1`: 32 values of 4 bits, `x = d q + m`.

use super::affine::{self, Search};
use super::groups::{self, Batch, Quantizer, Rows};
use super::packed::{Packed, Slot, Zero};
use super::{Format, block, f16, packed};
use crate::isa::{Isa, Simd};

block::block! {
    /// Value `i` is the low nibble of `qs[i]`, value `16 + i` the high one.
    20 bytes {
        /// Scale, as f16.
        d: 2,
        /// Minimum, as f16.
        m: 2,
        /// Codes 0 to 15.
        qs: 16,
    }
}

/// `d q + m`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<20, 32>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let (d, m) = (f16::read(block.d), f16::read(block.m));
        for (i, q) in block.qs.into_iter().enumerate() {
            out[i] = d * f32::from(q & 15) + m;
            out[16 + i] = d * f32::from(q >> 4) + m;
        }
    });
}

/// The kernels' view.
pub struct Q4_1;

impl Packed for Q4_1 {
    const BYTES: usize = 8 * 20;
    const GROUP: usize = 32;
    const ZERO: Zero = Zero::Minima;
    const FINE: bool = true;

    #[inline(always)]
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4] {
        let mut codes = [simd.splat_byte(0); 4];
        for (i, codes) in codes.iter_mut().enumerate() {
            *codes = packed::block_nibbles(simd, span, 40 * i + 4, 40 * i + 24);
        }
        codes
    }

    #[inline(always)]
    fn scales<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        simd.load_halves_twice(span, 0, 20)
    }

    #[inline(always)]
    fn minima<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        simd.sub(simd.splat(0.0), simd.load_halves_twice(span, 2, 20))
    }

    #[inline(always)]
    fn unpack<S: Simd>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
        packed::unpack_nibbles::<S, 20, 4>(simd, rows, stride, slot, None);
        packed::unpack_half_scales::<S, 20, 0>(simd, rows, stride, slot);
        for block in 0..8 {
            let minima = packed::halves_of_rows(simd, rows, 20 * block + 2, stride);
            slot.set_minima(simd, block, simd.sub(simd.splat(0.0), minima));
        }
    }
}

/// Finds the blocks of rows.
pub fn quantize(isa: Isa, rows: Rows, out: &mut [u8]) {
    groups::quantize::<Q4_1>(isa, rows, out);
}

const SEARCH: Search = Search { levels: 15.0, most: 1.0, candidates: &groups::candidates::<13>(12.4, 0.3) };

impl Quantizer for Q4_1 {
    const FORMAT: Format = Format::Q4_1;

    #[inline(always)]
    fn quantize<S: Simd>(simd: S, batch: Batch, out: &mut [u8]) {
        affine::single_groups(simd, batch, &SEARCH, out.chunks_exact_mut(20), |codes, rest| {
            for (i, byte) in rest.iter_mut().enumerate() {
                *byte = codes[i] | codes[16 + i] << 4;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_count_up_from_the_minimum() {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&[0x00, 0x40, 0x00, 0xbc]); // 2, -1
        bytes[4] = 0xf1;
        let mut out = [f32::NAN; 32];
        dequantize(&bytes, &mut out);
        assert_eq!((out[0], out[1], out[16], out[31]), (1.0, -1.0, 29.0, -1.0));
    }
}
