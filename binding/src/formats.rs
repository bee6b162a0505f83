//! Block formats: their dequantizers, for tests and tools.

use edgewise_core::formats::{self, Format};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The values of whole blocks, as little-endian f32.
#[pyfunction]
pub fn dequantize<'py>(py: Python<'py>, format_name: &str, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let format =
        Format::from_name(format_name).ok_or_else(|| PyValueError::new_err(format!("no format {format_name:?}")))?;
    let mut values = vec![0.0; data.len() / format.block_bytes() * format.block_values()];
    py.detach(|| formats::dequantize(format, data, &mut values))
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok(PyBytes::new(py, &bytes))
}
