//! Python binding: conversion only.

mod encoder;
mod errors;
mod file;
mod formats;
mod machine;
mod output;
mod sampling;
mod session;
mod signals;
mod speculation;
mod token;
mod tokenizer;

use pyo3::prelude::*;

/// The compiled half of Edgewise.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::encoder::Encoder;
    #[pymodule_export]
    use crate::file::{ModelFile, Rows};
    #[pymodule_export]
    use crate::formats::{block_size, dequantize, encodable_formats, encode};
    #[pymodule_export]
    use crate::machine::{ThreadChoice, choose_threads, instruction_sets, int8_peak};
    #[pymodule_export]
    use crate::output::GgufWriter;
    #[pymodule_export]
    use crate::sampling::{Sampler, TextStream};
    #[pymodule_export]
    use crate::session::{Model, Session};
    #[pymodule_export]
    use crate::speculation::{Controller, Speculation};
    #[pymodule_export]
    use crate::tokenizer::Tokenizer;

    /// Version of the core.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
