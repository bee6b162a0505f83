//! The inputs of products, and what adapters add to the outputs: buffers of one session.

use std::ops::Range;

use super::adapter::LowRank;
use super::weights::{Layer, Projection, Weights};
use super::{Model, memory};
use crate::error::Result;
use crate::isa::{Isa, LANES, Pool};
use crate::kernels::norm::{add_row, rows};
use crate::kernels::{Activations, Matrix, dequantize_row, matmul};

/// How many values an adapter's second product gives at a time.
const BAND: usize = 1 << 18;

/// What products read, and what adapters add to them; allocated once.
pub(super) struct Inputs {
    /// Of the model's matrices, and of the first ones of adapters.
    activations: Activations,
    /// Of the second ones.
    narrow_activations: Activations,
    narrow: Vec<f32>, // (adapters of a product, tokens, rank)
    band: Vec<f32>,   // (tokens, some outputs)
}

impl Inputs {
    /// Buffers for at most `tokens` at a time.
    pub(super) fn new(weights: &Weights, tokens: usize) -> Result<Self> {
        let outputs = pairs(weights).map(LowRank::outputs).max().unwrap_or(0);
        let band = tokens.saturating_mul(outputs).min(BAND.max(tokens * LANES));
        Ok(Self {
            activations: Activations::new(),
            narrow_activations: Activations::new(),
            narrow: memory::zeros(tokens.saturating_mul(ranks(weights)), "adapters")?,
            band: memory::zeros(band, "adapters")?,
        })
    }

    /// Bytes of the buffers for adapters.
    pub(super) fn size_bytes(&self) -> usize {
        size_of_val(&self.narrow[..]) + size_of_val(&self.band[..])
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
    pub(super) fn add(
        &mut self,
        pool: &Pool,
        isa: Isa,
        model: &Model,
        outputs: &mut [(&Projection, &mut [f32])],
        tokens: usize,
    ) {
        let mut start = 0;
        for (projection, out) in outputs {
            for pair in &projection.adapters {
                let narrow = start..start + tokens * pair.rank();
                start = narrow.end;
                self.add_pair(pool, isa, model, pair, narrow, out);
            }
        }
    }

    /// Adds to the embeddings of tokens what the adapters have for them.
    pub(super) fn add_embeddings(&mut self, pool: &Pool, isa: Isa, model: &Model, tokens: &[u32], x: &mut [f32]) {
        for pair in &model.weights.token_embedding.adapters {
            let matrix = pair.down(model);
            let narrow = 0..tokens.len() * pair.rank();
            for (&token, out) in tokens.iter().zip(self.narrow[narrow.clone()].chunks_exact_mut(pair.rank())) {
                dequantize_row(&matrix, token as usize, out);
            }
            self.add_pair(pool, isa, model, pair, narrow, x);
        }
    }

    /// Adds a pair's second product, with that part of the narrow values.
    fn add_pair(
        &mut self,
        pool: &Pool,
        isa: Isa,
        model: &Model,
        pair: &LowRank,
        narrow: Range<usize>,
        out: &mut [f32],
    ) {
        let (matrix, tokens) = (pair.up(model), narrow.len() / pair.rank());
        let narrow = &mut self.narrow[narrow];
        narrow.iter_mut().for_each(|x| *x *= pair.scale);
        self.narrow_activations.set(pool, isa, narrow, pair.rank(), &[matrix.format]);
        let most = self.band.len() / tokens;
        for first in (0..matrix.rows).step_by(most) {
            let count = most.min(matrix.rows - first);
            let part = Matrix { rows: count, bytes: matrix.rows_from(first, count), ..matrix };
            let band = &mut self.band[..tokens * count];
            matmul(pool, isa, &part, &self.narrow_activations, band);
            rows(pool, out, matrix.rows, &|token, out| add_row(&mut out[first..][..count], &band[token * count..]));
        }
    }
}

/// What all adapters add.
fn pairs(weights: &Weights) -> impl Iterator<Item = &LowRank> {
    let ends = [&weights.token_embedding, &weights.output];
    let projections = weights.layers.iter().flat_map(Layer::projections).chain(ends);
    projections.flat_map(|projection| &projection.adapters)
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
