//! `q6_k`: 256 values of 6 bits in groups of 16, `x = d s (q - 32)`.

use super::groups::{self, Batch, Groups, Quantizer, Rows};
use super::packed::{Packed, Slot, Zero};
use super::symmetric::{self, Whole};
use super::{Format, block, f16, packed};
use crate::isa::{Isa, Simd};

block::block! {
    /// Value `128 h + 64 n + l` has its low nibble at `n` of `ql[64 h + l]`; value `128 h + 32 s + l` its high bits at `2 s` of
    /// `qh[32 h + l]`.
    210 bytes {
        /// Low four bits of the codes.
        ql: 128,
        /// High two bits of the codes.
        qh: 64,
        /// One signed scale per group of 16, as i8.
        scales: 16,
        /// Scale of the scales, as f16.
        d: 2,
    }
}

/// `(d s) (q - 32)`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<210, 256>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let d = f16::read(block.d);
        for (group, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(block.scales[group] as i8);
            let half = group / 8;
            let (low_first, low_shift) = (half * 64 + group % 4 * 16, group % 8 / 4 * 4);
            let (high_first, high_shift) = (half * 32 + group % 2 * 16, group % 8 / 2 * 2);
            for (i, out) in out.iter_mut().enumerate() {
                let low = (block.ql[low_first + i] >> low_shift) & 15;
                let high = (block.qh[high_first + i] >> high_shift) & 3;
                *out = scale * f32::from((low | high << 4) as i8 - 32);
            }
        }
    });
}

/// The kernels' view.
pub struct Q6K;

impl Packed for Q6K {
    const BYTES: usize = 210;
    const GROUP: usize = 16;
    const ZERO: Zero = Zero::Offset(32);
    const FINE: bool = false;
    const WHOLE_SCALES: Option<i32> = Some(32);

    #[inline(always)]
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4] {
        let nibble = simd.splat_byte(15);
        let mut codes = [simd.splat_byte(0); 4];
        for half in 0..2 {
            let low = simd.load_bytes(&span[64 * half..]);
            let high = &span[128 + 32 * half..];
            codes[2 * half] = simd.or(simd.and(low, nibble), packed::span_bits::<S, 2>(simd, high, 0, 4));
            let low = simd.and(simd.shift_right::<4>(low), nibble);
            codes[2 * half + 1] = simd.or(low, packed::span_bits::<S, 2>(simd, high, 4, 4));
        }
        codes
    }

    #[inline(always)]
    fn whole_scales(span: &[u8]) -> u128 {
        u128::from_le_bytes(*span[192..].first_chunk().expect("a span holds 16 bytes of scales"))
    }

    #[inline(always)]
    fn factor<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        simd.splat_half::<3>(packed::four_halves(span, 202))
    }

    #[inline(always)]
    fn unpack<S: Simd>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
        slot.set_factors(simd, packed::halves_of_rows(simd, rows, 208, stride));
        let scales = simd.transpose(rows, 192, stride);
        for i in 0..4 {
            let scales = scales[i];
            slot.set_whole_scales(simd, 4 * i, simd.signed_byte::<0>(scales));
            slot.set_whole_scales(simd, 4 * i + 1, simd.signed_byte::<1>(scales));
            slot.set_whole_scales(simd, 4 * i + 2, simd.signed_byte::<2>(scales));
            slot.set_whole_scales(simd, 4 * i + 3, simd.signed_byte::<3>(scales));
        }
        let (low, high) = (simd.splat_byte(15), simd.splat_byte(0x30));
        for part in 0..4 {
            let (half, quarter) = (part / 2, part % 2);
            let first = simd.transpose(rows, 64 * half + 16 * quarter, stride);
            let second = simd.transpose(rows, 64 * half + 32 + 16 * quarter, stride);
            let bits = simd.transpose(rows, 128 + 32 * half + 16 * quarter, stride);
            for i in 0..4 {
                let four = 32 * half + 4 * quarter + i;
                let (a, b, bits) = (first[i], second[i], bits[i]);
                let codes = simd.or(simd.and(a, low), simd.and(simd.shift_left::<4>(bits), high));
                slot.set_codes(simd, four, codes);
                let codes = simd.or(simd.and(b, low), simd.and(simd.shift_left::<2>(bits), high));
                slot.set_codes(simd, four + 8, codes);
                let codes = simd.or(simd.and(simd.shift_right::<4>(a), low), simd.and(bits, high));
                slot.set_codes(simd, four + 16, codes);
                let codes =
                    simd.or(simd.and(simd.shift_right::<4>(b), low), simd.and(simd.shift_right::<2>(bits), high));
                slot.set_codes(simd, four + 24, codes);
            }
        }
    }
}

/// Finds the blocks of rows.
pub fn quantize(isa: Isa, rows: Rows, out: &mut [u8]) {
    groups::quantize::<Q6K>(isa, rows, out);
}

/// What the value of the largest magnitude becomes.
const CANDIDATES: [f32; 12] = groups::candidates(-33.0, 0.45);

impl Quantizer for Q6K {
    const FORMAT: Format = Format::Q6K;

    #[inline(always)]
    fn quantize<S: Simd>(simd: S, batch: Batch, out: &mut [u8]) {
        let groups = Groups::<S, 16>::load(simd, batch);
        let blocks = symmetric::blocks(simd, &groups, Whole(-32.0, 31.0), -128.0, &CANDIDATES);
        out[208..].copy_from_slice(&blocks.d[0].to_le_bytes());
        let mut codes = [0; 256];
        for (group, codes) in codes.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            out[192 + group] = blocks.scales[group] as u8;
            let factors = (blocks.factor::<16>(group), 0.0);
            groups::codes(simd, &batch.values[64 * group..][..64], factors, (-32.0, 31.0), codes);
        }
        let codes = codes.map(|code| (code + 32) as u8);
        for (i, byte) in out[..128].iter_mut().enumerate() {
            let first = 128 * (i / 64) + i % 64;
            *byte = (codes[first] & 15) | codes[first + 64] << 4;
        }
        for (i, byte) in out[128..192].iter_mut().enumerate() {
            let first = 128 * (i / 32) + i % 32;
            *byte = (0..4).fold(0, |bits, part| bits | (codes[first + 32 * part] >> 4) << (2 * part));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_centred_at_32_and_scales_are_signed() {
        let mut bytes = [0; 210];
        bytes[208..].copy_from_slice(&[0x00, 0x38]); // 0.5
        (bytes[192], bytes[207]) = (2, 0xff); // group 0: 2; group 15: -1
        (bytes[0], bytes[128]) = (0x01, 0x02); // value 0: 0x21
        (bytes[127], bytes[191]) = (0xf0, 0xc0); // value 255: 63
        let mut out = [f32::NAN; 256];
        dequantize(&bytes, &mut out);
        assert_eq!((out[0], out[1], out[16], out[254], out[255]), (1.0, -32.0, 0.0, 16.0, -15.5));
    }
}
