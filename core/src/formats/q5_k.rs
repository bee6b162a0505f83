//! `q5_k`: 256 values of 5 bits in groups of 32, `x = d s q - dmin m`.

use super::affine::{self, Search};
use super::groups::{self, Batch, Groups, Quantizer, Rows};
use super::packed::{Packed, Slot, Zero};
use super::{Format, block, f16, packed, q4_k};
use crate::isa::{Isa, Simd};

block::block! {
    /// As in `q4_k`, and value `32 g + l` has its fifth bit at `g` of `qh[l]`.
    176 bytes {
        /// Scale of the scales, as f16.
        d: 2,
        /// Scale of the minima, as f16.
        dmin: 2,
        /// Eight scales and eight minima of 6 bits, packed as in `q4_k`.
        scales: 12,
        /// Fifth bits of the codes.
        qh: 32,
        /// Low four bits of the codes.
        qs: 128,
    }
}

/// `(d s) q - (dmin m)`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<176, 256>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let (d, dmin) = (f16::read(block.d), f16::read(block.dmin));
        let (scales, minima) = q4_k::unpack_scales(&block.scales);
        for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let scale = d * f32::from(scales[group]);
            let minimum = dmin * f32::from(minima[group]);
            let (first, shift) = (group / 2 * 32, group % 2 * 4);
            for (i, out) in out.iter_mut().enumerate() {
                let low = (block.qs[first + i] >> shift) & 15;
                let high = (block.qh[i] >> group) & 1;
                *out = scale * f32::from(low | high << 4) - minimum;
            }
        }
    });
}

/// The kernels' view.
pub struct Q5K;

impl Packed for Q5K {
    const BYTES: usize = 176;
    const GROUP: usize = 32;
    const ZERO: Zero = Zero::Minima;
    const FINE: bool = false;
    const WHOLE_SCALES: Option<i32> = Some(31);

    #[inline(always)]
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4] {
        let low = q4_k::nibbles(simd, &span[48..]);
        [
            simd.or(low[0], packed::span_bits::<S, 1>(simd, &span[16..], 0, 4)),
            simd.or(low[1], packed::span_bits::<S, 1>(simd, &span[16..], 2, 4)),
            simd.or(low[2], packed::span_bits::<S, 1>(simd, &span[16..], 4, 4)),
            simd.or(low[3], packed::span_bits::<S, 1>(simd, &span[16..], 6, 4)),
        ]
    }

    #[inline(always)]
    fn whole_scales(span: &[u8]) -> u128 {
        q4_k::whole_scales(span)
    }

    #[inline(always)]
    fn factor<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        simd.splat_half::<0>(packed::four_halves(span, 0))
    }

    #[inline(always)]
    fn minima<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        q4_k::minima(simd, span)
    }

    #[inline(always)]
    fn unpack<S: Simd>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
        q4_k::unpack_scales_of_rows(simd, rows, stride, slot);
        let (low, one) = (simd.splat_byte(15), simd.splat_byte(1));
        for half in 0..2 {
            let mut fifth = simd.transpose(rows, 16 + 16 * half, stride);
            for pair in 0..4 {
                let bytes = simd.transpose(rows, 48 + 32 * pair + 16 * half, stride);
                for i in 0..4 {
                    let four = 16 * pair + 4 * half + i;
                    let first = simd.shift_left::<4>(simd.and(fifth[i], one));
                    let second = simd.shift_left::<4>(simd.and(simd.shift_right::<1>(fifth[i]), one));
                    slot.set_codes(simd, four, simd.or(simd.and(bytes[i], low), first));
                    let high = simd.and(simd.shift_right::<4>(bytes[i]), low);
                    slot.set_codes(simd, four + 8, simd.or(high, second));
                    fifth[i] = simd.and(simd.shift_right::<2>(fifth[i]), simd.splat_byte(0x3f));
                }
            }
        }
    }
}

/// Finds the blocks of rows.
pub fn quantize(isa: Isa, rows: Rows, out: &mut [u8]) {
    groups::quantize::<Q5K>(isa, rows, out);
}

const SEARCH: Search = Search { levels: 31.0, most: 63.0, candidates: &groups::candidates::<12>(27.5, 0.4) };

impl Quantizer for Q5K {
    const FORMAT: Format = Format::Q5K;

    #[inline(always)]
    fn quantize<S: Simd>(simd: S, batch: Batch, out: &mut [u8]) {
        let blocks = affine::blocks(simd, &Groups::<S, 32>::load(simd, batch), &SEARCH);
        for (number, out) in out.chunks_exact_mut(<Self as Packed>::BYTES).enumerate() {
            let codes = blocks.codes::<S, 32>(simd, batch.values, number, &SEARCH);
            pack(q4_k::pack_scales(&blocks, number), &codes, out);
        }
    }
}

#[inline(always)]
fn pack(head: [u8; 16], codes: &[i8; 256], out: &mut [u8]) {
    out[..16].copy_from_slice(&head);
    for (i, byte) in out[16..48].iter_mut().enumerate() {
        *byte = (0..8).fold(0, |bits, group| bits | (codes[32 * group + i] as u8 >> 4) << group);
    }
    for (i, byte) in out[48..].iter_mut().enumerate() {
        let first = 64 * (i / 32) + i % 32;
        *byte = (codes[first] as u8 & 15) | (codes[first + 32] as u8) << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_bit_of_each_group_is_its_own() {
        let mut bytes = [0; 176];
        bytes[..4].copy_from_slice(&[0x00, 0x3c, 0x00, 0x40]); // 1, 2
        (bytes[4], bytes[5], bytes[9]) = (1, 3, 5); // group 0: scale 1; group 1: scale 3, minimum 5
        bytes[16] = 0x02; // fifth bit of value 32
        bytes[48] = 0xf7; // values 0 and 32
        let mut out = [f32::NAN; 256];
        dequantize(&bytes, &mut out);
        assert_eq!((out[0], out[1], out[32], out[33]), (7.0, 0.0, 83.0, -10.0));
    }
}
