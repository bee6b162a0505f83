//! `iq4_nl`: 32 values of 4 bits that index a table with steps wider towards the ends, `x = d table[q]`.

use super::packed::{Packed, Slot, Zero};
use super::{block, f16, packed};
use crate::isa::Simd;

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
