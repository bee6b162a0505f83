//! Python binding: conversion only.

use pyo3::prelude::*;

mod formats;

/// The compiled half of Edgewise.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::formats::dequantize;

    /// Version of the core.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
