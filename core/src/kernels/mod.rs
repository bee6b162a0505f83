//! Matrix products, attention, norms and rotary embedding, written once over the instruction sets.

mod activations;
pub(crate) mod attention;
pub mod float;
mod matmul;
pub(crate) mod norm;
pub mod rope;

pub use activations::Activations;
pub use matmul::{Matrix, dequantize_row, matmul};
