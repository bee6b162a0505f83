//! Matrix products, attention, norms and rotary embedding, written once over the instruction sets.

mod activations;
pub(crate) mod attention;
pub mod ceilings;
mod decode;
pub mod float;
pub(crate) mod low_rank;
mod matmul;
pub(crate) mod norm;
mod prefill;
pub mod rope;
mod tile;
mod unpacked;

pub use activations::Activations;
pub use matmul::{Matrix, dequantize_row, matmul, matmul_all};

#[cfg(test)]
mod tests;
