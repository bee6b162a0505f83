//! Token ids from Python: any integer is understood, those that cannot be ids are refused.

use edgewise_core::Error;
use pyo3::prelude::*;

use crate::errors::to_python;

/// A sequence of token ids.
pub(crate) struct Tokens(pub(crate) Vec<u32>);

impl<'py> FromPyObject<'_, 'py> for Tokens {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(ids) = object.extract() {
            return Ok(Self(ids));
        }
        object.try_iter()?.map(|id| one(&id?)).collect::<PyResult<_>>().map(Self)
    }
}

fn one(object: &Bound<'_, PyAny>) -> PyResult<u32> {
    if let Ok(id) = object.extract() {
        return Ok(id);
    }
    let id: i128 = object.extract()?;
    Err(to_python(&Error::invalid_argument(format!("token {id} is not in any vocabulary"))))
}
