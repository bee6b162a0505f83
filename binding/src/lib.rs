//! Python binding: conversion only.

use pyo3::prelude::*;

/// The compiled half of Edgewise.
#[pymodule]
mod _core {
    /// Version of the core.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
