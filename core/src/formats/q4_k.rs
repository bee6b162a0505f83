//! `q4_k`: 256 values of 4 bits in groups of 32, `x = d s q - dmin m`.

use super::{block, f16};

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
