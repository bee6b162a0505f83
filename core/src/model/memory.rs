//! Allocations that may fail: sizes follow from the model and the context asked for.

use crate::error::{Error, ErrorKind, Result};

/// An empty vector with room for `length` values, or an error that says what needed how many bytes.
pub(crate) fn reserve<T>(length: usize, what: &str) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(length).map_err(|_| out_of_memory(length.saturating_mul(size_of::<T>()), what))?;
    Ok(values)
}

/// A vector of `length` zeros. The system gives the memory as it is first written.
///
/// Sizes that the system refuses are an error; memory that is gone between the question and the taking ends the process.
pub(crate) fn zeros<T: Clone + Default>(length: usize, what: &str) -> Result<Vec<T>> {
    drop(reserve::<T>(length, what)?); // only the standard library's infallible way asks the system for zeros
    Ok(vec![T::default(); length])
}

/// The error for `bytes` that the system would not give.
pub(crate) fn out_of_memory(bytes: usize, what: &str) -> Error {
    Error::new(ErrorKind::Io, format!("{what}: the system has no {bytes} bytes of memory left for it"))
}
