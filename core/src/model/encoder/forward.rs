//! The forward pass of an encoder: whole texts, any number of them side by side, none of which sees another.

use super::weights::Norm;
use super::{Encoder, EncoderConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::Format;
use crate::isa::{Isa, Pool};
use crate::kernels::attention::{self, Attention, AttentionScratch, attend};
use crate::kernels::norm::{activate, add, add_bias, gated, layer_norm, rows};
use crate::kernels::rope::RopeTable;
use crate::kernels::{Activations, dequantize_row, matmul_all};
use crate::model::kv_cache::{BLOCK, CacheFormat, KvCache};
use crate::model::memory;
use crate::model::weights::Projection;

/// The most multiply-adds of one matrix product: the caller's wish to stop is seen between products.
const MAX_PRODUCT: usize = 1 << 33;
/// What the float buffers of one chunk may take, in bytes.
const MAX_BUFFERS: usize = 26 << 20;
/// A pass has blocks for so many short texts at least, if it has as many tokens.
const MOST_TEXTS: usize = 128;
/// Chunks are no shorter than this, however large the model.
const MIN_CHUNK: usize = 32;

/// Buffers and threads, which grow with the longest pass.
///
/// States, queries and attended values are of all tokens of a pass; what a layer makes on its way is of a chunk.
pub(crate) struct Forward {
    pool: Pool,
    isa: Isa,
    chunk: usize,
    rope: Option<RopeTable>,
    /// Keys and values of one layer at a time.
    cache: KvCache,
    x: Vec<f32>,        // (tokens, embedding)
    queries: Vec<f32>,  // (tokens, embedding)
    attended: Vec<f32>, // (tokens, embedding)
    keys: Vec<f32>,     // (chunk, embedding)
    values: Vec<f32>,   // (chunk, embedding)
    sum: Vec<f32>,      // (chunk, embedding): what is added to x
    gate: Vec<f32>,     // (chunk, feed forward)
    up: Vec<f32>,       // (chunk, feed forward)
    blocks: Vec<u32>,   // of all texts, one after the other
    places: Vec<usize>, // (tokens): where the cache keeps them
    inputs: Activations,
    attention: AttentionScratch,
}

impl Forward {
    /// Buffers for passes of at most `tokens` tokens.
    pub(crate) fn new(encoder: &Encoder, tokens: usize, isa: Isa, threads: usize) -> Result<Self> {
        let config = &encoder.config;
        let chunk = chunk_length(config).min(tokens).max(1);
        let rope = config.rope.clone().map(|rope| RopeTable::new(rope, None, tokens)).transpose()?;
        let of_all = |columns: usize| memory::reserve(tokens.saturating_mul(columns), "scratch");
        let of_chunk = |columns: usize| memory::reserve(chunk * columns, "scratch");
        let (width, inner) = (config.embedding_length, config.feed_forward_length);
        // Each text begins a block, so that short ones take more positions than they have tokens.
        let positions = tokens.saturating_add(BLOCK * tokens.min(MOST_TEXTS));
        Ok(Self {
            pool: Pool::new(threads),
            isa,
            chunk,
            rope,
            cache: KvCache::for_heads(
                1,
                config.head_count,
                config.head_length,
                positions,
                CacheFormat::F32,
                CacheFormat::F32,
            )?,
            x: of_all(width)?,
            queries: of_all(width)?,
            attended: of_all(width)?,
            keys: of_chunk(width)?,
            values: of_chunk(width)?,
            sum: of_chunk(width)?,
            gate: of_chunk(inner)?,
            up: of_chunk(inner)?,
            blocks: Vec::new(),
            places: Vec::new(),
            inputs: Activations::new(),
            attention: AttentionScratch::new(threads, config.head_length, 1)?,
        })
    }

    /// How many blocks a pass has for its texts, each of which takes whole ones; see [`blocks_of`].
    pub(crate) fn block_count(&self) -> usize {
        self.cache.block_count()
    }

    /// Bytes of the buffers and of the keys and values.
    pub(crate) fn size_bytes(&self) -> usize {
        let floats =
            [&self.x, &self.queries, &self.attended, &self.keys, &self.values, &self.sum, &self.gate, &self.up];
        4 * floats.map(Vec::capacity).iter().sum::<usize>()
            + self.cache.size_bytes()
            + self.rope.as_ref().map_or(0, RopeTable::size_bytes)
            + self.attention.size_bytes()
    }

    /// The states of all tokens behind the last layer, (tokens of all texts, embedding), in their order.
    pub(crate) fn run(
        &mut self,
        encoder: &Encoder,
        texts: &[&[u32]],
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<&[f32]> {
        let config = &encoder.config;
        let count = self.embed(encoder, texts);
        self.place(texts);
        if let Some(rope) = &mut self.rope {
            rope.set(texts.iter().flat_map(|text| 0..text.len()));
        }
        for (index, layer) in encoder.weights.layers.iter().enumerate() {
            for first in (0..count).step_by(self.chunk) {
                check(interrupted)?;
                self.project_heads(encoder, index, first, self.chunk.min(count - first));
            }
            check(interrupted)?;
            self.attend(config, texts);
            for first in (0..count).step_by(self.chunk) {
                let chunk = self.chunk.min(count - first);
                check(interrupted)?;
                self.add_attended(encoder, index, first, chunk);
                check(interrupted)?;
                self.feed_forward(encoder, index, first, chunk, interrupted)?;
                self.normalize(config, &layer.output_norm, first, chunk);
            }
        }
        Ok(&self.x[..count * config.embedding_length])
    }

    /// x = the embeddings of the tokens and their positions; gives how many there are.
    fn embed(&mut self, encoder: &Encoder, texts: &[&[u32]]) -> usize {
        let (config, weights) = (&encoder.config, &encoder.weights);
        let width = config.embedding_length;
        let tokens: Vec<(u32, usize)> = texts.iter().flat_map(|text| text.iter().copied().zip(0..)).collect();
        self.grow(config, tokens.len());
        let x = &mut self.x[..tokens.len() * width];
        let embedding = weights.token_embedding.matrix(&encoder.gguf);
        rows(&self.pool, x, width, &|i, x| dequantize_row(&embedding, tokens[i].0 as usize, x));
        if let Some(first_text) = &weights.first_text {
            add_bias(&self.pool, x, first_text);
        }
        if let Some(positions) = &weights.position_embedding {
            let positions = positions.matrix(&encoder.gguf);
            // A chunk at a time: the buffer is as long.
            for (first, x) in (0..).step_by(self.chunk).zip(x.chunks_mut(self.chunk * width)) {
                let learned = &mut self.sum[..x.len()];
                rows(&self.pool, learned, width, &|i, learned| {
                    dequantize_row(&positions, tokens[first + i].1, learned);
                });
                add(&self.pool, x, learned, width);
            }
        }
        self.normalize(config, &weights.embedding_norm, 0, tokens.len());
        tokens.len()
    }

    /// Gives every text its blocks of the cache, and every token its place.
    fn place(&mut self, texts: &[&[u32]]) {
        self.places.clear();
        let mut block = 0;
        for text in texts {
            self.places.extend(block * BLOCK..block * BLOCK + text.len());
            block += blocks_of(text.len());
        }
        self.blocks.clear();
        self.blocks.extend(0..block as u32);
    }

    /// Makes the buffers long enough for so many tokens.
    fn grow(&mut self, config: &EncoderConfig, count: usize) {
        let (width, inner, chunk) = (config.embedding_length, config.feed_forward_length, self.chunk.min(count));
        for (buffer, length) in [
            (&mut self.x, count * width),
            (&mut self.queries, count * width),
            (&mut self.attended, count * width),
            (&mut self.keys, chunk * width),
            (&mut self.values, chunk * width),
            (&mut self.sum, chunk * width),
            (&mut self.gate, chunk * inner),
            (&mut self.up, chunk * inner),
        ] {
            buffer.resize(buffer.len().max(length), 0.0);
        }
    }

    /// Queries, keys and values of some tokens; the latter two go to the cache.
    fn project_heads(&mut self, encoder: &Encoder, layer: usize, first: usize, count: usize) {
        let config = &encoder.config;
        let (width, length) = (config.embedding_length, config.head_length);
        let [query, key, value] = &encoder.weights.layers[layer].heads;
        let queries = &mut self.queries[first * width..][..count * width];
        let (keys, values) = (&mut self.keys[..count * width], &mut self.values[..count * width]);
        let x = &self.x[first * width..][..count * width];
        let outputs = &mut [(query, &mut *queries), (key, &mut *keys), (value, &mut *values)];
        project(&self.pool, self.isa, encoder, &mut self.inputs, x, outputs);
        if let Some(rope) = &self.rope {
            for heads in [queries, &mut *keys] {
                rows(&self.pool, heads, width, &|token, heads| {
                    heads.chunks_exact_mut(length).for_each(|head| rope.rotate(first + token, head));
                });
            }
        }
        self.cache.write(&self.pool, self.isa, 0, &self.places[first..first + count], keys, values);
    }

    /// What each token finds in its text.
    fn attend(&mut self, config: &EncoderConfig, texts: &[&[u32]]) {
        let attention = Attention {
            heads: self.cache.layer(0),
            head_length: config.head_length,
            group: 1,
            is_causal: false,
            window: None,
            scale: 1.0 / (config.head_length as f32).sqrt(),
            soft_cap: None,
        };
        let mut rest = &self.blocks[..];
        let segments: Vec<attention::Segment> = texts
            .iter()
            .map(|text| {
                let (blocks, others) = rest.split_at(blocks_of(text.len()));
                rest = others;
                attention::Segment { blocks, first: 0, tokens: text.len() }
            })
            .collect();
        let length = self.places.len() * config.embedding_length;
        let (queries, attended) = (&self.queries[..length], &mut self.attended[..length]);
        attend(&self.pool, self.isa, &attention, &segments, queries, attended, &mut self.attention);
    }

    /// x = norm(x + what attention found)
    fn add_attended(&mut self, encoder: &Encoder, layer: usize, first: usize, count: usize) {
        let (width, layer) = (encoder.config.embedding_length, &encoder.weights.layers[layer]);
        let attended = &self.attended[first * width..][..count * width];
        let sum = &mut self.sum[..count * width];
        let outputs = &mut [(&layer.attention_output, &mut *sum)];
        project(&self.pool, self.isa, encoder, &mut self.inputs, attended, outputs);
        add(&self.pool, &mut self.x[first * width..][..count * width], sum, width);
        self.normalize(&encoder.config, &layer.attention_norm, first, count);
    }

    /// x += what the feed-forward network makes of it.
    fn feed_forward(
        &mut self,
        encoder: &Encoder,
        layer: usize,
        first: usize,
        count: usize,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<()> {
        let (config, layer) = (&encoder.config, &encoder.weights.layers[layer]);
        let (width, inner) = (config.embedding_length, config.feed_forward_length);
        let x = &mut self.x[first * width..][..count * width];
        let (gate, up) = (&mut self.gate[..count * inner], &mut self.up[..count * inner]);
        let bent = if let Some(matrix) = &layer.gate {
            let outputs = &mut [(matrix, &mut *gate), (&layer.up, &mut *up)];
            project(&self.pool, self.isa, encoder, &mut self.inputs, x, outputs);
            gated(&self.pool, self.isa, config.gate, gate, up, inner);
            gate
        } else {
            project(&self.pool, self.isa, encoder, &mut self.inputs, x, &mut [(&layer.up, &mut *up)]);
            activate(&self.pool, self.isa, config.gate, up, inner);
            up
        };
        check(interrupted)?;
        let sum = &mut self.sum[..count * width];
        project(&self.pool, self.isa, encoder, &mut self.inputs, bent, &mut [(&layer.down, &mut *sum)]);
        add(&self.pool, x, sum, width);
        Ok(())
    }

    /// Normalizes the states of some tokens.
    fn normalize(&mut self, config: &EncoderConfig, norm: &Norm, first: usize, count: usize) {
        let width = config.embedding_length;
        let x = &mut self.x[first * width..][..count * width];
        layer_norm(&self.pool, self.isa, x, &norm.weight, &norm.bias, config.norm_epsilon);
    }
}

/// How many blocks of the cache a text of that length takes.
pub(crate) fn blocks_of(length: usize) -> usize {
    length.div_ceil(BLOCK)
}

/// Products of one input with several matrices, biases added.
fn project(
    pool: &Pool,
    isa: Isa,
    encoder: &Encoder,
    inputs: &mut Activations,
    x: &[f32],
    outputs: &mut [(&Projection, &mut [f32])],
) {
    let Some((first, _)) = outputs.first() else { return };
    let columns = first.columns;
    let mut products: Vec<_> =
        outputs.iter_mut().map(|(projection, out)| (projection.matrix(&encoder.gguf), &mut **out)).collect();
    let formats: Vec<Format> = products.iter().map(|(matrix, _)| matrix.format).collect();
    inputs.set(pool, isa, x, columns, &formats);
    matmul_all(pool, isa, &mut products, inputs);
    for (projection, out) in outputs {
        if let Some(bias) = &projection.bias {
            add_bias(pool, out, bias);
        }
    }
}

/// Tokens per chunk: what the buffers and the time between two looks at the interrupt allow.
fn chunk_length(config: &EncoderConfig) -> usize {
    let (width, inner) = (config.embedding_length, config.feed_forward_length);
    let product = width.saturating_mul(inner.max(width));
    let most = (MAX_PRODUCT / product.max(1)).min(MAX_BUFFERS / (4 * (3 * width + 2 * inner)));
    (most / MIN_CHUNK * MIN_CHUNK).max(MIN_CHUNK)
}

fn check(interrupted: &(dyn Fn() -> bool + Sync)) -> Result<()> {
    if interrupted() { Err(Error::new(ErrorKind::Interrupted, "evaluation was interrupted")) } else { Ok(()) }
}
