//! LoRA adapters: files that make of `W x` a `W x + scale B (A x)`, with two narrow matrices for each one that they change.
//!
//! Source: Hu et al. 2021, arXiv 2106.09685; keys, names of tensors, shapes and scales are those of llama.cpp.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::weights::{Layer, Projection, Weights, require_shape};
use super::{Config, Fnv, Model};
use crate::error::{Error, Result};
use crate::gguf::{Gguf, quoted};
use crate::kernels::Matrix;
use crate::kernels::low_rank::NarrowMatrix;

const TYPE: &str = "general.type";
const ALPHA: &str = "adapter.lora.alpha";
const OTHER_MODEL: &str = "the adapter was made for another model; use it with the one it was trained on";

/// A LoRA adapter to run a model with.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// What errors call it, such as its path.
    pub name: String,
    /// The file.
    pub gguf: Arc<Gguf>,
    /// Multiplies what it adds; with 0 it is checked and adds nothing.
    pub scale: f32,
}

/// What an adapter adds to the products of one matrix: `scale * up (down x)`.
#[derive(Clone, Debug)]
pub(crate) struct LowRank {
    /// Which of the model's adapters.
    adapter: usize,
    /// A: (rank, inputs). For the token embedding (vocabulary, rank): its rows are looked up.
    down: Projection,
    /// B: (outputs, rank)
    pub(crate) up: NarrowMatrix,
    pub(crate) scale: f32,
}

impl LowRank {
    pub(crate) fn rank(&self) -> usize {
        self.up.columns()
    }

    pub(crate) fn down<'a>(&self, model: &'a Model) -> Matrix<'a> {
        self.down.matrix(&model.adapters[self.adapter].gguf)
    }
}

impl Adapter {
    /// Whether a file says that it is an adapter.
    pub(super) fn is_in(gguf: &Gguf) -> bool {
        matches!(gguf.metadata().str(TYPE), Ok(Some("adapter")))
    }

    /// Adds everything that decides what it computes; it is read whole.
    pub(super) fn hash(&self, hash: &mut Fnv) {
        hash.write(&self.scale.to_le_bytes());
        hash.write(&self.alpha().unwrap_or_default().to_le_bytes());
        for tensor in self.gguf.tensors() {
            hash.write(tensor.name.as_bytes());
            hash.write(&tensor.format.id().to_le_bytes());
            tensor.shape.iter().for_each(|size| hash.write(&size.to_le_bytes()));
            hash.write(&Fnv::of(self.gguf.bytes(tensor)).to_le_bytes());
        }
    }

    /// Adds it, as number `index` of the model's adapters, to the matrices that it changes.
    pub(super) fn attach(&self, index: usize, gguf: &Gguf, config: &Config, weights: &mut Weights) -> Result<()> {
        if !self.scale.is_finite() {
            return Err(Error::invalid_argument(format!("its scale is {}, a finite number is needed", self.scale)));
        }
        self.require_kind(config.architecture)?;
        let mut targets: HashMap<&str, Vec<&mut Projection>> = HashMap::new();
        for projection in weights.layers.iter_mut().flat_map(Layer::projections_mut) {
            targets.entry(projection.name(gguf)).or_default().push(projection);
        }
        // Also where it shares the embedding's tensor: an adapter changes one of the two uses.
        targets.insert("output.weight", vec![&mut weights.output]);
        let alpha = self.alpha()?;
        for (name, [a, b]) in self.pairs()? {
            let tensor = &self.gguf.tensors()[a];
            if name == "token_embd.weight" {
                let (embedding, rank) = (&mut weights.token_embedding, tensor.columns());
                let down = Projection::new(a, embedding.rows, rank);
                let up = Projection::new(b, embedding.columns, rank);
                if let Some(scale) = self.check_pair(alpha, &down, &up)? {
                    embedding.adapters.push(self.low_rank(index, down, &up, scale)?);
                }
                continue;
            }
            let parts = targets.get_mut(name).ok_or_else(|| {
                let finding = "belongs to no matrix of the model";
                Error::model_file(format!("tensor {} {finding}", quoted(&tensor.name))).with_hint(OTHER_MODEL)
            })?;
            let columns = parts.first().map_or(0, |part| part.columns);
            let down = Projection::new(a, tensor.rows(), columns);
            let up = Projection::new(b, parts.iter().map(|part| part.rows).sum(), tensor.rows());
            let Some(scale) = self.check_pair(alpha, &down, &up)? else { continue };
            for part in parts {
                let up = Projection { first_row: part.first_row, rows: part.rows, ..up.clone() };
                part.adapters.push(self.low_rank(index, down.clone(), &up, scale)?);
            }
        }
        Ok(())
    }

    /// Checks that it is a LoRA adapter for this architecture.
    fn require_kind(&self, architecture: &str) -> Result<()> {
        let metadata = self.gguf.metadata();
        let expect = |key: &str, needed: &str, hint: &str| match metadata.str(key)? {
            Some(found) if found == needed => Ok(()),
            found => {
                let found = found.map_or("missing".to_owned(), quoted);
                let finding = format!("metadata key \"{key}\" is {found}; \"{needed}\" is needed here");
                Err(Error::model_file(finding).with_hint(hint))
            }
        };
        expect(TYPE, "adapter", "name a LoRA adapter in GGUF form")?;
        expect("general.architecture", architecture, OTHER_MODEL)?;
        expect("adapter.type", "lora", "name a LoRA adapter: the core knows no other kind")?;
        let invocation = "adapter.alora.invocation_tokens";
        if metadata.get(invocation).is_some() {
            let finding = "makes it an adapter for a part of the text, which the core does not run";
            return Err(Error::unsupported(format!("metadata key \"{invocation}\" {finding}")));
        }
        Ok(())
    }

    /// What the scale is multiplied by and the rank divides; 0 for neither.
    fn alpha(&self) -> Result<f32> {
        match self.gguf.metadata().f32(ALPHA)?.unwrap_or(0.0) {
            alpha if alpha.is_finite() => Ok(alpha),
            alpha => Err(Error::model_file(format!("metadata key \"{ALPHA}\" is {alpha}; a finite number is needed"))),
        }
    }

    /// The tensors A and B of each matrix that it changes. Norms beside them are left out, as llama.cpp does.
    fn pairs(&self) -> Result<BTreeMap<&str, [usize; 2]>> {
        let mut found: BTreeMap<&str, [Option<usize>; 2]> = BTreeMap::new();
        for (index, tensor) in self.gguf.tensors().iter().enumerate() {
            let name = tensor.name.as_str();
            if let Some(matrix) = name.strip_suffix(".lora_a") {
                found.entry(matrix).or_default()[0] = Some(index);
            } else if let Some(matrix) = name.strip_suffix(".lora_b") {
                found.entry(matrix).or_default()[1] = Some(index);
            } else if !name.ends_with("_norm.weight") {
                let finding = "is neither a \".lora_a\" nor a \".lora_b\"";
                return Err(Error::model_file(format!("tensor {} {finding}", quoted(name))));
            }
        }
        if found.is_empty() {
            return Err(Error::model_file("the adapter has no tensor \".lora_a\""));
        }
        let whole = found.into_iter().map(|(name, pair)| match pair {
            [Some(a), Some(b)] => Ok((name, [a, b])),
            [a, _] => {
                let missing = format!("{name}.{}", if a.is_none() { "lora_a" } else { "lora_b" });
                Err(Error::model_file(format!(
                    "tensor {} is missing, the other of its pair is there",
                    quoted(&missing)
                )))
            }
        });
        whole.collect()
    }

    /// The scale of a pair, if its shapes are right; none where it adds nothing.
    fn check_pair(&self, alpha: f32, down: &Projection, up: &Projection) -> Result<Option<f32>> {
        for matrix in [down, up] {
            let tensor = &self.gguf.tensors()[matrix.tensor];
            require_shape(tensor, &[matrix.columns, matrix.rows]).map_err(|error| error.with_hint(OTHER_MODEL))?;
        }
        let scale = if alpha == 0.0 { self.scale } else { self.scale * alpha / up.columns as f32 };
        if !scale.is_finite() {
            let (scale, rank) = (self.scale, up.columns);
            let finding = format!("the scale {scale} times {alpha} / {rank} is beyond the numbers of an f32");
            return Err(Error::invalid_argument(finding));
        }
        Ok((scale != 0.0).then_some(scale))
    }

    fn low_rank(&self, index: usize, down: Projection, up: &Projection, scale: f32) -> Result<LowRank> {
        Ok(LowRank { adapter: index, down, up: NarrowMatrix::new(&up.matrix(&self.gguf))?, scale })
    }
}

#[cfg(test)]
mod tests;
