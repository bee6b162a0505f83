//! What the logits and the inputs of a session say of texts and of the model.

use super::{SequenceId, Session};
use crate::error::Result;
use crate::evaluate::{self, Comparison};
use crate::model::Importance;
use crate::model::importance::Collector;

impl Session {
    /// How surprised a sequence is at each of `targets`, the tokens that followed those with logits; in nats.
    pub fn surprises(&self, sequence: SequenceId, targets: &[u32]) -> Result<Vec<f64>> {
        evaluate::surprises(&self.decoder.pool, self.options.isa, self.logits_of(sequence), targets)
    }

    /// The same of the main sequence, next to the logits of a reference for the same tokens.
    pub fn compare(&self, reference: &[f32], targets: &[u32]) -> Result<Vec<Comparison>> {
        evaluate::compare(&self.decoder.pool, self.options.isa, self.logits(), reference, targets)
    }

    /// Collects from now on what [`Self::importances`] gives; what was collected before is forgotten.
    pub fn collect_importances(&mut self) {
        self.decoder.importance = Some(Collector::default());
    }

    /// What the inputs of each matrix of the layers were, over all tokens that were evaluated since.
    pub fn importances(&self) -> Result<Vec<Importance>> {
        self.decoder.importance.as_ref().map_or(Ok(Vec::new()), |collector| collector.importances(&self.model))
    }

    /// Calls `work` with every number below `count`, on all threads of the session.
    pub fn each(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        self.decoder.pool.each(count, work);
    }
}
