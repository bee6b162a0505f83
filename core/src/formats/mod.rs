//! Block formats of GGUF tensors, one file each; the dequantizers are the oracle for every kernel.
//!
//! A tensor is rows of blocks: `block_values` numbers packed into `block_bytes` bytes. Each format's file holds its block
//! as a struct of bytes (alignment 1, in file order), and `dequantize`, equal bit for bit to the `gguf` package's
//! numpy code, float order included. To add a format: one file, and one line in the table below.

mod affine;
mod block;

pub mod bf16;
pub mod f16;
pub mod f32;
mod groups;
pub mod iq4_nl;
pub mod iq4_xs;
pub mod mxfp4;
pub mod packed;
pub mod q2_k;
pub mod q3_k;
pub mod q4_0;
pub mod q4_1;
pub mod q4_k;
pub mod q5_0;
pub mod q5_1;
pub mod q5_k;
pub mod q6_k;
pub mod q8_0;
mod symmetric;

pub use groups::Rows;

use crate::error::{Error, Result};
use crate::isa::Isa;

/// Turns whole blocks into floats; `out` has room for exactly their values.
type Dequantize = fn(bytes: &[u8], out: &mut [f32]);

/// Turns rows of whole blocks, whose values are finite and not too large, into blocks; `out` has room for exactly them.
type Quantize = fn(isa: Isa, rows: Rows, out: &mut [u8]);

/// What the table says of one format.
struct Facts {
    name: &'static str,
    block_values: usize,
    block_bytes: usize,
    dequantize: Option<Dequantize>,
    quantize: Option<Quantize>,
}

/// Makes the enum, its ids and the facts from one list: variant = id, name, values per block, bytes per block, oracle,
/// quantizer.
macro_rules! formats {
    ($($variant:ident = $id:literal, $name:literal, $values:literal, $bytes:literal, $dequantize:expr, $quantize:expr;)+) => {
        /// How the numbers of a tensor are stored: every type that GGUF files of the field carry, by its ggml id.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Format {
            $(#[doc = concat!("`", $name, "`: ", $values, " values in ", $bytes, " bytes.")] $variant = $id,)+
        }

        impl Format {
            /// Every known format, in the order of their ids.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The format with this ggml type id.
            pub const fn from_id(id: u32) -> Option<Self> {
                match id {
                    $($id => Some(Self::$variant),)+
                    _ => None,
                }
            }

            const fn facts(self) -> &'static Facts {
                match self {
                    $(Self::$variant => &Facts {
                        name: $name, block_values: $values, block_bytes: $bytes, dequantize: $dequantize, quantize: $quantize,
                    },)+
                }
            }
        }
    };
}

// Source of ids and sizes: ggml's type list. Formats without an oracle open and show, but do not run.
formats! {
    F32 = 0, "f32", 1, 4, Some(f32::dequantize), Some(f32::quantize);
    F16 = 1, "f16", 1, 2, Some(f16::dequantize), Some(f16::quantize);
    Q4_0 = 2, "q4_0", 32, 18, Some(q4_0::dequantize), Some(q4_0::quantize);
    Q4_1 = 3, "q4_1", 32, 20, Some(q4_1::dequantize), Some(q4_1::quantize);
    Q5_0 = 6, "q5_0", 32, 22, Some(q5_0::dequantize), Some(q5_0::quantize);
    Q5_1 = 7, "q5_1", 32, 24, Some(q5_1::dequantize), Some(q5_1::quantize);
    Q8_0 = 8, "q8_0", 32, 34, Some(q8_0::dequantize), Some(q8_0::quantize);
    Q8_1 = 9, "q8_1", 32, 36, None, None;
    Q2K = 10, "q2_k", 256, 84, Some(q2_k::dequantize), Some(q2_k::quantize);
    Q3K = 11, "q3_k", 256, 110, Some(q3_k::dequantize), Some(q3_k::quantize);
    Q4K = 12, "q4_k", 256, 144, Some(q4_k::dequantize), Some(q4_k::quantize);
    Q5K = 13, "q5_k", 256, 176, Some(q5_k::dequantize), Some(q5_k::quantize);
    Q6K = 14, "q6_k", 256, 210, Some(q6_k::dequantize), Some(q6_k::quantize);
    Q8K = 15, "q8_k", 256, 292, None, None;
    IQ2XXS = 16, "iq2_xxs", 256, 66, None, None;
    IQ2XS = 17, "iq2_xs", 256, 74, None, None;
    IQ3XXS = 18, "iq3_xxs", 256, 98, None, None;
    IQ1S = 19, "iq1_s", 256, 50, None, None;
    IQ4NL = 20, "iq4_nl", 32, 18, Some(iq4_nl::dequantize), Some(iq4_nl::quantize);
    IQ3S = 21, "iq3_s", 256, 110, None, None;
    IQ2S = 22, "iq2_s", 256, 82, None, None;
    IQ4XS = 23, "iq4_xs", 256, 136, Some(iq4_xs::dequantize), Some(iq4_xs::quantize);
    I8 = 24, "i8", 1, 1, None, None;
    I16 = 25, "i16", 1, 2, None, None;
    I32 = 26, "i32", 1, 4, None, None;
    I64 = 27, "i64", 1, 8, None, None;
    F64 = 28, "f64", 1, 8, None, None;
    IQ1M = 29, "iq1_m", 256, 56, None, None;
    BF16 = 30, "bf16", 1, 2, Some(bf16::dequantize), Some(bf16::quantize);
    TQ1_0 = 34, "tq1_0", 256, 54, None, None;
    TQ2_0 = 35, "tq2_0", 256, 66, None, None;
    MXFP4 = 39, "mxfp4", 32, 17, Some(mxfp4::dequantize), None;
    NVFP4 = 40, "nvfp4", 64, 36, None, None;
    Q1_0 = 41, "q1_0", 128, 18, None, None;
}

impl Format {
    /// The ggml type id, as a tensor's entry in the file carries it.
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// The name that users write, in lower case.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The format with this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// As [`Self::from_name`]; an error if there is none.
    pub fn named(name: &str) -> Result<Self> {
        Self::from_name(name).ok_or_else(|| Error::invalid_argument(format!("no block format is called \"{name}\"")))
    }

    /// Values per block; a row is a multiple of this.
    pub const fn block_values(self) -> usize {
        self.facts().block_values
    }

    /// Bytes per block.
    pub const fn block_bytes(self) -> usize {
        self.facts().block_bytes
    }

    /// Whether the core computes with this format; the others can only be shown.
    pub const fn is_supported(self) -> bool {
        self.facts().dequantize.is_some()
    }

    /// Whether the core makes rows of this format.
    pub const fn is_encodable(self) -> bool {
        self.facts().quantize.is_some()
    }

    /// Bytes of a row of so many values; none if they are not whole blocks or the size overflows.
    pub const fn row_bytes(self, columns: usize) -> Option<usize> {
        if !columns.is_multiple_of(self.block_values()) {
            return None;
        }
        (columns / self.block_values()).checked_mul(self.block_bytes())
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Turns the bytes of whole blocks into floats: the oracle that every kernel is held to.
///
/// `out` must be as long as the values in `bytes`. NaN payloads are unspecified, everything else is exact.
pub fn dequantize(format: Format, bytes: &[u8], out: &mut [f32]) -> Result<()> {
    let dequantize = format.facts().dequantize.ok_or_else(|| unsupported(format))?;
    if format.row_bytes(out.len()) != Some(bytes.len()) {
        return Err(Error::invalid_argument(format!(
            "{} bytes of {format} do not hold {} values: a block of {} bytes holds {}",
            bytes.len(),
            out.len(),
            format.block_bytes(),
            format.block_values(),
        )));
    }
    dequantize(bytes, out);
    Ok(())
}

/// Turns rows of whole blocks into blocks of `format`; `out` must have room for exactly them, the values must be finite
/// and at most [`largest`].
pub fn quantize(isa: Isa, format: Format, rows: Rows, out: &mut [u8]) -> Result<()> {
    let quantize = format.facts().quantize.ok_or_else(|| {
        let names: Vec<&str> = Format::ALL.iter().filter(|format| format.is_encodable()).map(|f| f.name()).collect();
        Error::unsupported(format!("format {format} has no quantizer"))
            .with_hint(format!("choose one of: {}", names.join(", ")))
    })?;
    if format.row_bytes(rows.values.len() / 4) != Some(out.len()) {
        return Err(Error::invalid_argument(format!(
            "{} values do not fill {} bytes of {format}: a block of {} bytes holds {}",
            rows.values.len() / 4,
            out.len(),
            format.block_bytes(),
            format.block_values(),
        )));
    }
    quantize(isa, rows, out);
    Ok(())
}

/// The largest value that rows of `format` hold: scales are half floats.
pub const fn largest(format: Format) -> f32 {
    match format {
        Format::F32 => f32::MAX,
        Format::BF16 => bf16::to_f32(0x7f7f),
        _ => groups::LARGEST_HALF,
    }
}

/// The error for a format that the core knows by name only.
pub fn unsupported(format: Format) -> Error {
    Error::unsupported(format!("format {format} has no kernels in the core"))
        .with_hint("the llama.cpp backend runs it: pip install edgewise[llamacpp], then --engine llamacpp")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn ids_and_names_lead_back_to_their_format() {
        for &format in Format::ALL {
            assert_eq!(Format::from_id(format.id()), Some(format));
            assert_eq!(Format::from_name(format.name()), Some(format));
            assert_eq!(Format::from_name(&format.name().to_uppercase()), Some(format));
        }
        assert_eq!(Format::from_id(4), None);
        assert_eq!(Format::from_id(u32::MAX), None);
        assert_eq!(Format::from_name("q9_z"), None);
    }

    #[test]
    fn sixteen_formats_have_an_oracle() {
        assert_eq!(Format::ALL.iter().filter(|format| format.is_supported()).count(), 16);
    }

    #[test]
    fn a_row_is_whole_blocks() {
        assert_eq!(Format::Q4K.row_bytes(512), Some(288));
        assert_eq!(Format::Q4K.row_bytes(0), Some(0));
        assert_eq!(Format::Q4K.row_bytes(255), None);
        assert_eq!(Format::F32.row_bytes(usize::MAX), None);
    }

    #[test]
    fn no_blocks_and_many_blocks_dequantize() {
        for &format in Format::ALL.iter().filter(|format| format.is_supported()) {
            assert_eq!(dequantize(format, &[], &mut []), Ok(()));
            let bytes = vec![0; 3 * format.block_bytes()];
            let mut out = vec![f32::NAN; 3 * format.block_values()];
            assert_eq!(dequantize(format, &bytes, &mut out), Ok(()));
            assert!(out.iter().all(|&x| x == 0.0), "{format}");
        }
    }

    #[test]
    fn wrong_lengths_and_formats_without_an_oracle_are_errors() {
        let kind = |format, bytes: &[u8], out: &mut [f32]| dequantize(format, bytes, out).unwrap_err().kind();
        assert_eq!(kind(Format::Q8_0, &[0; 33], &mut [0.0; 32]), ErrorKind::InvalidArgument);
        assert_eq!(kind(Format::Q8_0, &[0; 34], &mut [0.0; 31]), ErrorKind::InvalidArgument);
        assert_eq!(kind(Format::IQ1S, &[0; 50], &mut [0.0; 256]), ErrorKind::Unsupported);
    }
}
