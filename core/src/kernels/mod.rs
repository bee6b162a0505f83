//! Matrix products, attention, norms and rotary embedding, written once over the instruction sets.

mod activations;
mod matmul;

pub use activations::Activations;
pub use matmul::{Matrix, dequantize_row, matmul};
