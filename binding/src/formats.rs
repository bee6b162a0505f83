//! Block formats: their dequantizers, for tests and tools.

use edgewise_core::Error;
use edgewise_core::formats::{self, Format};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::detached;

/// The values of whole blocks, as little-endian f32.
#[pyfunction]
pub(crate) fn dequantize<'py>(py: Python<'py>, format_name: &str, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let values = detached(py, || {
        let format = Format::from_name(format_name)
            .ok_or_else(|| Error::invalid_argument(format!("no block format is called \"{format_name}\"")))?;
        let mut values = vec![0.0; data.len() / format.block_bytes() * format.block_values()];
        formats::dequantize(format, data, &mut values)?;
        Ok(values)
    })?;
    let bytes: Vec<u8> = values.iter().flat_map(|value: &f32| value.to_le_bytes()).collect();
    Ok(PyBytes::new(py, &bytes))
}
