//! `q2_k`: 256 values of 2 bits in groups of 16, `x = d s q - dmin m`.

use super::affine::{self, Search};
use super::groups::{self, Batch, Groups, Quantizer, Rows};
use super::packed::{Packed, Slot, Zero};
use super::{Format, block, f16, packed};
use crate::isa::{Isa, Simd};

block::block! {
    /// Value `128 h + 32 s + l` is bits `2 s` and `2 s + 1` of `qs[32 h + l]`.
    84 bytes {
        /// One byte per group of 16: scale in the low nibble, minimum in the high one.
        scales: 16,
        /// Codes 0 to 3.
        qs: 64,
        /// Scale of the scales, as f16.
        d: 2,
        /// Scale of the minima, as f16.
        dmin: 2,
    }
}

/// `(d s) q - (dmin m)`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<84, 256>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let (d, dmin) = (f16::read(block.d), f16::read(block.dmin));
        for (group, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(block.scales[group] & 15);
            let minimum = dmin * f32::from(block.scales[group] >> 4);
            let (first, shift) = (group / 8 * 32 + group % 2 * 16, group % 8 / 2 * 2);
            for (i, out) in out.iter_mut().enumerate() {
                let q = (block.qs[first + i] >> shift) & 3;
                *out = scale * f32::from(q) - minimum;
            }
        }
    });
}

/// The kernels' view.
pub struct Q2K;

impl Packed for Q2K {
    const BYTES: usize = 84;
    const GROUP: usize = 16;
    const ZERO: Zero = Zero::Minima;
    const FINE: bool = false;
    const WHOLE_SCALES: Option<i32> = Some(3);

    #[inline(always)]
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4] {
        packed::span_pairs(simd, &span[16..])
    }

    #[inline(always)]
    fn whole_scales(span: &[u8]) -> u128 {
        nibbles(span, 0)
    }

    #[inline(always)]
    fn factor<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        simd.splat_half::<2>(packed::four_halves(span, 76))
    }

    #[inline(always)]
    fn minima<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        let minima = simd.load_u8(&nibbles(span, 4).to_le_bytes());
        simd.mul(minima, simd.splat_half::<3>(packed::four_halves(span, 76)))
    }

    #[inline(always)]
    fn unpack<S: Simd>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
        slot.set_factors(simd, packed::halves_of_rows(simd, rows, 80, stride));
        let dmin = packed::halves_of_rows(simd, rows, 82, stride);
        let (nibble, pair) = (simd.splat_byte(15), simd.splat_byte(3));
        let both = simd.transpose(rows, 0, stride);
        for i in 0..4 {
            let scales = packed::four_bytes(simd, simd.and(both[i], nibble));
            let minima = packed::four_bytes(simd, simd.and(simd.shift_right::<4>(both[i]), nibble));
            for j in 0..4 {
                slot.set_whole_scales(simd, 4 * i + j, scales[j]);
                slot.set_minima(simd, 4 * i + j, simd.mul(dmin, simd.to_f32(minima[j])));
            }
        }
        for part in 0..4 {
            let (half, quarter) = (part / 2, part % 2);
            let mut bytes = simd.transpose(rows, 16 + 32 * half + 16 * quarter, stride);
            for s in 0..4 {
                for i in 0..4 {
                    slot.set_codes(simd, 32 * half + 8 * s + 4 * quarter + i, simd.and(bytes[i], pair));
                    bytes[i] = simd.shift_right::<2>(bytes[i]);
                }
            }
        }
    }
}

/// The nibble from bit `shift` on of each scale byte.
#[inline(always)]
fn nibbles(span: &[u8], shift: u32) -> u128 {
    let bytes: [u8; 16] = *span.first_chunk().expect("a span starts with 16 scales");
    (u128::from_le_bytes(bytes) >> shift) & 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f
}

/// Finds the blocks of rows.
pub fn quantize(isa: Isa, rows: Rows, out: &mut [u8]) {
    groups::quantize::<Q2K>(isa, rows, out);
}

const SEARCH: Search = Search { levels: 3.0, most: 15.0, candidates: &groups::candidates::<11>(2.0, 0.2) };

impl Quantizer for Q2K {
    const FORMAT: Format = Format::Q2K;

    #[inline(always)]
    fn quantize<S: Simd>(simd: S, batch: Batch, out: &mut [u8]) {
        let blocks = affine::blocks(simd, &Groups::<S, 16>::load(simd, batch), &SEARCH);
        out[80..82].copy_from_slice(&blocks.d[0].to_le_bytes());
        out[82..84].copy_from_slice(&blocks.dmin[0].to_le_bytes());
        for group in 0..16 {
            out[group] = blocks.scales[group] | blocks.minima[group] << 4;
        }
        let codes = blocks.codes::<S, 16>(simd, batch.values, 0, &SEARCH);
        for (i, byte) in out[16..80].iter_mut().enumerate() {
            let first = 128 * (i / 32) + i % 32;
            *byte = (0..4).fold(0, |bits, part| bits | (codes[first + 32 * part] as u8) << (2 * part));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_of_sixteen_has_scale_and_minimum() {
        let mut bytes = [0; 84];
        bytes[80..].copy_from_slice(&[0x00, 0x3c, 0x00, 0x40]); // 1, 2
        bytes[1] = 0x35; // group 1: scale 5, minimum 3
        bytes[15] = 0x02; // group 15: scale 2, minimum 0
        bytes[16 + 16] = 0x03; // value 16
        bytes[16 + 63] = 0xc0; // value 255
        let mut out = [f32::NAN; 256];
        dequantize(&bytes, &mut out);
        assert_eq!((out[15], out[16], out[17], out[254], out[255]), (0.0, 9.0, -6.0, 0.0, 6.0));
    }
}
