//! How much each input of a matrix matters: sums of the squares of what it is multiplied by, which quantization weighs
//! errors with.

use std::collections::BTreeMap;

use super::Model;
use super::weights::Projection;
use crate::error::{Error, Result};
use crate::isa::{Chunks, Pool};

/// Columns that a thread sums at a time.
const PIECE: usize = 512;

/// What a matrix was multiplied by, so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// Name of the tensor.
    pub tensor: String,
    /// Sum of the squares of each input, over all tokens.
    pub sums: Vec<f64>,
    /// How many tokens those are.
    pub tokens: usize,
}

/// Sums and tokens of every tensor that was a factor.
#[derive(Default)]
pub(crate) struct Collector(BTreeMap<usize, (Vec<f64>, usize)>);

impl Collector {
    /// Adds `x`, (tokens, columns), which `projections` are about to be multiplied by. Those that are parts of one tensor
    /// count once.
    pub(super) fn add(&mut self, pool: &Pool, x: &[f32], projections: &[&Projection]) {
        let Some(columns) = projections.first().map(|projection| projection.columns) else { return };
        let mut sums = vec![0.0; columns];
        let pieces = Chunks::new(&mut sums, PIECE);
        pool.each(pieces.count(), &|i| {
            let sums = pieces.claim(i);
            for row in x.chunks_exact(columns) {
                for (sum, x) in sums.iter_mut().zip(&row[i * PIECE..]) {
                    *sum += f64::from(*x) * f64::from(*x);
                }
            }
        });
        let mut tensors: Vec<usize> = projections.iter().map(|projection| projection.tensor).collect();
        tensors.dedup();
        for tensor in tensors {
            let (total, tokens) = self.0.entry(tensor).or_insert_with(|| (vec![0.0; columns], 0));
            total.iter_mut().zip(&sums).for_each(|(total, sum)| *total += sum);
            *tokens += x.len() / columns;
        }
    }

    /// What was collected, in the order of the file.
    pub(crate) fn importances(&self, model: &Model) -> Result<Vec<Importance>> {
        let named = |(&tensor, (sums, tokens)): (&usize, &(Vec<f64>, usize))| {
            let tensor = model.gguf.tensors()[tensor].name.clone();
            if sums.iter().any(|sum| !sum.is_finite()) {
                return Err(Error::model_file(format!("tensor \"{tensor}\" is multiplied by what is not finite")));
            }
            Ok(Importance { tensor, sums: sums.clone(), tokens: *tokens })
        };
        self.0.iter().map(named).collect()
    }
}
