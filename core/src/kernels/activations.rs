//! The right-hand side of matrix products, made once for all the matrices that it meets.

use crate::formats::Format;
use crate::isa::{Isa, Pool};

/// Floats of some tokens, in the forms that the products read. Buffers are kept from one use to the next.
#[derive(Default)]
pub struct Activations {
    tokens: usize,
    columns: usize,
    x: Vec<f32>,
}

impl Activations {
    /// Empty, without buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `x`, (tokens, columns), for products with matrices of the given formats.
    pub fn set(&mut self, _pool: &Pool, _isa: Isa, x: &[f32], columns: usize, _formats: &[Format]) {
        assert!(columns > 0 && x.len().is_multiple_of(columns), "whole rows of activations");
        self.tokens = x.len() / columns;
        self.columns = columns;
        self.x.clear();
        self.x.extend_from_slice(x);
    }

    /// How many tokens were set.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// How many values each token has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn token(&self, token: usize) -> &[f32] {
        &self.x[token * self.columns..][..self.columns]
    }
}
