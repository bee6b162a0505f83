//! A model file being written.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use edgewise_core::Error;
use edgewise_core::formats::Format;
use edgewise_core::gguf::{Output, OutputOptions, Writer, WriterValue};
use pyo3::prelude::*;

use crate::errors::{detached, to_python};
use crate::file::{Data, ModelFile};

/// (key, type, value)
type TypedValue<'py> = (String, String, Bound<'py, PyAny>);

/// Writes a GGUF file, tensor after tensor.
#[pyclass(frozen, module = "edgewise._core")]
pub(crate) struct GgufWriter(Mutex<Option<Output>>);

#[pymethods]
impl GgufWriter {
    #[new]
    #[pyo3(signature = (path, metadata, tensors, *, copy = None, replace = false, resume = false, made_from = None))]
    #[allow(clippy::too_many_arguments, reason = "the keywords of a Python call")]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        metadata: Vec<TypedValue<'_>>,
        tensors: Vec<(String, String, Vec<u64>)>,
        copy: Option<Bound<'_, ModelFile>>,
        replace: bool,
        resume: bool,
        made_from: Option<&[u8]>,
    ) -> PyResult<Self> {
        let mut writer = Writer::new();
        if let Some(file) = copy {
            writer = writer.copy(file.get().0.metadata());
        }
        for (key, kind, value) in metadata {
            let value = typed(&kind, &value).map_err(|error| refuse(py, &key, &kind, &error))?;
            writer = writer.set(&key, value);
        }
        let mut options = OutputOptions { replace, resume, ..OutputOptions::default() };
        if let Some(digest) = made_from {
            options.made_from = digest.try_into().map_err(|_| {
                to_python(&Error::invalid_argument(format!("made_from has {} bytes; it has 16", digest.len())))
            })?;
        }
        let output = detached(py, move || {
            for (name, format, shape) in tensors {
                writer = writer.tensor(&name, Format::named(&format)?, &shape)?;
            }
            Output::create(&writer, &path, options)
        })?;
        Ok(Self(Mutex::new(Some(output))))
    }

    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<(usize, usize)> {
        self.with(py, |output| Ok(output.position()))
    }

    #[allow(clippy::needless_pass_by_value, reason = "what Python gives is extracted into it")]
    fn write(&self, py: Python<'_>, data: Data<'_>) -> PyResult<()> {
        let bytes = data.bytes()?;
        self.with(py, |output| output.write(bytes))
    }

    fn finish(&self, py: Python<'_>) -> PyResult<f64> {
        let output = self.take(py)?;
        detached(py, || output.finish().map(|time| time.as_secs_f64()))
    }

    fn discard(&self, py: Python<'_>) {
        if let Ok(output) = self.take(py) {
            output.discard();
        }
    }
}

impl GgufWriter {
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Output) -> edgewise_core::Result<T> + Send,
    ) -> PyResult<T> {
        detached(py, || {
            let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            work(output.as_mut().ok_or_else(closed)?)
        })
    }

    fn take(&self, py: Python<'_>) -> PyResult<Output> {
        detached(py, || self.0.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(closed))
    }
}

fn closed() -> Error {
    Error::invalid_argument("the file is finished or discarded; nothing more is written to it")
}

/// The error for a value that its type does not hold.
fn refuse(py: Python<'_>, key: &str, kind: &str, error: &PyErr) -> PyErr {
    to_python(&Error::invalid_argument(format!("metadata key \"{key}\" is no {kind}: {}", error.value(py))))
}

/// A value of the type that is asked for, such as `u32`, or `[string]` for an array.
fn typed(kind: &str, value: &Bound<'_, PyAny>) -> PyResult<WriterValue> {
    macro_rules! by_type {
        ($($name:literal $array:literal $rust:ty,)+) => {
            match kind {
                $(
                    $name => value.extract::<$rust>()?.into(),
                    $array => value.extract::<Vec<$rust>>()?[..].into(),
                )+
                "string" => text(value)?.into(),
                "[string]" => {
                    value.try_iter()?.map(|item| text(&item?)).collect::<PyResult<Vec<_>>>()?.into_iter().collect()
                }
                _ => return Err(to_python(&Error::invalid_argument("there is no such type"))),
            }
        };
    }
    let value = by_type! {
        "u8" "[u8]" u8,
        "i8" "[i8]" i8,
        "u16" "[u16]" u16,
        "i16" "[i16]" i16,
        "u32" "[u32]" u32,
        "i32" "[i32]" i32,
        "u64" "[u64]" u64,
        "i64" "[i64]" i64,
        "f32" "[f32]" f32,
        "f64" "[f64]" f64,
        "bool" "[bool]" bool,
    };
    Ok(value)
}

/// A string, or bytes that need not be UTF-8.
fn text(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    match value.extract::<&[u8]>() {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(_) => Ok(value.extract::<String>()?.into_bytes()),
    }
}
