//! Errors of the core as Python's exception tree, and the net below every call.

use std::panic::{AssertUnwindSafe, catch_unwind};

use edgewise_core::{Error, ErrorKind};
use pyo3::prelude::*;

pyo3::import_exception!(edgewise.errors, ContextFull);
pyo3::import_exception!(edgewise.errors, EdgewiseError);
pyo3::import_exception!(edgewise.errors, InternalError);
pyo3::import_exception!(edgewise.errors, InvalidArgument);
pyo3::import_exception!(edgewise.errors, ModelFileError);
pyo3::import_exception!(edgewise.errors, SystemRefused);
pyo3::import_exception!(edgewise.errors, UnsupportedError);

/// The exception for an error of the core: same message, same hint.
pub(crate) fn to_python(error: &Error) -> PyErr {
    let arguments = (error.message().to_owned(), error.hint().map(str::to_owned));
    match error.kind() {
        ErrorKind::ModelFile => ModelFileError::new_err(arguments),
        ErrorKind::Unsupported => UnsupportedError::new_err(arguments),
        ErrorKind::InvalidArgument => InvalidArgument::new_err(arguments),
        ErrorKind::ContextFull => ContextFull::new_err(arguments),
        ErrorKind::Io => SystemRefused::new_err(arguments),
        ErrorKind::Interrupted => EdgewiseError::new_err(arguments),
    }
}

/// Runs work of the core without the GIL. A panic there is a bug; it reaches Python as an ordinary exception.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> edgewise_core::Result<T> + Send) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(result) => result.map_err(|error| to_python(&error)),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(InternalError::new_err((format!("the core panicked: {}", words.unwrap_or("no message")),)))
        }
    }
}
