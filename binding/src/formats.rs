//! Block formats: rows of one into rows of another, and what blocks stand for.

use edgewise_core::formats::{self, Format};
use edgewise_core::isa::{Isa, Pool};
use edgewise_core::quantize::{self, Loss, Source};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::detached;
use crate::file::Data;

/// The values of whole blocks, as little-endian f32.
#[pyfunction]
pub(crate) fn dequantize<'py>(py: Python<'py>, format_name: &str, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let values = detached(py, || {
        let format = Format::named(format_name)?;
        let mut values = vec![0.0; data.len() / format.block_bytes() * format.block_values()];
        formats::dequantize(format, data, &mut values)?;
        Ok(values)
    })?;
    let bytes: Vec<u8> = values.iter().flat_map(|value: &f32| value.to_le_bytes()).collect();
    Ok(PyBytes::new(py, &bytes))
}

/// Names of the formats that [`encode`] makes.
#[pyfunction]
pub(crate) fn encodable_formats() -> Vec<&'static str> {
    Format::ALL.iter().filter(|format| format.is_encodable()).map(|format| format.name()).collect()
}

/// (values, bytes) of a block.
#[pyfunction]
pub(crate) fn block_size(py: Python<'_>, format_name: &str) -> PyResult<(usize, usize)> {
    detached(py, || Format::named(format_name).map(|format| (format.block_values(), format.block_bytes())))
}

/// Rows of a format as rows of another: bytes, weighted squared error, weighted squares.
#[pyfunction]
#[pyo3(signature = (source, source_format, target_format, columns, *, importance = None, threads, isa = None, first_row = 0))]
#[allow(clippy::too_many_arguments, clippy::needless_pass_by_value, reason = "the arguments of a Python call")]
pub(crate) fn encode<'py>(
    py: Python<'py>,
    source: Data<'py>,
    source_format: &str,
    target_format: &str,
    columns: usize,
    importance: Option<&[u8]>,
    threads: usize,
    isa: Option<&str>,
    first_row: usize,
) -> PyResult<(Bound<'py, PyBytes>, (f64, f64))> {
    let importance: Option<Vec<f32>> =
        importance.map(|bytes| bytes.as_chunks::<4>().0.iter().map(|&four| f32::from_le_bytes(four)).collect());
    let bytes = source.bytes()?;
    let (source, format, isa, size) = detached(py, || {
        let source = Source {
            bytes,
            format: Format::named(source_format)?,
            columns,
            first_row,
            importance: importance.as_deref(),
        };
        let format = Format::named(target_format)?;
        let isa = isa.map_or_else(|| Ok(Isa::detect()), Isa::named)?;
        Ok((source, format, isa, quantize::encoded_size(&source, format)?))
    })?;
    let mut loss = Loss::default();
    let encoded = PyBytes::new_with(py, size, |out| {
        loss = detached(py, || quantize::encode(&Pool::new(threads.max(1)), isa, &source, format, out))?;
        Ok(())
    })?;
    Ok((encoded, (loss.squared_error, loss.squared)))
}
