//! The inputs of products, and what adapters add to the outputs: buffers of one session.

use super::adapter::LowRank;
use super::weights::{Projection, Weights};
use super::{Model, memory};
use crate::error::Result;
use crate::isa::{Isa, Pool};
use crate::kernels::low_rank::{Addition, add_products};
use crate::kernels::{Activations, Matrix, dequantize_row};

/// What products read; allocated once.
pub(super) struct Inputs {
    /// Of the model's matrices, and of the first ones of adapters.
    activations: Activations,
    /// Of the second ones: (adapters of a product, tokens, rank).
    narrow: Vec<f32>,
}

impl Inputs {
    /// Buffers for at most `tokens` at a time.
    pub(super) fn new(weights: &Weights, tokens: usize) -> Result<Self> {
        let narrow = memory::zeros(tokens.saturating_mul(ranks(weights)), "adapters")?;
        Ok(Self { activations: Activations::new(), narrow })
    }

    /// Bytes of the buffer for adapters.
    pub(super) fn size_bytes(&self) -> usize {
        size_of_val(&self.narrow[..])
    }

    /// The products with the first matrices of these projections' adapters, to be made with all others of the same input.
    pub(super) fn narrow_products<'a>(
        &'a mut self,
        model: &'a Model,
        outputs: &[(&Projection, &mut [f32])],
        tokens: usize,
    ) -> (&'a mut Activations, Vec<(Matrix<'a>, &'a mut [f32])>) {
        let mut rest = &mut self.narrow[..];
        let pairs = outputs.iter().flat_map(|(projection, _)| &projection.adapters);
        let products = pairs.map(|pair| {
            let (out, others) = std::mem::take(&mut rest).split_at_mut(tokens * pair.rank());
            rest = others;
            (pair.down(model), out)
        });
        (&mut self.activations, products.collect())
    }

    /// Adds to the outputs what follows from the products of [`Self::narrow_products`].
    pub(super) fn add(&mut self, pool: &Pool, isa: Isa, outputs: &mut [(&Projection, &mut [f32])], tokens: usize) {
        let mut rest = &mut self.narrow[..];
        let mut additions = Vec::new();
        for (projection, out) in outputs.iter_mut().filter(|(projection, _)| !projection.adapters.is_empty()) {
            let products = projection.adapters.iter().map(|pair| {
                let (narrow, others) = std::mem::take(&mut rest).split_at_mut(tokens * pair.rank());
                rest = others;
                (&pair.up, scaled(narrow, pair.scale))
            });
            additions.push(Addition { products: products.collect(), out });
        }
        if !additions.is_empty() {
            add_products(pool, isa, additions);
        }
    }

    /// Adds to the embeddings of tokens what the adapters have for them.
    pub(super) fn add_embeddings(&mut self, pool: &Pool, isa: Isa, model: &Model, tokens: &[u32], x: &mut [f32]) {
        for pair in &model.weights.token_embedding.adapters {
            let matrix = pair.down(model);
            let narrow = &mut self.narrow[..tokens.len() * pair.rank()];
            for (&token, narrow) in tokens.iter().zip(narrow.chunks_exact_mut(pair.rank())) {
                dequantize_row(&matrix, token as usize, narrow);
            }
            let products = vec![(&pair.up, scaled(narrow, pair.scale))];
            add_products(pool, isa, vec![Addition { out: &mut *x, products }]);
        }
    }
}

fn scaled(x: &mut [f32], scale: f32) -> &[f32] {
    for x in &mut *x {
        *x *= scale;
    }
    x
}

/// The most that the ranks of adapters of products with one input are together.
pub(super) fn ranks(weights: &Weights) -> usize {
    let together = |projections: &[&Projection]| -> usize {
        projections.iter().flat_map(|projection| &projection.adapters).map(LowRank::rank).sum()
    };
    let layers = weights.layers.iter().flat_map(|layer| {
        let heads = [&layer.query, &layer.key, &layer.value];
        [&heads[..], &[&layer.attention_output], &[&layer.gate, &layer.up], &[&layer.down]].map(together)
    });
    layers.chain([&weights.token_embedding, &weights.output].map(|end| together(&[end]))).max().unwrap_or(0)
}
