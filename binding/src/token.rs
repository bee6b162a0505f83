//! Token ids from Python: any integer is understood, those that cannot be ids are refused.

use edgewise_core::Error;
use pyo3::prelude::*;

use crate::errors::to_python;

/// A token id.
pub(crate) struct Token(u32);

impl<'py> FromPyObject<'_, 'py> for Token {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(id) = object.extract::<u32>() {
            return Ok(Self(id));
        }
        let id: i128 = object.extract()?;
        Err(to_python(&Error::invalid_argument(format!("token {id} is not in any vocabulary"))))
    }
}

/// The ids as the core takes them.
pub(crate) fn ids(tokens: &[Token]) -> Vec<u32> {
    tokens.iter().map(|token| token.0).collect()
}
