//! The forward pass of a decoder: one text for all architectures, read from their descriptions.

use super::importance::Collector;
use super::kv_cache::{BLOCK, KvCache};
use super::low_rank::{Inputs, ranks};
use super::weights::{Layer, Projection};
use super::{Config, Model, memory};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::Format;
use crate::isa::{Isa, Pool};
use crate::kernels::attention::{self, Attention, AttentionScratch, attend};
use crate::kernels::norm::{add, add_bias, gated, rms_norm, rms_norm_in_place, rows, soft_cap};
use crate::kernels::rope::RopeTable;
use crate::kernels::{dequantize_row, matmul_all};

/// The most multiply-adds of one matrix product in prefill: the caller's wish to stop is seen between products.
const MAX_PRODUCT: usize = 1 << 33;
/// What the float buffers of one chunk may take.
const MAX_BUFFERS: usize = 26 << 20;
/// Chunks are no shorter than this, however large the model.
const MIN_CHUNK: usize = 32;

/// Which rows of a segment go through the end of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    None,
    Last,
    All,
}

/// Tokens of one sequence in a chunk.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) tokens: &'a [u32],
    /// Position of the first.
    pub(crate) first: usize,
    /// The blocks of the cache that hold the sequence, these tokens included.
    pub(crate) blocks: &'a [u32],
    pub(crate) wanted: Wanted,
}

impl<'a> Segment<'a> {
    fn positions(&self) -> impl Iterator<Item = usize> {
        self.first..self.first + self.tokens.len()
    }

    /// How many of its last tokens are wanted.
    fn wanted_count(&self) -> usize {
        match self.wanted {
            Wanted::None => 0,
            Wanted::Last => self.tokens.len().min(1),
            Wanted::All => self.tokens.len(),
        }
    }

    /// The last `count` tokens, as attention sees them.
    fn last(&self, count: usize) -> attention::Segment<'a> {
        let first = self.first + self.tokens.len() - count;
        attention::Segment { blocks: self.blocks, first, tokens: count }
    }
}

/// Buffers and threads of one session's forward pass, allocated once and touched as far as chunks are long.
pub(crate) struct Decoder {
    pub(crate) pool: Pool,
    isa: Isa,
    chunk: usize,
    rope: RopeTable,
    local_rope: Option<RopeTable>,
    x: Vec<f32>,        // (tokens, embedding)
    normed: Vec<f32>,   // (tokens, embedding), and what a block adds to x
    queries: Vec<f32>,  // (tokens, query heads x head length)
    keys: Vec<f32>,     // (tokens, key heads x head length)
    values: Vec<f32>,   // (tokens, key heads x head length)
    attended: Vec<f32>, // (tokens, query heads x head length)
    gate: Vec<f32>,     // (tokens, feed forward)
    up: Vec<f32>,       // (tokens, feed forward)
    places: Vec<usize>, // (tokens): where the cache keeps them
    inputs: Inputs,
    attention: AttentionScratch,
    /// Sums over the inputs of matrices, where they are wanted.
    pub(crate) importance: Option<Collector>,
}

impl Decoder {
    /// Buffers for at most `batch` tokens at a time.
    pub(crate) fn new(model: &Model, context_length: usize, batch: usize, isa: Isa, threads: usize) -> Result<Self> {
        let config = &model.config;
        let chunk = chunk_length(config, ranks(&model.weights), batch).min(context_length).max(1);
        let factors = model.weights.rope_factors.for_context(context_length, config.rope.original_context_length);
        let local_rope = config.local_rope.clone().map(|rope| RopeTable::new(rope, None, chunk)).transpose()?;
        let floats = |columns: usize| memory::reserve(chunk * columns, "scratch");
        let pool = Pool::new(threads);
        let group = config.head_count / config.head_count_kv;
        Ok(Self {
            isa,
            chunk,
            rope: RopeTable::new(config.rope.clone(), factors.cloned(), chunk)?,
            local_rope,
            x: floats(config.embedding_length)?,
            normed: floats(config.embedding_length)?,
            queries: floats(config.query_length())?,
            keys: floats(config.key_length())?,
            values: floats(config.key_length())?,
            attended: floats(config.query_length())?,
            gate: floats(config.feed_forward_length)?,
            up: floats(config.feed_forward_length)?,
            places: memory::reserve(chunk, "scratch")?,
            inputs: Inputs::new(&model.weights, chunk)?,
            attention: AttentionScratch::new(pool.threads(), config.head_length, group)?,
            importance: None,
            pool,
        })
    }

    /// The most tokens that one call of [`Self::forward`] takes.
    pub(crate) fn chunk(&self) -> usize {
        self.chunk
    }

    /// Bytes of all buffers.
    pub(crate) fn size_bytes(&self) -> usize {
        let buffers =
            [&self.x, &self.normed, &self.queries, &self.keys, &self.values, &self.attended, &self.gate, &self.up];
        let floats: usize = buffers.iter().map(|buffer| 4 * buffer.capacity()).sum();
        let local = self.local_rope.as_ref().map_or(0, RopeTable::size_bytes);
        floats + self.rope.size_bytes() + local + self.inputs.size_bytes() + self.attention.size_bytes()
    }

    /// Runs the tokens of all segments, together at most a chunk, and writes their keys and values to the cache. Gives the
    /// hidden states behind the last norm of the wanted tokens, (wanted, embedding), in the order of the segments.
    pub(crate) fn forward(
        &mut self,
        model: &Model,
        cache: &mut KvCache,
        segments: &[Segment],
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<&[f32]> {
        let config = &model.config;
        let mut count = self.embed(model, segments);
        self.rope.set(segments.iter().flat_map(Segment::positions));
        if let Some(rope) = &mut self.local_rope {
            rope.set(segments.iter().flat_map(Segment::positions));
        }
        self.places.clear();
        self.places.extend(segments.iter().flat_map(|segment| {
            let place = |position: usize| segment.blocks[position / BLOCK] as usize * BLOCK + position % BLOCK;
            segment.positions().map(place)
        }));
        let mut attending: Vec<_> = segments.iter().map(|segment| segment.last(segment.tokens.len())).collect();
        let last_layer = config.block_count - 1;
        for (index, layer) in model.weights.layers.iter().enumerate() {
            check(interrupted)?;
            self.project_heads(model, cache, index, count, interrupted)?;
            if index == last_layer {
                // Of the other tokens nothing behind the keys and values is needed.
                count = self.keep_wanted(config, segments);
                if count == 0 {
                    return Ok(&[]);
                }
                attending = segments.iter().map(|segment| segment.last(segment.wanted_count())).collect();
            }
            check(interrupted)?;
            self.attend(model, cache, index, &attending, count);
            check(interrupted)?;
            self.feed_forward(model, layer, count, interrupted)?;
        }
        let width = config.embedding_length;
        let (x, normed) = (&self.x[..count * width], &mut self.normed[..count * width]);
        rms_norm(&self.pool, self.isa, x, &model.weights.output_norm, config.norm_epsilon, normed);
        Ok(normed)
    }

    /// Makes the buffers long enough for so many tokens, at most a chunk.
    fn grow(&mut self, config: &Config, count: usize) {
        for (buffer, columns) in [
            (&mut self.x, config.embedding_length),
            (&mut self.normed, config.embedding_length),
            (&mut self.queries, config.query_length()),
            (&mut self.keys, config.key_length()),
            (&mut self.values, config.key_length()),
            (&mut self.attended, config.query_length()),
            (&mut self.gate, config.feed_forward_length),
            (&mut self.up, config.feed_forward_length),
        ] {
            buffer.resize(buffer.len().max(count * columns), 0.0);
        }
    }

    /// Moves the wanted rows of `x` and `queries` to the front; gives how many there are.
    fn keep_wanted(&mut self, config: &Config, segments: &[Segment]) -> usize {
        let (mut from, mut to) = (0, 0);
        for segment in segments {
            let count = segment.wanted_count();
            from += segment.tokens.len();
            for (x, columns) in [(&mut self.x, config.embedding_length), (&mut self.queries, config.query_length())] {
                x.copy_within((from - count) * columns..from * columns, to * columns);
            }
            to += count;
        }
        to
    }

    /// Logits of the hidden states that [`Self::forward`] gave, as many as `out` has rows.
    pub(crate) fn logits(
        &mut self,
        model: &Model,
        out: &mut [f32],
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<()> {
        let (width, vocabulary) = (model.config.embedding_length, model.config.vocabulary_size);
        let rows_at_a_time = (MAX_PRODUCT / (width * vocabulary)).max(1);
        let hidden = self.normed.chunks(rows_at_a_time * width);
        for (hidden, out) in hidden.zip(out.chunks_mut(rows_at_a_time * vocabulary)) {
            check(interrupted)?;
            let hidden = &hidden[..out.len() / vocabulary * width];
            project(&self.pool, self.isa, model, &mut self.inputs, hidden, &mut [(&model.weights.output, out)]);
        }
        if let Some(cap) = model.config.logit_softcap {
            soft_cap(&self.pool, self.isa, out, cap);
        }
        Ok(())
    }

    /// x = the embeddings of the tokens; gives how many there are.
    fn embed(&mut self, model: &Model, segments: &[Segment]) -> usize {
        let config = &model.config;
        let matrix = model.weights.token_embedding.matrix(&model.gguf);
        let tokens: Vec<u32> = segments.iter().flat_map(|segment| segment.tokens).copied().collect();
        self.grow(config, tokens.len());
        let x = &mut self.x[..tokens.len() * config.embedding_length];
        rows(&self.pool, x, config.embedding_length, &|token, x| dequantize_row(&matrix, tokens[token] as usize, x));
        self.inputs.add_embeddings(&self.pool, self.isa, model, &tokens, x);
        if config.embedding_scale != 1.0 {
            rows(&self.pool, x, config.embedding_length, &|_, x| {
                for x in x {
                    *x *= config.embedding_scale;
                }
            });
        }
        tokens.len()
    }

    /// Queries, keys and values of one layer; the latter two go to the cache.
    fn project_heads(
        &mut self,
        model: &Model,
        cache: &mut KvCache,
        index: usize,
        count: usize,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<()> {
        let (config, layer) = (&model.config, &model.weights.layers[index]);
        let (width, length, epsilon) = (config.embedding_length, config.head_length, config.norm_epsilon);
        let normed = &mut self.normed[..count * width];
        rms_norm(&self.pool, self.isa, &self.x[..count * width], &layer.attention_norm, epsilon, normed);
        let queries = &mut self.queries[..count * config.query_length()];
        let keys = &mut self.keys[..count * config.key_length()];
        let values = &mut self.values[..count * config.key_length()];
        observe(&mut self.importance, &self.pool, normed, &[&layer.query, &layer.key, &layer.value]);
        let outputs = &mut [(&layer.query, &mut *queries), (&layer.key, &mut *keys), (&layer.value, &mut *values)];
        project(&self.pool, self.isa, model, &mut self.inputs, normed, outputs);
        check(interrupted)?;
        if let Some(norms) = &layer.head_norms {
            rms_norm_in_place(&self.pool, self.isa, queries, config.query_length(), &norms.query, epsilon);
            rms_norm_in_place(&self.pool, self.isa, keys, config.key_length(), &norms.key, epsilon);
        }
        let rope = match &self.local_rope {
            Some(rope) if config.windows[index].is_some() => rope,
            _ => &self.rope,
        };
        for (heads, width) in [(queries, config.query_length()), (keys, config.key_length())] {
            rows(&self.pool, heads, width, &|token, heads| {
                heads.chunks_exact_mut(length).for_each(|head| rope.rotate(token, head));
            });
        }
        let (keys, values) = (&self.keys[..count * config.key_length()], &self.values[..count * config.key_length()]);
        cache.write(&self.pool, self.isa, index, &self.places, keys, values);
        Ok(())
    }

    /// x += what attention finds.
    fn attend(&mut self, model: &Model, cache: &KvCache, index: usize, segments: &[attention::Segment], count: usize) {
        let (config, layer) = (&model.config, &model.weights.layers[index]);
        let attention = Attention {
            heads: cache.layer(index),
            head_length: config.head_length,
            group: config.head_count / config.head_count_kv,
            is_causal: true,
            window: config.windows[index],
            scale: config.attention_scale,
            soft_cap: config.attention_softcap,
        };
        let queries = &self.queries[..count * config.query_length()];
        let attended = &mut self.attended[..count * config.query_length()];
        attend(&self.pool, self.isa, &attention, segments, queries, attended, &mut self.attention);
        let result = &mut self.normed[..count * config.embedding_length];
        observe(&mut self.importance, &self.pool, attended, &[&layer.attention_output]);
        let outputs = &mut [(&layer.attention_output, &mut *result)];
        project(&self.pool, self.isa, model, &mut self.inputs, attended, outputs);
        if let Some(norms) = &layer.post_norms {
            rms_norm_in_place(
                &self.pool,
                self.isa,
                result,
                config.embedding_length,
                &norms.attention,
                config.norm_epsilon,
            );
        }
        add(&self.pool, &mut self.x[..count * config.embedding_length], result, config.embedding_length);
    }

    /// x += what the feed-forward network makes of it.
    fn feed_forward(
        &mut self,
        model: &Model,
        layer: &Layer,
        count: usize,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<()> {
        let config = &model.config;
        let (width, inner, epsilon) = (config.embedding_length, config.feed_forward_length, config.norm_epsilon);
        let x = &mut self.x[..count * width];
        let normed = &mut self.normed[..count * width];
        let (gate, up) = (&mut self.gate[..count * inner], &mut self.up[..count * inner]);
        rms_norm(&self.pool, self.isa, x, &layer.feed_forward_norm, epsilon, normed);
        observe(&mut self.importance, &self.pool, normed, &[&layer.gate, &layer.up]);
        let outputs = &mut [(&layer.gate, &mut *gate), (&layer.up, &mut *up)];
        project(&self.pool, self.isa, model, &mut self.inputs, normed, outputs);
        check(interrupted)?;
        gated(&self.pool, self.isa, config.gate, gate, up, inner);
        observe(&mut self.importance, &self.pool, gate, &[&layer.down]);
        project(&self.pool, self.isa, model, &mut self.inputs, gate, &mut [(&layer.down, &mut *normed)]);
        if let Some(norms) = &layer.post_norms {
            rms_norm_in_place(&self.pool, self.isa, normed, width, &norms.feed_forward, epsilon);
        }
        add(&self.pool, x, normed, width);
        Ok(())
    }
}

fn observe(importance: &mut Option<Collector>, pool: &Pool, x: &[f32], projections: &[&Projection]) {
    if let Some(importance) = importance {
        importance.add(pool, x, projections);
    }
}

/// Products of one input with several matrices; what adapters add, and biases, added.
fn project(
    pool: &Pool,
    isa: Isa,
    model: &Model,
    inputs: &mut Inputs,
    x: &[f32],
    outputs: &mut [(&Projection, &mut [f32])],
) {
    let Some((first, _)) = outputs.first() else { return };
    let columns = first.columns;
    let tokens = x.len() / columns;
    let (activations, mut products) = inputs.narrow_products(model, outputs, tokens);
    products.extend(outputs.iter_mut().map(|(projection, out)| (projection.matrix(&model.gguf), &mut **out)));
    let formats: Vec<Format> = products.iter().map(|(matrix, _)| matrix.format).collect();
    activations.set(pool, isa, x, columns, &formats);
    matmul_all(pool, isa, &mut products, activations);
    inputs.add(pool, isa, outputs, tokens);
    for (projection, out) in outputs {
        if let Some(bias) = &projection.bias {
            add_bias(pool, out, bias);
        }
    }
}

/// Tokens per chunk: what the buffers and the time between two looks at the interrupt allow.
fn chunk_length(config: &Config, ranks: usize, batch: usize) -> usize {
    let widest = config.feed_forward_length.max(config.query_length()).max(ranks);
    let product = widest.saturating_mul(config.embedding_length);
    let floats = 2 * config.embedding_length
        + 2 * config.query_length()
        + 2 * config.key_length()
        + 2 * config.feed_forward_length
        + ranks;
    let most = (MAX_PRODUCT / product.max(1)).min(MAX_BUFFERS / (4 * floats));
    batch.min((most / MIN_CHUNK * MIN_CHUNK).max(MIN_CHUNK))
}

fn check(interrupted: &(dyn Fn() -> bool + Sync)) -> Result<()> {
    if interrupted() { Err(Error::new(ErrorKind::Interrupted, "evaluation was interrupted")) } else { Ok(()) }
}
