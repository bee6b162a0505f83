//! `q4_k`: 256 values of 4 bits in groups of 32, `x = d s q - dmin m`.

use super::affine::{self, Search};
use super::groups::{self, Batch, Groups, Quantizer, Rows};
use super::packed::{Packed, Slot, Zero};
use super::{Format, block, f16, packed};
use crate::isa::{Isa, Simd};

block::block! {
    /// Value `64 h + l` is the low nibble of `qs[32 h + l]`, value `64 h + 32 + l` the high one.
    144 bytes {
        /// Scale of the scales, as f16.
        d: 2,
        /// Scale of the minima, as f16.
        dmin: 2,
        /// Eight scales and eight minima of 6 bits.
        scales: 12,
        /// Codes 0 to 15.
        qs: 128,
    }
}

/// The eight scales and eight minima, 0 to 63, of `q4_k` and `q5_k`.
///
/// Bytes 0 to 3 hold scales 0 to 3 and bytes 4 to 7 minima 0 to 3, six bits each. Scales and minima 4 to 7 have their low
/// nibbles in bytes 8 to 11, and their high bits in the two spare bits of bytes 0 to 7.
#[inline(always)]
pub fn unpack_scales(scales: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let (mut s, mut m) = ([0; 8], [0; 8]);
    for i in 0..4 {
        s[i] = scales[i] & 63;
        m[i] = scales[4 + i] & 63;
        s[4 + i] = (scales[8 + i] & 15) | ((scales[i] >> 2) & 0x30);
        m[4 + i] = (scales[8 + i] >> 4) | ((scales[4 + i] >> 2) & 0x30);
    }
    (s, m)
}

/// `(d s) q - (dmin m)`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<144, 256>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let (d, dmin) = (f16::read(block.d), f16::read(block.dmin));
        let (scales, minima) = unpack_scales(&block.scales);
        for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let scale = d * f32::from(scales[group]);
            let minimum = dmin * f32::from(minima[group]);
            let (first, shift) = (group / 2 * 32, group % 2 * 4);
            for (i, out) in out.iter_mut().enumerate() {
                let q = (block.qs[first + i] >> shift) & 15;
                *out = scale * f32::from(q) - minimum;
            }
        }
    });
}

/// The kernels' view.
pub struct Q4K;

impl Packed for Q4K {
    const BYTES: usize = 144;
    const GROUP: usize = 32;
    const ZERO: Zero = Zero::Minima;
    const FINE: bool = false;
    const WHOLE_SCALES: Option<i32> = Some(15);

    #[inline(always)]
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4] {
        nibbles(simd, &span[16..])
    }

    #[inline(always)]
    fn whole_scales(span: &[u8]) -> u128 {
        whole_scales(span)
    }

    #[inline(always)]
    fn factor<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        simd.splat_half::<0>(packed::four_halves(span, 0))
    }

    #[inline(always)]
    fn minima<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        minima(simd, span)
    }

    #[inline(always)]
    fn unpack<S: Simd>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
        unpack_scales_of_rows(simd, rows, stride, slot);
        let low = simd.splat_byte(15);
        for pair in 0..4 {
            for half in 0..2 {
                let bytes = simd.transpose(rows, 16 + 32 * pair + 16 * half, stride);
                for i in 0..4 {
                    let four = 16 * pair + 4 * half + i;
                    slot.set_codes(simd, four, simd.and(bytes[i], low));
                    slot.set_codes(simd, four + 8, simd.and(simd.shift_right::<4>(bytes[i]), low));
                }
            }
        }
    }
}

/// The nibbles of 128 bytes, as `q4_k` and `q5_k` have them.
#[inline(always)]
pub(super) fn nibbles<S: Simd>(simd: S, bytes: &[u8]) -> [S::Bytes; 4] {
    [
        packed::span_bits::<S, 4>(simd, bytes, 0, 0),
        packed::span_bits::<S, 4>(simd, &bytes[32..], 0, 0),
        packed::span_bits::<S, 4>(simd, &bytes[64..], 0, 0),
        packed::span_bits::<S, 4>(simd, &bytes[96..], 0, 0),
    ]
}

/// The scales of a block of `q4_k` or `q5_k`.
#[inline(always)]
pub(super) fn whole_scales(span: &[u8]) -> u128 {
    let [first, last] = scales_and_minima(span);
    u128::from((first & 0xffff_ffff) | last << 32)
}

/// The minima of a block of `q4_k` or `q5_k`.
#[inline(always)]
pub(super) fn minima<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
    let [first, last] = scales_and_minima(span);
    let minima = first >> 32 | (last & 0xffff_ffff_0000_0000);
    simd.mul(simd.load_u8_twice(minima.to_le_bytes()), simd.splat_half::<1>(packed::four_halves(span, 0)))
}

/// Four scales and then four minima, those of groups 0 to 3 and those of groups 4 to 7; see [`unpack_scales`].
#[inline(always)]
fn scales_and_minima(span: &[u8]) -> [u64; 2] {
    let first = u64::from_le_bytes(*span[4..].first_chunk().expect("a span holds 12 bytes of scales"));
    let nibbles = u64::from(u32::from_le_bytes(*span[12..].first_chunk().expect("a span holds 12 bytes of scales")));
    // High nibbles move to the upper half and to the place of low ones.
    let low = (nibbles | nibbles << 28) & 0x0f0f_0f0f_0f0f_0f0f;
    [first & 0x3f3f_3f3f_3f3f_3f3f, low | ((first >> 2) & 0x3030_3030_3030_3030)]
}

/// The scales and minima of 16 rows of `q4_k` or `q5_k`.
#[inline(always)]
pub(super) fn unpack_scales_of_rows<S: Simd>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
    let [halves, scales, minima, mixed] = simd.transpose(rows, 0, stride);
    slot.set_factors(simd, simd.half_to_f32::<0>(halves));
    let dmin = simd.half_to_f32::<1>(halves);
    let (six, four, two) = (simd.splat_byte(0x3f), simd.splat_byte(0x0f), simd.splat_byte(0x30));
    let scales_high = simd.or(simd.and(mixed, four), simd.and(simd.shift_right::<2>(scales), two));
    let minima_high =
        simd.or(simd.and(simd.shift_right::<4>(mixed), four), simd.and(simd.shift_right::<2>(minima), two));
    let scales = [simd.and(scales, six), scales_high];
    let minima = [simd.and(minima, six), minima_high];
    for half in 0..2 {
        let (scales, minima) = (packed::four_bytes(simd, scales[half]), packed::four_bytes(simd, minima[half]));
        for i in 0..4 {
            slot.set_whole_scales(simd, 4 * half + i, scales[i]);
            slot.set_minima(simd, 4 * half + i, simd.mul(dmin, simd.to_f32(minima[i])));
        }
    }
}

/// Finds the blocks of rows.
pub fn quantize(isa: Isa, rows: Rows, out: &mut [u8]) {
    groups::quantize::<Q4K>(isa, rows, out);
}

/// The first 16 bytes of a block of `q4_k` or `q5_k`, of which there are two.
#[inline(always)]
pub(super) fn pack_scales(blocks: &affine::Blocks, number: usize) -> [u8; 16] {
    let (s, m) = (&blocks.scales[8 * number..][..8], &blocks.minima[8 * number..][..8]);
    let mut out = [0; 16];
    out[..2].copy_from_slice(&blocks.d[number].to_le_bytes());
    out[2..4].copy_from_slice(&blocks.dmin[number].to_le_bytes());
    for i in 0..4 {
        out[4 + i] = s[i] | (s[4 + i] >> 4) << 6;
        out[8 + i] = m[i] | (m[4 + i] >> 4) << 6;
        out[12 + i] = (s[4 + i] & 15) | (m[4 + i] & 15) << 4;
    }
    out
}

const SEARCH: Search = Search { levels: 15.0, most: 63.0, candidates: &groups::candidates::<13>(12.4, 0.3) };

impl Quantizer for Q4K {
    const FORMAT: Format = Format::Q4K;

    #[inline(always)]
    fn quantize<S: Simd>(simd: S, batch: Batch, out: &mut [u8]) {
        let blocks = affine::blocks(simd, &Groups::<S, 32>::load(simd, batch), &SEARCH);
        for (number, out) in out.chunks_exact_mut(<Self as Packed>::BYTES).enumerate() {
            let codes = blocks.codes::<S, 32>(simd, batch.values, number, &SEARCH);
            pack(pack_scales(&blocks, number), &codes, out);
        }
    }
}

#[inline(always)]
fn pack(head: [u8; 16], codes: &[i8; 256], out: &mut [u8]) {
    out[..16].copy_from_slice(&head);
    for (i, byte) in out[16..].iter_mut().enumerate() {
        let first = 64 * (i / 32) + i % 32;
        *byte = codes[first] as u8 | (codes[first + 32] as u8) << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_gather_their_six_bits() {
        let mut scales = [0; 12];
        (scales[0], scales[7], scales[8], scales[11]) = (0x81, 0xff, 0x05, 0xe0);
        let (s, m) = unpack_scales(&scales);
        assert_eq!(s, [1, 0, 0, 0, 0x25, 0, 0, 0]);
        assert_eq!(m, [0, 0, 0, 63, 0, 0, 0, 0x3e]);
    }

    #[test]
    fn each_group_of_32_has_scale_and_minimum() {
        let mut bytes = [0; 144];
        bytes[..4].copy_from_slice(&[0x00, 0x3c, 0x00, 0x40]); // 1, 2
        (bytes[5], bytes[9]) = (3, 5); // group 1: scale 3, minimum 5
        bytes[16] = 0xf7; // values 0 and 32
        let mut out = [f32::NAN; 256];
        dequantize(&bytes, &mut out);
        assert_eq!((out[0], out[32], out[33], out[64]), (0.0, 35.0, -10.0, 0.0));
    }
}
