//! `q3_k`: 256 values of 3 bits in groups of 16, `x = d (s - 32) (q - 4)`.

use super::groups::{self, Batch, Groups, Quantizer, Rows};
use super::packed::{Packed, Slot, Zero};
use super::symmetric::{self, Whole};
use super::{Format, block, f16, packed};
use crate::isa::{Isa, LANES, Simd};

block::block! {
    /// Value `128 h + 32 s + l` has its low bits at `2 s` of `qs[32 h + l]`; value `32 s + l` its third at `s` of `hmask[l]`.
    110 bytes {
        /// Third bits of the codes.
        hmask: 32,
        /// Low two bits of the codes.
        qs: 64,
        /// Sixteen scales of 6 bits: low nibbles in the first eight bytes, two high bits each in the last four.
        scales: 12,
        /// Scale of the scales, as f16.
        d: 2,
    }
}

/// The sixteen scales, -32 to 31.
#[inline(always)]
pub fn unpack_scales(scales: &[u8; 12]) -> [i8; 16] {
    std::array::from_fn(|i| {
        let low = (scales[i % 8] >> (i / 8 * 4)) & 15;
        let high = (scales[8 + i % 4] >> (i / 4 * 2)) & 3;
        (low | high << 4) as i8 - 32
    })
}

/// `(d (s - 32)) (q - 4)`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<110, 256>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let d = f16::read(block.d);
        let scales = unpack_scales(&block.scales);
        for (group, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(scales[group]);
            let (half, lane, part) = (group / 8 * 32, group % 2 * 16, group / 2);
            for (i, out) in out.iter_mut().enumerate() {
                let low = (block.qs[half + lane + i] >> (part % 4 * 2)) & 3;
                let high = (block.hmask[lane + i] >> part) & 1;
                *out = scale * f32::from((low | high << 2) as i8 - 4);
            }
        }
    });
}

/// The kernels' view.
pub struct Q3K;

impl Packed for Q3K {
    const BYTES: usize = 110;
    const GROUP: usize = 16;
    const ZERO: Zero = Zero::Offset(4);
    const FINE: bool = false;
    const WHOLE_SCALES: Option<i32> = Some(4);

    #[inline(always)]
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4] {
        let low = packed::span_pairs(simd, &span[32..]);
        [
            simd.or(low[0], packed::span_bits::<S, 1>(simd, span, 0, 2)),
            simd.or(low[1], packed::span_bits::<S, 1>(simd, span, 2, 2)),
            simd.or(low[2], packed::span_bits::<S, 1>(simd, span, 4, 2)),
            simd.or(low[3], packed::span_bits::<S, 1>(simd, span, 6, 2)),
        ]
    }

    #[inline(always)]
    fn whole_scales(span: &[u8]) -> u128 {
        let scales = span[96..].first_chunk().expect("a span holds 12 bytes of scales");
        // 32 is taken off each byte; its highest bit keeps it from borrowing, and becomes that of the sign.
        let high = 0x8080_8080_8080_8080_8080_8080_8080_8080;
        let scales = u128::from_le_bytes(unsigned_scales(scales));
        ((scales | high) - 0x2020_2020_2020_2020_2020_2020_2020_2020) ^ high
    }

    #[inline(always)]
    fn factor<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        simd.splat_half::<3>(packed::four_halves(span, 102))
    }

    #[inline(always)]
    fn unpack<S: Simd>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
        slot.set_factors(simd, packed::halves_of_rows(simd, rows, 108, stride));
        let mut scales = [0; 16 * LANES];
        for (row, scales) in scales.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let packed = rows[row * stride + 96..].first_chunk().expect("a span holds 12 bytes of scales");
            *scales = unsigned_scales(packed);
        }
        let scales = simd.transpose(&scales, 0, 16);
        let one = simd.words(simd.splat_i32(1));
        for i in 0..4 {
            let scales = packed::four_bytes(simd, scales[i]);
            for j in 0..4 {
                slot.set_whole_scales(simd, 4 * i + j, simd.mul_add_words(simd.splat_i32(-32), scales[j], one));
            }
        }
        for quarter in 0..2 {
            // The third bits, brought to their place by shifts to the left, or to the right.
            let third = simd.transpose(rows, 16 * quarter, stride);
            let mut low = simd.transpose(rows, 32 + 16 * quarter, stride);
            let mut high = simd.transpose(rows, 64 + 16 * quarter, stride);
            for i in 0..4 {
                let first = 4 * quarter + i;
                set(simd, slot, first, low[i], simd.shift_left::<2>(third[i]));
                low[i] = simd.shift_right::<2>(low[i]);
                set(simd, slot, first + 8, low[i], simd.shift_left::<1>(third[i]));
                low[i] = simd.shift_right::<2>(low[i]);
                set(simd, slot, first + 8 * 2, low[i], third[i]);
                set(simd, slot, first + 8 * 3, simd.shift_right::<2>(low[i]), simd.shift_right::<1>(third[i]));
                set(simd, slot, first + 8 * 4, high[i], simd.shift_right::<2>(third[i]));
                high[i] = simd.shift_right::<2>(high[i]);
                set(simd, slot, first + 8 * 5, high[i], simd.shift_right::<3>(third[i]));
                high[i] = simd.shift_right::<2>(high[i]);
                set(simd, slot, first + 8 * 6, high[i], simd.shift_right::<4>(third[i]));
                set(simd, slot, first + 8 * 7, simd.shift_right::<2>(high[i]), simd.shift_right::<5>(third[i]));
            }
        }
    }
}

/// Sets codes whose low bits and third bit are at their places, among others.
#[inline(always)]
fn set<S: Simd>(simd: S, slot: &mut Slot, four: usize, low: S::Bytes, third: S::Bytes) {
    let codes = simd.or(simd.and(low, simd.splat_byte(3)), simd.and(third, simd.splat_byte(4)));
    slot.set_codes(simd, four, codes);
}

/// The sixteen scales with 32 added, several bytes at a time.
#[inline(always)]
fn unsigned_scales(scales: &[u8; 12]) -> [u8; 16] {
    let low = u64::from_le_bytes(*scales.first_chunk().expect("8 of 12 bytes"));
    let high = u64::from(u32::from_le_bytes(*scales.last_chunk().expect("4 of 12 bytes")));
    let (nibble, pair) = (0x0f0f_0f0f_0f0f_0f0f, 0x0303_0303_0303_0303);
    let first = (low & nibble) | (((high | high << 30) & pair) << 4);
    let last = ((low >> 4) & nibble) | (((high >> 4 | high >> 6 << 32) & pair) << 4);
    (u128::from(first) | u128::from(last) << 64).to_le_bytes()
}

/// Finds the blocks of rows.
pub fn quantize(isa: Isa, rows: Rows, out: &mut [u8]) {
    groups::quantize::<Q3K>(isa, rows, out);
}

/// What the value of the largest magnitude becomes.
const CANDIDATES: [f32; 14] = groups::candidates_of_both_signs(-4.8, 2.2, 0.35);

impl Quantizer for Q3K {
    const FORMAT: Format = Format::Q3K;

    #[inline(always)]
    fn quantize<S: Simd>(simd: S, batch: Batch, out: &mut [u8]) {
        let groups = Groups::<S, 16>::load(simd, batch);
        let blocks = symmetric::blocks(simd, &groups, Whole(-4.0, 3.0), -32.0, &CANDIDATES);
        out[96..108].copy_from_slice(&pack_scales(blocks.scales));
        out[108..].copy_from_slice(&blocks.d[0].to_le_bytes());
        let mut codes = [0; 256];
        for (group, codes) in codes.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let factors = (blocks.factor::<16>(group), 0.0);
            groups::codes(simd, &batch.values[64 * group..][..64], factors, (-4.0, 3.0), codes);
        }
        let codes = codes.map(|code| (code + 4) as u8);
        for (i, byte) in out[..32].iter_mut().enumerate() {
            *byte = (0..8).fold(0, |bits, part| bits | (codes[32 * part + i] >> 2) << part);
        }
        for (i, byte) in out[32..96].iter_mut().enumerate() {
            let first = 128 * (i / 32) + i % 32;
            *byte = (0..4).fold(0, |bits, part| bits | (codes[first + 32 * part] & 3) << (2 * part));
        }
    }
}

/// Scales from -32 to 31 as the block holds them.
fn pack_scales(scales: [i8; 16]) -> [u8; 12] {
    let scales = scales.map(|scale| (scale + 32) as u8);
    let mut out = [0; 12];
    for i in 0..8 {
        out[i] = (scales[i] & 15) | scales[8 + i] << 4;
    }
    for i in 0..16 {
        out[8 + i % 4] |= (scales[i] >> 4) << (i / 4 * 2);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_gather_their_six_bits() {
        let mut scales = [0; 12];
        scales[0] = 0x21; // low nibbles of scales 0 and 8
        scales[7] = 0xf0; // of scale 15
        scales[8] = 0x02; // high bits of scale 0
        scales[11] = 0xc0; // of scale 15
        let unpacked = unpack_scales(&scales);
        assert_eq!((unpacked[0], unpacked[1], unpacked[8], unpacked[15]), (1, -32, -30, 31));
    }

    #[test]
    fn codes_are_centred_at_four() {
        let mut bytes = [0; 110];
        bytes[96] = 0x01; // scale 0: 1 - 32
        bytes[108..].copy_from_slice(&[0x00, 0x3c]); // 1
        bytes[0] = 0x01; // third bit of value 0
        bytes[32] = 0x02; // low bits of value 0
        let mut out = [f32::NAN; 256];
        dequantize(&bytes, &mut out);
        assert_eq!((out[0], out[1], out[16]), (-62.0, 124.0, 128.0));
    }
}
