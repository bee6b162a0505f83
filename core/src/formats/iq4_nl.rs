//! `iq4_nl`: 32 values of 4 bits that index a table with steps wider towards the ends, `x = d table[q]`.

use super::groups::{self, Batch, Groups, Quantizer, Rows};
use super::packed::{Packed, Slot, Zero};
use super::symmetric::{self, Table};
use super::{Format, block, f16, packed};
use crate::isa::{Isa, Simd};

block::block! {
    /// Value `i` is the low nibble of `qs[i]`, value `16 + i` the high one.
    18 bytes {
        /// Scale, as f16.
        d: 2,
        /// Indices into the table.
        qs: 16,
    }
}

/// What the sixteen codes stand for, here and in `iq4_xs`. Source: ggml's `kvalues_iq4nl`.
pub const TABLE: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// `d table[q]`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<18, 32>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let d = f16::read(block.d);
        for (i, q) in block.qs.into_iter().enumerate() {
            out[i] = d * f32::from(TABLE[usize::from(q & 15)]);
            out[16 + i] = d * f32::from(TABLE[usize::from(q >> 4)]);
        }
    });
}

/// The table as kernels look it up: with the instruction set's bias.
#[inline(always)]
pub(super) fn biased_table<S: Simd>() -> [u8; 16] {
    let mut table = [0; 16];
    for (biased, value) in table.iter_mut().zip(TABLE) {
        *biased = value as u8 ^ S::BIAS;
    }
    table
}

/// The kernels' view.
pub struct Iq4Nl;

impl Packed for Iq4Nl {
    const BYTES: usize = 8 * 18;
    const GROUP: usize = 32;
    const ZERO: Zero = Zero::Signed;
    const FINE: bool = true;

    #[inline(always)]
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4] {
        let mut codes = [simd.splat_byte(0); 4];
        for (i, codes) in codes.iter_mut().enumerate() {
            *codes = simd.lookup(&biased_table::<S>(), packed::block_nibbles(simd, span, 36 * i + 2, 36 * i + 20));
        }
        codes
    }

    #[inline(always)]
    fn scales<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        simd.load_halves_twice(span, 0, 18)
    }

    #[inline(always)]
    fn unpack<S: Simd>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
        packed::unpack_nibbles::<S, 18, 2>(simd, rows, stride, slot, Some(&biased_table::<S>()));
        packed::unpack_half_scales::<S, 18, 0>(simd, rows, stride, slot);
    }
}

/// Finds the blocks of rows.
pub fn quantize(isa: Isa, rows: Rows, out: &mut [u8]) {
    groups::quantize::<Iq4Nl>(isa, rows, out);
}

/// What the value of the largest magnitude becomes, in the units of the table.
pub(super) const CANDIDATES: [f32; 10] = groups::candidates_of_both_signs(-140.0, 90.0, 7.0);

/// The places in the table of the values nearest to `x / scale`; of zero where the scale is zero.
#[inline(always)]
pub(super) fn indices<S: Simd>(simd: S, values: &[u8], scale: f32, out: &mut [i8; 32]) {
    let inverse = simd.splat(groups::inverse_or_zero(scale));
    for (values, out) in values.chunks_exact(64).zip(out.chunks_exact_mut(16)) {
        let x = simd.mul(simd.f32_from_bytes(simd.load_bytes(values)), inverse);
        let mut index = simd.splat(0.0);
        for i in 1..16 {
            let middle = f32::midpoint(f32::from(TABLE[i - 1]), f32::from(TABLE[i]));
            index = simd.select_less(simd.splat(middle), x, simd.splat(i as f32), index);
        }
        simd.store_i8(simd.round(index), out);
    }
}

/// The codes as 16 bytes.
#[inline(always)]
pub(super) fn pack(codes: &[i8; 32], out: &mut [u8]) {
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = codes[i] as u8 | (codes[16 + i] as u8) << 4;
    }
}

impl Quantizer for Iq4Nl {
    const FORMAT: Format = Format::IQ4NL;

    #[inline(always)]
    fn quantize<S: Simd>(simd: S, batch: Batch, out: &mut [u8]) {
        let groups = Groups::<S, 32>::load(simd, batch);
        let scales = symmetric::scale(simd, &groups, Table(&TABLE), &CANDIDATES);
        let scales = groups::lanes(simd, scales).map(groups::half);
        for (block, out) in out.chunks_exact_mut(18).enumerate() {
            out[..2].copy_from_slice(&scales[block].to_le_bytes());
            let mut codes = [0; 32];
            indices(simd, &batch.values[128 * block..][..128], f16::to_f32(scales[block]), &mut codes);
            pack(&codes, &mut out[2..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_look_up_the_table() {
        let mut bytes = [0; 18];
        bytes[..2].copy_from_slice(&[0x00, 0x38]); // 0.5
        bytes[2] = 0xf8;
        let mut out = [f32::NAN; 32];
        dequantize(&bytes, &mut out);
        assert_eq!((out[0], out[1], out[16]), (0.5, -63.5, 56.5));
    }
}
