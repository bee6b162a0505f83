//! `f32`: IEEE single precision, little endian.

use super::groups::Rows;
use crate::isa::Isa;

/// Reads the floats as they are.
pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
    let (values, _) = bytes.as_chunks::<4>();
    for (out, value) in out.iter_mut().zip(values) {
        *out = f32::from_le_bytes(*value);
    }
}

/// The floats as they are.
pub fn quantize(_isa: Isa, rows: Rows, out: &mut [u8]) {
    out.copy_from_slice(rows.values);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_survives() {
        let expected = [0.0, -0.0, 1.5, f32::MIN_POSITIVE / 2.0, f32::INFINITY, f32::MAX];
        let bytes: Vec<u8> = expected.iter().flat_map(|x: &f32| x.to_le_bytes()).collect();
        let mut out = [f32::NAN; 6];
        dequantize(&bytes, &mut out);
        assert_eq!(out.map(f32::to_bits), expected.map(f32::to_bits));
    }
}
