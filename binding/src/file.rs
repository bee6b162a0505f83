//! A model file, for looking inside.

use std::path::PathBuf;
use std::sync::Arc;

use edgewise_core::Error;
use edgewise_core::gguf::{Gguf, Tensor, Value, quoted};
use edgewise_core::isa::Pool;
use edgewise_core::kernels::ceilings;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::errors::{detached, to_python};
use crate::machine::{named_isa, resolve_threads};

/// (name, format, shape, bytes)
type TensorRow<'a> = (&'a str, &'static str, &'a [u64], usize);

/// A model file whose layout is proven.
#[pyclass(frozen, module = "edgewise._core")]
pub(crate) struct ModelFile(pub(crate) Arc<Gguf>);

#[pymethods]
impl ModelFile {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        detached(py, move || Gguf::open(&path)).map(|gguf| Self(Arc::new(gguf)))
    }

    #[getter]
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    /// Bytes per second at which the threads together read all tensors, once.
    #[pyo3(signature = (*, isa, threads))]
    fn read_bandwidth(&self, py: Python<'_>, isa: &str, threads: usize) -> PyResult<f64> {
        detached(py, || {
            let (pool, isa) = (Pool::new(resolve_threads(threads)), named_isa(isa)?);
            let tensors: Vec<&[u8]> = self.0.tensors().iter().map(|tensor| self.0.bytes(tensor)).collect();
            Ok(ceilings::read_bandwidth(&pool, isa, &tensors))
        })
    }

    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (key, value) in self.0.metadata().iter() {
            if !matches!(value, Value::Array(_)) {
                dict.set_item(key, scalar(py, value)?)?;
            }
        }
        Ok(dict)
    }

    fn arrays(&self) -> Vec<(&str, &'static str, usize)> {
        let arrays = self.0.metadata().iter().filter_map(|(key, value)| match value {
            Value::Array(array) => Some((key, array.kind().name(), array.len())),
            _ => None,
        });
        arrays.collect()
    }

    fn array<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Option<Bound<'py, PyList>>> {
        let Some(Value::Array(array)) = self.0.metadata().get(key) else { return Ok(None) };
        let values: Vec<Bound<'py, PyAny>> = array.iter().map(|value| scalar(py, value)).collect::<PyResult<_>>()?;
        PyList::new(py, values).map(Some)
    }

    fn read(&self, py: Python<'_>, name: &str, first_row: usize, rows: usize) -> PyResult<Rows> {
        detached(py, || {
            let tensor = self.tensor(name)?;
            self.0.rows(tensor, first_row, rows)?;
            Ok(Rows { gguf: Arc::clone(&self.0), tensor: tensor.clone(), first: first_row, count: rows })
        })
    }

    fn release(&self, py: Python<'_>, name: &str, first_row: usize, rows: usize) -> PyResult<()> {
        detached(py, || self.0.release(self.tensor(name)?, first_row, rows))
    }

    fn tensors(&self) -> Vec<TensorRow<'_>> {
        let tensors = self.0.tensors().iter();
        tensors
            .map(|tensor| (tensor.name.as_str(), tensor.format.name(), &tensor.shape[..], tensor.size_bytes()))
            .collect()
    }
}

impl ModelFile {
    fn tensor(&self, name: &str) -> edgewise_core::Result<&Tensor> {
        let tensor = self.0.tensor(name);
        tensor.ok_or_else(|| Error::invalid_argument(format!("there is no tensor {}", quoted(name))))
    }
}

/// Rows of a tensor, still in the file.
#[pyclass(frozen, module = "edgewise._core")]
pub(crate) struct Rows {
    gguf: Arc<Gguf>,
    tensor: Tensor,
    first: usize,
    count: usize,
}

#[pymethods]
impl Rows {
    fn __len__(&self) -> PyResult<usize> {
        self.bytes().map(<[u8]>::len)
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.bytes()?))
    }
}

impl Rows {
    fn bytes(&self) -> PyResult<&[u8]> {
        self.gguf.rows(&self.tensor, self.first, self.count).map_err(|error| to_python(&error))
    }
}

/// Bytes, or rows that are still in their file.
#[derive(FromPyObject)]
pub(crate) enum Data<'py> {
    Rows(PyRef<'py, Rows>),
    Bytes(Bound<'py, PyBytes>),
}

impl Data<'_> {
    pub(crate) fn bytes(&self) -> PyResult<&[u8]> {
        match self {
            Self::Rows(rows) => rows.bytes(),
            Self::Bytes(bytes) => Ok(bytes.as_bytes()),
        }
    }
}

/// A value that is no array; strings that are no UTF-8 get replacement characters. An array in an array becomes its length.
fn scalar<'py>(py: Python<'py>, value: Value<'_>) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Bool(x) => x.into_bound_py_any(py),
        Value::F32(x) => x.into_bound_py_any(py),
        Value::F64(x) => x.into_bound_py_any(py),
        Value::String(bytes) => String::from_utf8_lossy(bytes).into_bound_py_any(py),
        Value::Array(array) => array.len().into_bound_py_any(py),
        integer => integer.integer().unwrap_or_default().into_bound_py_any(py),
    }
}
