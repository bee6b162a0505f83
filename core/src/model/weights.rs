//! The tensors of a model, found by name, checked for shape and format, and left in the mapped file.
//!
//! Norms and biases are small and copied; matrices stay where they are. A tensor that nothing here asks for means that
//! the file computes something else, and is refused.

use std::collections::HashMap;

use super::adapter::LowRank;
use super::architecture::Architecture;
use super::config::Config;
use super::{BACKEND_HINT, memory};
use crate::error::{Error, Result};
use crate::formats;
use crate::gguf::{Gguf, Tensor, quoted};
use crate::kernels::Matrix;

/// `y = W x + b`: some rows of a matrix in the file, and the bias if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Projection {
    pub(super) tensor: usize,
    pub(super) first_row: usize,
    /// Outputs.
    pub(crate) rows: usize,
    /// Inputs.
    pub(crate) columns: usize,
    pub(crate) bias: Option<Vec<f32>>,
    /// What adapters add.
    pub(crate) adapters: Vec<LowRank>,
}

impl Projection {
    /// A whole tensor as a matrix.
    pub(super) fn new(tensor: usize, rows: usize, columns: usize) -> Self {
        Self { tensor, first_row: 0, rows, columns, bias: None, adapters: Vec::new() }
    }

    /// What the file calls the tensor.
    pub(super) fn name<'a>(&self, gguf: &'a Gguf) -> &'a str {
        &gguf.tensors()[self.tensor].name
    }

    /// The matrix, in the file it was found in.
    pub(crate) fn matrix<'a>(&self, gguf: &'a Gguf) -> Matrix<'a> {
        let tensor = &gguf.tensors()[self.tensor];
        let row_bytes = tensor.size_bytes() / tensor.rows().max(1);
        let bytes = &gguf.bytes(tensor)[self.first_row * row_bytes..][..self.rows * row_bytes];
        Matrix { format: tensor.format, rows: self.rows, columns: self.columns, bytes }
    }
}

/// The norms that a layer has beside the usual two.
#[derive(Clone, Debug)]
pub(crate) struct HeadNorms {
    pub(crate) query: Vec<f32>,
    pub(crate) key: Vec<f32>,
}

#[derive(Clone, Debug)]
pub(crate) struct PostNorms {
    pub(crate) attention: Vec<f32>,
    pub(crate) feed_forward: Vec<f32>,
}

/// One transformer layer.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) query: Projection,
    pub(crate) key: Projection,
    pub(crate) value: Projection,
    pub(crate) head_norms: Option<HeadNorms>,
    pub(crate) attention_output: Projection,
    pub(crate) feed_forward_norm: Vec<f32>,
    pub(crate) gate: Projection,
    pub(crate) up: Projection,
    pub(crate) down: Projection,
    pub(crate) post_norms: Option<PostNorms>,
}

impl Layer {
    fn projections(&self) -> [&Projection; 7] {
        [&self.query, &self.key, &self.value, &self.attention_output, &self.gate, &self.up, &self.down]
    }

    pub(super) fn projections_mut(&mut self) -> [&mut Projection; 7] {
        let Self { query, key, value, attention_output, gate, up, down, .. } = self;
        [query, key, value, attention_output, gate, up, down]
    }
}

/// Divisors of the rotary frequencies, one per rotated pair.
#[derive(Clone, Debug, Default)]
pub(crate) struct RopeFactors {
    /// For every context.
    always: Option<Vec<f32>>,
    /// For contexts within the original length, and beyond it.
    short: Option<Vec<f32>>,
    long: Option<Vec<f32>>,
}

impl RopeFactors {
    /// The factors for a session of that context length. llama.cpp rounds contexts up to 256 before it compares.
    pub(crate) fn for_context(&self, context_length: usize, original: usize) -> Option<&Vec<f32>> {
        let is_long = context_length.next_multiple_of(256) > original;
        self.always.as_ref().or(if is_long { self.long.as_ref() } else { self.short.as_ref() })
    }
}

/// All tensors of a model.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    pub(crate) token_embedding: Projection,
    pub(crate) layers: Vec<Layer>,
    pub(crate) output_norm: Vec<f32>,
    pub(crate) output: Projection,
    pub(crate) rope_factors: RopeFactors,
}

impl Weights {
    /// Finds all tensors and sets the vocabulary size.
    pub(super) fn load(gguf: &Gguf, architecture: &Architecture, config: &mut Config) -> Result<Self> {
        let mut file = Loader::new(gguf);
        let width = config.embedding_length;
        config.vocabulary_size = file.require("token_embd.weight", "the embedding of the vocabulary")?.rows();
        check_vocabulary(gguf, config.vocabulary_size)?;
        let token_embedding = file.projection("token_embd", width, config.vocabulary_size)?;
        let output = if architecture.may_have_output && file.has("output.weight") {
            file.projection("output", width, config.vocabulary_size)?
        } else {
            let bias = file.optional_vector("output.bias", config.vocabulary_size)?;
            Projection { bias, ..token_embedding.clone() }
        };
        let weights = Self {
            token_embedding,
            output_norm: file.vector("output_norm.weight", width)?,
            output,
            rope_factors: if architecture.has_rope_factors {
                file.rope_factors(config)?
            } else {
                RopeFactors::default()
            },
            layers: (0..config.block_count).map(|i| file.layer(i, architecture, config)).collect::<Result<_>>()?,
        };
        file.refuse_the_rest(architecture.name)?;
        Ok(weights)
    }
}

impl Weights {
    /// What all adapters add.
    pub(super) fn adapters(&self) -> impl Iterator<Item = &LowRank> {
        let ends = [&self.token_embedding, &self.output];
        let projections = self.layers.iter().flat_map(Layer::projections).chain(ends);
        projections.flat_map(|projection| &projection.adapters)
    }
}

/// The tokenizer and the embedding must agree on how many tokens there are.
pub(super) fn check_vocabulary(gguf: &Gguf, rows: usize) -> Result<()> {
    if rows == 0 {
        return Err(Error::model_file("tensor \"token_embd.weight\" has no rows: a vocabulary has tokens"));
    }
    match gguf.metadata().strings("tokenizer.ggml.tokens")? {
        Some(tokens) if tokens.len() != rows => Err(Error::model_file(format!(
            "tensor \"token_embd.weight\" has {rows} rows, but \"tokenizer.ggml.tokens\" has {} tokens",
            tokens.len()
        ))),
        _ => Ok(()),
    }
}

/// Checks that a tensor has this shape, ones at the end aside, and a format that the core computes with.
pub(super) fn require_shape(tensor: &Tensor, shape: &[usize]) -> Result<()> {
    let name = quoted(&tensor.name);
    let sizes = tensor.shape.len().max(shape.len());
    let found = tensor.shape.iter().copied().chain(std::iter::repeat(1)).take(sizes);
    let needed = shape.iter().map(|&size| size as u64).chain(std::iter::repeat(1)).take(sizes);
    if !found.eq(needed) {
        let (found, needed) = (joined(&tensor.shape), joined(shape));
        return Err(Error::model_file(format!("tensor {name} is {found}, {needed} is needed")));
    }
    if !tensor.format.is_supported() {
        let finding = format!("is stored as {}, which the core does not compute with", tensor.format);
        return Err(Error::unsupported(format!("tensor {name} {finding}")).with_hint(BACKEND_HINT));
    }
    Ok(())
}

/// A shape in words.
fn joined<T: ToString>(sizes: &[T]) -> String {
    sizes.iter().map(T::to_string).collect::<Vec<_>>().join(" x ")
}

/// Looks tensors up and remembers which were asked for.
pub(super) struct Loader<'a> {
    gguf: &'a Gguf,
    by_name: HashMap<&'a str, usize>,
    is_used: Vec<bool>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(gguf: &'a Gguf) -> Self {
        let tensors = gguf.tensors();
        let by_name = tensors.iter().enumerate().map(|(i, tensor)| (tensor.name.as_str(), i)).collect();
        Self { gguf, by_name, is_used: vec![false; tensors.len()] }
    }

    fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn require(&self, name: &str, what: &str) -> Result<&'a Tensor> {
        let missing = || Error::model_file(format!("tensor \"{name}\" is missing: {what}"));
        self.by_name.get(name).map(|&i| &self.gguf.tensors()[i]).ok_or_else(missing)
    }

    /// The index of a tensor of exactly this shape, in a format that the core computes with.
    fn find(&mut self, name: &str, shape: &[usize]) -> Result<usize> {
        let tensor = self.require(name, &format!("{} values are needed", joined(shape)))?;
        require_shape(tensor, shape)?;
        let index = self.by_name[name];
        self.is_used[index] = true;
        Ok(index)
    }

    pub(super) fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>> {
        let index = self.find(name, &[length])?;
        let tensor = &self.gguf.tensors()[index];
        let mut values = memory::zeros(length, "small tensors")?;
        formats::dequantize(tensor.format, self.gguf.bytes(tensor), &mut values)?;
        Ok(values)
    }

    fn optional_vector(&mut self, name: &str, length: usize) -> Result<Option<Vec<f32>>> {
        if self.has(name) { self.vector(name, length).map(Some) } else { Ok(None) }
    }

    /// `name.weight`, and `name.bias` if it is there.
    pub(super) fn projection(&mut self, name: &str, columns: usize, rows: usize) -> Result<Projection> {
        let tensor = self.find(&format!("{name}.weight"), &[columns, rows])?;
        let bias = self.optional_vector(&format!("{name}.bias"), rows)?;
        Ok(Projection { bias, ..Projection::new(tensor, rows, columns) })
    }

    /// Projections whose rows follow each other in one tensor; biases may be in one piece too, or apart.
    fn fused<const N: usize>(
        &mut self,
        name: &str,
        columns: usize,
        parts: &[(String, usize); N],
    ) -> Result<[Projection; N]> {
        let total = parts.iter().map(|(_, rows)| rows).sum();
        let whole = self.projection(name, columns, total)?;
        let mut first_row = 0;
        let mut out = Vec::with_capacity(N);
        for (part, rows) in parts {
            let bias = match &whole.bias {
                Some(bias) => Some(bias[first_row..first_row + rows].to_vec()),
                None => self.optional_vector(&format!("{part}.bias"), *rows)?,
            };
            out.push(Projection { first_row, bias, ..Projection::new(whole.tensor, *rows, columns) });
            first_row += rows;
        }
        out.try_into().map_err(|_| Error::model_file(format!("tensor \"{name}.weight\" has other parts")))
    }

    /// Queries, keys and values of a layer, of so many rows, in one tensor or in three.
    pub(super) fn heads(&mut self, layer: usize, columns: usize, rows: [usize; 3]) -> Result<[Projection; 3]> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let [queries, keys, values] = rows;
        let parts = [(name("attn_q"), queries), (name("attn_k"), keys), (name("attn_v"), values)];
        if self.has(&name("attn_qkv.weight")) {
            return self.fused(&name("attn_qkv"), columns, &parts);
        }
        let [query, key, value] = parts.map(|(part, rows)| self.projection(&part, columns, rows));
        Ok([query?, key?, value?])
    }

    /// The first row of a matrix with any number of rows, if it is there.
    pub(super) fn first_row(&mut self, name: &str, columns: usize) -> Result<Option<Vec<f32>>> {
        let Some(&index) = self.by_name.get(name) else { return Ok(None) };
        let tensor = &self.gguf.tensors()[index];
        require_shape(tensor, &[columns, tensor.rows().max(1)])?;
        self.is_used[index] = true;
        let mut values = memory::zeros(columns, "small tensors")?;
        let row = &self.gguf.bytes(tensor)[..tensor.size_bytes() / tensor.rows().max(1)];
        formats::dequantize(tensor.format, row, &mut values)?;
        Ok(Some(values))
    }

    fn layer(&mut self, index: usize, architecture: &Architecture, config: &Config) -> Result<Layer> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let (width, inner) = (config.embedding_length, config.feed_forward_length);
        let (queries, keys) = (config.query_length(), config.key_length());
        let [query, key, value] = self.heads(index, width, [queries, keys, keys])?;
        let [gate, up] = if architecture.has_fused_gate {
            let parts = ["ffn_gate", "ffn_up_only"]; // names of biases that such files do not have
            self.fused(&name("ffn_up"), width, &parts.map(|part| (name(part), inner)))?
        } else {
            [self.projection(&name("ffn_gate"), width, inner)?, self.projection(&name("ffn_up"), width, inner)?]
        };
        let head_norms = if architecture.has_head_norms {
            Some(HeadNorms {
                query: self.vector(&name("attn_q_norm.weight"), config.head_length)?,
                key: self.vector(&name("attn_k_norm.weight"), config.head_length)?,
            })
        } else {
            None
        };
        let post_norms = if architecture.has_post_norms {
            Some(PostNorms {
                attention: self.vector(&name("post_attention_norm.weight"), width)?,
                feed_forward: self.vector(&name("post_ffw_norm.weight"), width)?,
            })
        } else {
            None
        };
        Ok(Layer {
            attention_norm: self.vector(&name("attn_norm.weight"), width)?,
            query,
            key,
            value,
            head_norms,
            attention_output: self.projection(&name("attn_output"), queries, width)?,
            feed_forward_norm: self.vector(&name("ffn_norm.weight"), width)?,
            gate,
            up,
            down: self.projection(&name("ffn_down"), inner, width)?,
            post_norms,
        })
    }

    fn rope_factors(&mut self, config: &Config) -> Result<RopeFactors> {
        let mut factors = |name: &str| {
            let factors = self.optional_vector(name, config.rope.dimensions / 2)?;
            if factors.as_ref().is_some_and(|factors| factors.iter().any(|x| !x.is_finite() || *x <= 0.0)) {
                return Err(Error::model_file(format!("tensor \"{name}\" holds a factor that is not positive")));
            }
            Ok(factors)
        };
        Ok(RopeFactors {
            always: factors("rope_freqs.weight")?,
            short: factors("rope_factors_short.weight")?,
            long: factors("rope_factors_long.weight")?,
        })
    }

    /// A tensor that nobody asked for would change what the model computes.
    pub(super) fn refuse_the_rest(&self, architecture: &str) -> Result<()> {
        let Some(index) = self.is_used.iter().position(|used| !used) else { return Ok(()) };
        let name = quoted(&self.gguf.tensors()[index].name);
        let finding = if name.contains("_exps") || name.contains("ffn_gate_inp") {
            "belongs to a mixture of experts, which the core does not run".to_owned()
        } else {
            format!("is not one that the core knows in architecture \"{architecture}\"")
        };
        Err(Error::unsupported(format!("tensor {name} {finding}")).with_hint(BACKEND_HINT))
    }
}
