//! `iq4_xs`: 256 values of 4 bits in groups of 32 that index the table of `iq4_nl`, `x = d (s - 32) table[q]`.

use super::groups::{self, Batch, Groups, Quantizer, Rows};
use super::packed::{Packed, Slot, Zero};
use super::symmetric::{self, Table};
use super::{Format, block, f16, iq4_nl, packed};
use crate::isa::{Isa, LANES, Simd};

block::block! {
    /// Value `32 g + l` is the low nibble of `qs[16 g + l]`, value `32 g + 16 + l` the high one.
    136 bytes {
        /// Scale of the scales, as f16.
        d: 2,
        /// High two bits of the eight scales, as a 16-bit number.
        scales_h: 2,
        /// Low nibbles of the eight scales.
        scales_l: 4,
        /// Indices into the table.
        qs: 128,
    }
}

impl Block {
    /// The eight scales, -32 to 31.
    #[inline(always)]
    pub fn unpack_scales(&self) -> [i8; 8] {
        let high = u16::from_le_bytes(self.scales_h);
        std::array::from_fn(|i| {
            let low = (self.scales_l[i / 2] >> (i % 2 * 4)) & 15;
            (low | (((high >> (2 * i)) & 3) as u8) << 4) as i8 - 32
        })
    }
}

/// `(d (s - 32)) table[q]`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<136, 256>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let d = f16::read(block.d);
        let scales = block.unpack_scales();
        for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let scale = d * f32::from(scales[group]);
            for i in 0..16 {
                let q = block.qs[16 * group + i];
                out[i] = scale * f32::from(iq4_nl::TABLE[usize::from(q & 15)]);
                out[16 + i] = scale * f32::from(iq4_nl::TABLE[usize::from(q >> 4)]);
            }
        }
    });
}

/// The kernels' view.
pub struct Iq4Xs;

impl Packed for Iq4Xs {
    const BYTES: usize = 136;
    const GROUP: usize = 32;
    const ZERO: Zero = Zero::Signed;
    const FINE: bool = false;

    #[inline(always)]
    fn codes<S: Simd>(simd: S, span: &[u8]) -> [S::Bytes; 4] {
        let table = iq4_nl::biased_table::<S>();
        let mut codes = [simd.splat_byte(0); 4];
        for (i, codes) in codes.iter_mut().enumerate() {
            *codes = simd.lookup(&table, packed::block_nibbles(simd, span, 32 * i + 8, 32 * i + 24));
        }
        codes
    }

    #[inline(always)]
    fn scales<S: Simd>(simd: S, span: &[u8]) -> S::F32 {
        let d = simd.splat_half::<0>(packed::four_halves(span, 0));
        simd.mul(simd.sub(simd.load_u8_twice(unsigned_scales(span)), simd.splat(32.0)), d)
    }

    #[inline(always)]
    fn unpack<S: Simd>(simd: S, rows: &[u8], stride: usize, slot: &mut Slot) {
        packed::unpack_nibbles::<S, 16, 8>(simd, rows, stride, slot, Some(&iq4_nl::biased_table::<S>()));
        let d = packed::halves_of_rows(simd, rows, 0, stride);
        let mut scales = [0; 16 * LANES];
        for (row, scales) in scales.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            scales[..8].copy_from_slice(&unsigned_scales(&rows[row * stride..]));
        }
        let scales = simd.transpose(&scales, 0, 16);
        for half in 0..2 {
            let scales = packed::four_bytes(simd, scales[half]);
            for i in 0..4 {
                let scale = simd.sub(simd.to_f32(scales[i]), simd.splat(32.0));
                slot.set_scales(simd, 4 * half + i, simd.mul(d, scale));
            }
        }
    }
}

/// The eight scales with 32 added: nibbles and pairs of bits are spread to bytes, all at once.
#[inline(always)]
fn unsigned_scales(span: &[u8]) -> [u8; 8] {
    let mut low = u64::from(u32::from_le_bytes([span[4], span[5], span[6], span[7]]));
    low = (low | low << 16) & 0x0000_ffff_0000_ffff;
    low = (low | low << 8) & 0x00ff_00ff_00ff_00ff;
    low = (low | low << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let mut high = u64::from(packed::half_at(span, 2));
    high = (high | high << 24) & 0x0000_00ff_0000_00ff;
    high = (high | high << 12) & 0x000f_000f_000f_000f;
    high = (high | high << 6) & 0x0303_0303_0303_0303;
    (low | high << 4).to_le_bytes()
}

/// Finds the blocks of rows.
pub fn quantize(isa: Isa, rows: Rows, out: &mut [u8]) {
    groups::quantize::<Iq4Xs>(isa, rows, out);
}

impl Quantizer for Iq4Xs {
    const FORMAT: Format = Format::IQ4XS;

    #[inline(always)]
    fn quantize<S: Simd>(simd: S, batch: Batch, out: &mut [u8]) {
        let groups = Groups::<S, 32>::load(simd, batch);
        let blocks = symmetric::blocks(simd, &groups, Table(&iq4_nl::TABLE), -32.0, &iq4_nl::CANDIDATES);
        for (number, out) in out.chunks_exact_mut(136).enumerate() {
            out[..2].copy_from_slice(&blocks.d[number].to_le_bytes());
            pack_scales(&blocks.scales[8 * number..][..8], &mut out[2..8]);
            for (i, out) in out[8..].as_chunks_mut::<16>().0.iter_mut().enumerate() {
                let group = 8 * number + i;
                let mut codes = [0; 32];
                let values = &batch.values[128 * group..][..128];
                iq4_nl::indices(simd, values, blocks.factor::<32>(group), &mut codes);
                iq4_nl::pack(&codes, out);
            }
        }
    }
}

/// Scales from -32 to 31 as the block holds them: `scales_h`, then `scales_l`.
fn pack_scales(scales: &[i8], out: &mut [u8]) {
    let scales: [u8; 8] = std::array::from_fn(|i| (scales[i] + 32) as u8);
    let high = (0..8).fold(0, |bits, i| bits | u16::from(scales[i] >> 4) << (2 * i));
    out[..2].copy_from_slice(&high.to_le_bytes());
    for i in 0..4 {
        out[2 + i] = (scales[2 * i] & 15) | scales[2 * i + 1] << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_gather_six_bits_and_codes_look_up_the_table() {
        let mut bytes = [0; 136];
        bytes[..2].copy_from_slice(&[0x00, 0x38]); // 0.5
        bytes[2..4].copy_from_slice(&[0x02, 0xc0]); // high bits of scales 0 and 7
        bytes[4..8].copy_from_slice(&[0x02, 0x00, 0x00, 0xf0]); // low nibbles of scales 0 and 7
        (bytes[8], bytes[135]) = (0xf8, 0x90); // values 0, 16 and 255
        let mut out = [f32::NAN; 256];
        dequantize(&bytes, &mut out);
        assert_eq!((out[0], out[16], out[32], out[255]), (1.0, 113.0, 2032.0, 201.5));
    }
}
