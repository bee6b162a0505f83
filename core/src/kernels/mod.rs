//! Matrix products, attention, norms and rotary embedding, written once over the instruction sets.

mod activations;
pub mod float;
mod matmul;

pub use activations::Activations;
pub use matmul::{Matrix, dequantize_row, matmul};
