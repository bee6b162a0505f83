//! `q8_0`: 32 values of 8 bits, `x = d q`.

use super::{block, f16};

block::block! {
    /// Signed codes with one scale.
    34 bytes {
        /// Scale, as f16.
        d: 2,
        /// Codes -128 to 127, as i8.
        qs: 32,
    }
}

/// `d q`
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    block::for_each::<34, 32>(bytes, out, |bytes, out| {
        let block = Block::read(bytes);
        let d = f16::read(block.d);
        for (out, q) in out.iter_mut().zip(block.qs) {
            *out = d * f32::from(q as i8);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_signed() {
        let mut bytes = [0; 34];
        bytes[..2].copy_from_slice(&[0x00, 0x38]); // 0.5
        bytes[2..5].copy_from_slice(&[0x80, 0x7f, 0xff]);
        let mut out = [f32::NAN; 32];
        dequantize(&bytes, &mut out);
        assert_eq!(out[..4], [-64.0, 63.5, -0.5, 0.0]);
    }
}
