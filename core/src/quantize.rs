//! Rows of one format into rows of another: a few rows at a time, on several threads, with the error that it costs.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};
use crate::formats::{self, Format, Rows};
use crate::isa::{Chunks, Isa, Kernel, LANES, Pool, Simd};

/// Values that a thread takes at a time, or one row.
const PIECE_VALUES: usize = 1 << 14;

const WRITE_F32: &str = "f32 holds it: convert with --format f32, or quantize with --tensor-type NAME=f32";
const WRITE_F32_OR_BF16: &str =
    "f32 and bf16 hold it: convert with --format bf16, or quantize with --tensor-type NAME=bf16";

/// Rows of a tensor, as a file holds them.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Blocks, row after row.
    pub bytes: &'a [u8],
    /// What the blocks are.
    pub format: Format,
    /// Values per row.
    pub columns: usize,
    /// Number of the first row in its tensor, for messages.
    pub first_row: usize,
    /// What the squared error of each column weighs.
    pub importance: Option<&'a [f32]>,
}

/// What rows lost, weighted by the importance of their columns, or all alike.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Sum of the weighted squares of the differences.
    pub squared_error: f64,
    /// Sum of the weighted squares of the values.
    pub squared: f64,
}

/// Bytes of the rows in `format`.
pub fn encoded_size(source: &Source, format: Format) -> Result<usize> {
    let Source { bytes, format: from, columns, importance, .. } = *source;
    let row_bytes = |format: Format| {
        format.row_bytes(columns).filter(|&bytes| bytes > 0).ok_or_else(|| {
            Error::invalid_argument(format!(
                "a row of {columns} values is not whole blocks of {format}, which hold {} each",
                format.block_values()
            ))
        })
    };
    let (source_row, row) = (row_bytes(from)?, row_bytes(format)?);
    if !bytes.len().is_multiple_of(source_row) {
        return Err(Error::invalid_argument(format!(
            "{} bytes are not whole rows of {columns} {from}, which have {source_row} each",
            bytes.len()
        )));
    }
    if let Some(importance) = importance {
        check_importance(importance, columns)?;
    }
    let rows = bytes.len() / source_row;
    rows.checked_mul(row).ok_or_else(|| Error::invalid_argument(format!("{rows} rows of {format} are too many")))
}

fn check_importance(importance: &[f32], columns: usize) -> Result<()> {
    if importance.len() != columns {
        return Err(Error::invalid_argument(format!(
            "the importance has {} values for rows of {columns}; it has one per column",
            importance.len()
        )));
    }
    match importance.iter().position(|&weight| !(weight.is_finite() && weight >= 0.0)) {
        Some(column) => Err(Error::invalid_argument(format!(
            "the importance of column {column} is {}; it is finite and not negative",
            importance[column]
        ))),
        None => Ok(()),
    }
}

/// Turns rows into rows of `format`; `out` has the size that [`encoded_size`] gives.
///
/// The bytes are the same for every instruction set and number of threads. The first value that is not finite, or too large
/// for the format, is an error that names its row and column.
pub fn encode(pool: &Pool, isa: Isa, source: &Source, format: Format, out: &mut [u8]) -> Result<Loss> {
    let size = encoded_size(source, format)?;
    if out.len() != size {
        return Err(Error::invalid_argument(format!("{} bytes do not hold {size} bytes of {format}", out.len())));
    }
    formats::dequantize(source.format, &[], &mut [])?; // the error for a format without a dequantizer
    formats::quantize(isa, format, Rows { values: &[], importance: None }, &mut [])?;
    if size == 0 {
        return Ok(Loss::default());
    }
    let importance: Option<Vec<u8>> =
        source.importance.map(|weights| weights.iter().flat_map(|weight| weight.to_le_bytes()).collect());
    let rows = (PIECE_VALUES / source.columns).max(1);
    let row_bytes = |format: Format| format.row_bytes(source.columns).unwrap_or_default();
    let piece_bytes = rows * row_bytes(source.format);
    let pieces = Chunks::new(out, rows * row_bytes(format));
    let mut losses = vec![Ok(Loss::default()); pieces.count()];
    let slots = Chunks::new(&mut losses, 1);
    let next = AtomicUsize::new(0);
    pool.run(&|_| {
        let mut scratch = Scratch::default();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= pieces.count() {
                break;
            }
            let bytes = &source.bytes[i * piece_bytes..];
            let piece = Source {
                bytes: &bytes[..piece_bytes.min(bytes.len())],
                first_row: source.first_row + i * rows,
                ..*source
            };
            slots.claim(i)[0] = scratch.encode(isa, &piece, importance.as_deref(), format, pieces.claim(i));
        }
    });
    let mut total = Loss::default();
    for loss in losses {
        let loss = loss?;
        total.squared_error += loss.squared_error;
        total.squared += loss.squared;
    }
    Ok(total)
}

/// Buffers of one thread.
#[derive(Default)]
struct Scratch {
    /// The values, as little-endian f32.
    values: Vec<u8>,
    /// What the source's, or the new blocks stand for.
    floats: Vec<f32>,
}

impl Scratch {
    fn encode(
        &mut self,
        isa: Isa,
        source: &Source,
        importance: Option<&[u8]>,
        format: Format,
        out: &mut [u8],
    ) -> Result<Loss> {
        let values = match source.format {
            Format::F32 => source.bytes,
            Format::F16 | Format::BF16 => {
                self.values.resize(2 * source.bytes.len(), 0);
                let bfloat = source.format == Format::BF16;
                isa.run(Widen { bytes: source.bytes, bfloat, out: &mut self.values });
                &self.values
            }
            block_format => {
                self.floats.resize(source.bytes.len() / block_format.block_bytes() * block_format.block_values(), 0.0);
                formats::dequantize(block_format, source.bytes, &mut self.floats)?;
                self.values.clear();
                self.values.extend(self.floats.iter().flat_map(|x| x.to_le_bytes()));
                &self.values
            }
        };
        if isa.run(LargestBits(values)) > formats::largest(format).to_bits() {
            return Err(misfit(source, values, format));
        }
        formats::quantize(isa, format, Rows { values, importance }, out)?;
        self.floats.resize(values.len() / 4, 0.0);
        formats::dequantize(format, out, &mut self.floats)?;
        Ok(isa.run(Compare { values, importance, encoded: &self.floats }))
    }
}

/// Names the first value that `format` cannot hold.
fn misfit(source: &Source, values: &[u8], format: Format) -> Error {
    let largest = formats::largest(format);
    let values = values.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
    let (index, value) = values.enumerate().find(|(_, x)| x.is_nan() || x.abs() > largest).unwrap_or_default();
    let (row, column) = (source.first_row + index / source.columns, index % source.columns);
    if value.is_finite() {
        return Error::invalid_argument(format!(
            "row {row}, column {column} is {value:e}; {format} holds numbers up to {largest:e}"
        ))
        .with_hint(if value.abs() > formats::largest(Format::BF16) { WRITE_F32 } else { WRITE_F32_OR_BF16 });
    }
    Error::invalid_argument(format!("row {row}, column {column} is {value}; weights are finite numbers"))
        .with_hint("the model was damaged, or its training failed; get it again, or another one")
}

/// Halves to floats.
struct Widen<'a> {
    bytes: &'a [u8],
    bfloat: bool,
    out: &'a mut [u8],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (bytes, out) in self.bytes.chunks(32).zip(self.out.chunks_mut(64)) {
            if bytes.len() == 32 {
                let x = if self.bfloat { simd.load_bf16_bytes(bytes) } else { simd.load_f16_bytes(bytes) };
                simd.store_bytes(simd.bytes_from_f32(x), out);
            } else {
                let (mut padded, mut widened) = ([0; 32], [0; 64]);
                padded[..bytes.len()].copy_from_slice(bytes);
                let x = if self.bfloat { simd.load_bf16_bytes(&padded) } else { simd.load_f16_bytes(&padded) };
                simd.store_bytes(simd.bytes_from_f32(x), &mut widened);
                out.copy_from_slice(&widened[..out.len()]);
            }
        }
    }
}

/// The bits of the largest magnitude: as integers they rise as the numbers do, and those of NaN are above all.
struct LargestBits<'a>(&'a [u8]);

impl Kernel for LargestBits<'_> {
    type Output = u32;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> u32 {
        let mut largest = 0;
        for &bytes in self.0.as_chunks::<4>().0 {
            largest = largest.max(u32::from_le_bytes(bytes) & 0x7fff_ffff);
        }
        largest
    }
}

/// Weighted squares of values, and of their differences from what was encoded.
struct Compare<'a> {
    values: &'a [u8],
    importance: Option<&'a [u8]>,
    encoded: &'a [f32],
}

impl Kernel for Compare<'_> {
    type Output = Loss;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Loss {
        let mut loss = Loss::default();
        let columns = self.importance.map_or(self.encoded.len(), |importance| importance.len() / 4);
        for (values, encoded) in self.values.chunks(4 * columns).zip(self.encoded.chunks(columns)) {
            for (i, (values, encoded)) in values.chunks(64).zip(encoded.chunks(LANES)).enumerate() {
                let x = load(simd, values);
                let weights = match self.importance {
                    Some(weights) => load(simd, &weights[64 * i..]),
                    None => simd.splat(1.0),
                };
                let difference = simd.sub(x, simd.load_partial(encoded));
                let error = simd.mul(weights, simd.mul(difference, difference));
                loss.squared_error += f64::from(simd.reduce_add(error));
                loss.squared += f64::from(simd.reduce_add(simd.mul(weights, simd.mul(x, x))));
            }
        }
        loss
    }
}

/// The first 16 floats, or all of them and zeros.
#[inline(always)]
fn load<S: Simd>(simd: S, bytes: &[u8]) -> S::F32 {
    if bytes.len() >= 64 {
        return simd.f32_from_bytes(simd.load_bytes(bytes));
    }
    let mut padded = [0; 64];
    padded[..bytes.len()].copy_from_slice(bytes);
    simd.f32_from_bytes(simd.load_bytes(&padded))
}

#[cfg(test)]
mod tests;
