//! The Edgewise core: opens GGUF files, runs them on the CPU, turns text into tokens and back.
//!
//! No Python, no network, no printing, no globals, no environment: everything comes in as an argument.
//! Bytes from outside are read by bounds-checked safe code; `unsafe` lives in [`isa`] and at the one map call.

pub mod embedding;
pub mod error;
pub mod evaluate;
pub mod formats;
pub mod gguf;
pub mod isa;
pub mod kernels;
pub mod model;
pub mod quantize;
pub mod sampler;
pub mod session;
pub mod speculation;
pub mod text;
pub mod threads;
pub mod tokenizer;

pub use error::{Error, ErrorKind, Result};
