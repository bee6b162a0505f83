//! Keys and values of all positions so far, per layer and key-value head, as f32, f16 or `q8_0`.
//!
//! Positions come in blocks of 32. In a block, keys lie `(dimension, position)`, so that the scores of 32 positions are
//! two vectors and need no horizontal sums; values lie `(position, dimension)`, with rows padded to whole vectors.
//! A sequence lists the blocks that hold it, in any order, so that sequences share the blocks of a common beginning
//! ([`blocks`]). Room for all blocks is reserved at once, and touched only as positions are written.

pub(crate) mod blocks;

use crate::error::{Error, ErrorKind, Result};
use crate::isa::{Chunks, Isa, Kernel, LANES, Pool, Simd};
use crate::model::Config;

/// Positions per block.
pub(crate) const BLOCK: usize = 32;
/// Neighbouring values of a `q8_0` head that share a scale.
const SCALED: usize = 32;

/// How the cache stores numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheFormat {
    /// 4 bytes a value, exact.
    F32,
    /// 2 bytes a value.
    F16,
    /// Bytes with one half-float scale per 32 values of a head.
    Q8_0,
}

impl CacheFormat {
    /// What users write: `f32`, `f16`, `q8_0`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
        }
    }

    /// The format with that name.
    pub fn named(name: &str) -> Result<Self> {
        [Self::F32, Self::F16, Self::Q8_0].into_iter().find(|format| format.name() == name).ok_or_else(|| {
            Error::invalid_argument(format!("\"{name}\" is not a format of the KV cache"))
                .with_hint("choose one of: f32, f16, q8_0")
        })
    }
}

/// The numbers of one head, keys or values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cells {
    F32(Vec<f32>),
    F16(Vec<u16>),
    Q8 { codes: Vec<i8>, scales: Vec<u16> },
}

/// How the cells of a block are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    head_length: usize,
    /// Cells from one position to the next.
    position_step: usize,
    /// Cells from one dimension to the next.
    dimension_step: usize,
    /// Cells of a block.
    block_cells: usize,
}

impl Layout {
    fn keys(head_length: usize) -> Self {
        Self { head_length, position_step: 1, dimension_step: BLOCK, block_cells: BLOCK * head_length }
    }

    fn values(head_length: usize) -> Self {
        let row = head_length.next_multiple_of(LANES);
        Self { head_length, position_step: row, dimension_step: 1, block_cells: BLOCK * row }
    }

    fn block_scales(&self) -> usize {
        BLOCK * self.head_length.div_ceil(SCALED)
    }
}

/// Keys or values of one head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Side {
    layout: Layout,
    pub(crate) cells: Cells,
}

/// A block as the attention kernel reads it.
pub(crate) enum Block<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
}

impl Side {
    fn new(layout: Layout, format: CacheFormat, blocks: usize) -> Option<Self> {
        let cells = blocks.checked_mul(layout.block_cells)?;
        let cells = match format {
            CacheFormat::F32 => Cells::F32(reserve(cells)?),
            CacheFormat::F16 => Cells::F16(reserve(cells)?),
            CacheFormat::Q8_0 => {
                Cells::Q8 { codes: reserve(cells)?, scales: reserve(blocks.checked_mul(layout.block_scales())?)? }
            }
        };
        Some(Self { layout, cells })
    }

    /// Bytes of a block.
    fn block_bytes(layout: Layout, format: CacheFormat) -> usize {
        match format {
            CacheFormat::F32 => 4 * layout.block_cells,
            CacheFormat::F16 => 2 * layout.block_cells,
            CacheFormat::Q8_0 => layout.block_cells + 2 * layout.block_scales(),
        }
    }

    /// Cells and scales of so many blocks.
    pub(crate) fn sizes(&self, blocks: usize) -> (usize, usize) {
        (blocks * self.layout.block_cells, blocks * self.layout.block_scales())
    }

    /// Makes `blocks` blocks readable; they are within what was reserved.
    pub(crate) fn grow(&mut self, blocks: usize) {
        fn to<T: Copy + Default>(cells: &mut Vec<T>, length: usize) {
            cells.resize(length.max(cells.len()), T::default());
        }
        let (cells, scales) = self.sizes(blocks);
        match &mut self.cells {
            Cells::F32(x) => to(x, cells),
            Cells::F16(x) => to(x, cells),
            Cells::Q8 { codes, scales: x } => {
                to(codes, cells);
                to(x, scales);
            }
        }
    }

    /// Writes one position, at a place of the cache.
    #[inline(always)]
    fn write<S: Simd>(&mut self, simd: S, place: usize, x: &[f32]) {
        let layout = self.layout;
        let start = place / BLOCK * layout.block_cells + place % BLOCK * layout.position_step;
        let step = layout.dimension_step;
        match &mut self.cells {
            Cells::F32(cells) => scatter(&mut cells[start..], step, x),
            Cells::F16(cells) => {
                let vectors = x.chunks(LANES).zip(cells[start..].chunks_mut(LANES * step));
                for (x, cells) in vectors {
                    scatter(cells, step, &to_f16(simd, x)[..x.len()]);
                }
            }
            Cells::Q8 { codes, scales } => {
                let cells = &mut codes[start..];
                let mut steps = [0.0; LANES];
                let mut first_scale = place / BLOCK * layout.block_scales() + place % BLOCK;
                for (group, x) in x.chunks(SCALED).enumerate() {
                    let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
                    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                    steps[0] = largest / 127.0;
                    scales[first_scale] = to_f16(simd, &steps)[0];
                    first_scale += BLOCK;
                    for (i, x) in x.iter().enumerate() {
                        cells[(group * SCALED + i) * step] = (x * inverse).round() as i8;
                    }
                }
            }
        }
    }

    /// Overwrites a block with another.
    fn copy_block(&mut self, from: usize, to: usize) {
        fn copy<T: Copy>(cells: &mut [T], size: usize, from: usize, to: usize) {
            cells.copy_within(from * size..(from + 1) * size, to * size);
        }
        self.grow(to + 1);
        let (size, scale_count) = self.sizes(1);
        match &mut self.cells {
            Cells::F32(x) => copy(x, size, from, to),
            Cells::F16(x) => copy(x, size, from, to),
            Cells::Q8 { codes, scales } => {
                copy(codes, size, from, to);
                copy(scales, scale_count, from, to);
            }
        }
    }

    /// The block with that index; `scratch` holds it if its numbers must be unpacked.
    #[inline(always)]
    pub(crate) fn block<'a, S: Simd>(&'a self, simd: S, index: usize, scratch: &'a mut [f32]) -> Block<'a> {
        let size = self.layout.block_cells;
        match &self.cells {
            Cells::F32(cells) => Block::F32(&cells[index * size..][..size]),
            Cells::F16(cells) => Block::F16(&cells[index * size..][..size]),
            Cells::Q8 { codes, scales } => {
                let codes = &codes[index * size..][..size];
                let scales = &scales[index * self.layout.block_scales()..][..self.layout.block_scales()];
                let out = &mut scratch[..size];
                if self.layout.position_step == 1 {
                    unpack_keys(simd, codes, scales, out);
                } else {
                    unpack_values(simd, codes, scales, self.layout.position_step, out);
                }
                Block::F32(out)
            }
        }
    }
}

/// `codes` (dimension, 32 positions), `scales` (dimension / 32, 32 positions).
#[inline(always)]
fn unpack_keys<S: Simd>(simd: S, codes: &[i8], scales: &[u16], out: &mut [f32]) {
    let groups = codes.chunks(SCALED * BLOCK).zip(out.chunks_mut(SCALED * BLOCK)).zip(scales.chunks_exact(BLOCK));
    for ((codes, out), scales) in groups {
        let (low, high) = (simd.load_f16(scales), simd.load_f16(&scales[LANES..]));
        for (codes, out) in codes.chunks_exact(BLOCK).zip(out.chunks_exact_mut(BLOCK)) {
            simd.store(simd.mul(simd.load_i8(codes), low), out);
            simd.store(simd.mul(simd.load_i8(&codes[LANES..]), high), &mut out[LANES..]);
        }
    }
}

/// `codes` (32 positions, row), `scales` (row / 32, 32 positions).
#[inline(always)]
fn unpack_values<S: Simd>(simd: S, codes: &[i8], scales: &[u16], row: usize, out: &mut [f32]) {
    for (position, (codes, out)) in codes.chunks_exact(row).zip(out.chunks_exact_mut(row)).enumerate() {
        let vectors = codes.chunks_exact(LANES).zip(out.chunks_exact_mut(LANES));
        for (i, (codes, out)) in vectors.enumerate() {
            let scale = simd.splat(simd.f16_to_f32(scales[i * LANES / SCALED * BLOCK + position]));
            simd.store(simd.mul(simd.load_i8(codes), scale), out);
        }
    }
}

#[inline(always)]
fn scatter<T: Copy>(cells: &mut [T], step: usize, x: &[T]) {
    for (cell, x) in cells.iter_mut().step_by(step).zip(x) {
        *cell = *x;
    }
}

/// Half floats of up to a vector of numbers.
#[inline(always)]
fn to_f16<S: Simd>(simd: S, x: &[f32]) -> [u16; LANES] {
    let mut out = [0; LANES];
    simd.store_f16(simd.load_partial(x), &mut out);
    out
}

fn reserve<T>(length: usize) -> Option<Vec<T>> {
    let mut cells = Vec::new();
    cells.try_reserve_exact(length).ok()?;
    Some(cells)
}

/// Keys and values of one head in one layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) keys: Side,
    pub(crate) values: Side,
}

/// The cache of one session, for all its sequences.
pub(crate) struct KvCache {
    pub(crate) layers: Vec<Vec<Head>>,
    capacity: usize,
    size_bytes: usize,
}

impl KvCache {
    /// Room for `capacity` positions of a model.
    pub(crate) fn new(config: &Config, capacity: usize, keys: CacheFormat, values: CacheFormat) -> Result<Self> {
        Self::for_heads(config.block_count, config.head_count_kv, config.head_length, capacity, keys, values)
    }

    /// Room for `capacity` positions of so many layers with so many heads.
    pub(crate) fn for_heads(
        layer_count: usize,
        head_count: usize,
        head_length: usize,
        capacity: usize,
        keys: CacheFormat,
        values: CacheFormat,
    ) -> Result<Self> {
        let (key_layout, value_layout) = (Layout::keys(head_length), Layout::values(head_length));
        let blocks = capacity.div_ceil(BLOCK);
        let heads = layer_count * head_count;
        let per_block = Side::block_bytes(key_layout, keys) + Side::block_bytes(value_layout, values);
        let size_bytes = heads.checked_mul(per_block).and_then(|bytes| bytes.checked_mul(blocks));
        let refused = || {
            let bytes = size_bytes.map_or("more than the address space has".to_owned(), |bytes| bytes.to_string());
            Error::new(
                ErrorKind::Io,
                format!(
                    "KV cache of {capacity} positions ({} keys, {} values) needs {bytes} bytes, which the system refused",
                    keys.name(),
                    values.name()
                ),
            )
            .with_hint("ask for a shorter context, or for q8_0 keys and values")
        };
        let size_bytes = size_bytes.filter(|&bytes| isize::try_from(bytes).is_ok()).ok_or_else(refused)?;
        let head = || {
            Some(Head { keys: Side::new(key_layout, keys, blocks)?, values: Side::new(value_layout, values, blocks)? })
        };
        let mut layers = Vec::new();
        for _ in 0..layer_count {
            let layer: Option<Vec<Head>> = (0..head_count).map(|_| head()).collect();
            layers.push(layer.ok_or_else(refused)?);
        }
        Ok(Self { layers, capacity, size_bytes })
    }

    /// Positions that fit.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes reserved for all positions.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// The heads of a layer.
    pub(crate) fn layer(&self, layer: usize) -> &[Head] {
        &self.layers[layer]
    }

    /// How many blocks there are.
    pub(crate) fn block_count(&self) -> usize {
        self.capacity.div_ceil(BLOCK)
    }

    /// Overwrites a block with another, in all layers.
    pub(crate) fn copy_block(&mut self, from: u32, to: u32) {
        for head in self.layers.iter_mut().flatten() {
            head.keys.copy_block(from as usize, to as usize);
            head.values.copy_block(from as usize, to as usize);
        }
    }

    /// Writes keys and values, each (tokens, heads x head length); the place of a token is its block's index times
    /// [`BLOCK`] plus its place in the block.
    pub(crate) fn write(
        &mut self,
        pool: &Pool,
        isa: Isa,
        layer: usize,
        places: &[usize],
        keys: &[f32],
        values: &[f32],
    ) {
        let heads = &mut self.layers[layer];
        let count = heads.len();
        if count == 0 {
            return;
        }
        let length = heads[0].keys.layout.head_length;
        let parts = Chunks::new(heads, 1);
        let write = |index: usize| {
            let Some(head) = parts.claim(index).first_mut() else { return };
            isa.run(Write { head, index, length, stride: count * length, places, keys, values });
        };
        if places.len() > 1 {
            pool.each(count, &write);
        } else {
            (0..count).for_each(write);
        }
    }
}

/// Writes the positions of one head.
struct Write<'a> {
    head: &'a mut Head,
    index: usize,
    length: usize,
    stride: usize,
    places: &'a [usize],
    keys: &'a [f32],
    values: &'a [f32],
}

impl Kernel for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let blocks = self.places.iter().map(|place| place / BLOCK + 1).max().unwrap_or(0);
        self.head.keys.grow(blocks);
        self.head.values.grow(blocks);
        let rows = self.keys.chunks_exact(self.stride).zip(self.values.chunks_exact(self.stride));
        for (&place, (keys, values)) in self.places.iter().zip(rows) {
            let part = self.index * self.length..(self.index + 1) * self.length;
            self.head.keys.write(simd, place, &keys[part.clone()]);
            self.head.values.write(simd, place, &values[part]);
        }
    }
}
