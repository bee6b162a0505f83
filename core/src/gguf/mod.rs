//! GGUF files: bounds-checked reader, header syntax with caps, and the proof of the layout.
//!
//! [`Gguf::open`] maps a file, with its splits, and proves once that every value and tensor lies inside it; what it hands
//! out afterwards needs no further check. Nothing is allocated on the word of the file: memory grows with the bytes
//! that are really there.
//!
//! Source: the GGUF specification in ggml's docs; versions 2 and 3, little endian.

mod header;
mod layout;
mod map;
mod metadata;
mod output;
mod quote;
mod reader;
mod sniff;
mod split;
mod value;
mod writer;

use std::path::Path;
use std::sync::{Arc, Once};

pub use layout::Tensor;
pub use metadata::Metadata;
pub use output::{Output, OutputOptions};
pub use quote::quoted;
pub use value::{Array, StringArray, Value, ValueType};
pub use writer::{Writer, WriterValue};

use crate::error::Result;
use header::Header;
use layout::Tensors;
use map::Bytes;

/// A mapped model file, with all its splits, whose layout is proven.
#[derive(Debug)]
pub struct Gguf {
    files: Vec<Arc<Bytes>>,
    metadata: Metadata,
    tensors: Tensors,
    mapped: Once,
}

impl Gguf {
    /// Maps the file at `path` and proves its layout; one shard of a split model opens all of them.
    ///
    /// The file must not be changed or cut while it is open, as with every mapped file.
    pub fn open(path: &Path) -> Result<Self> {
        split::open(path)
    }

    /// Proves the layout of a file held in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        let shard = Shard::parse(Bytes::Owned(bytes))?;
        split::require_whole(&shard.metadata)?;
        Self::from_shards(vec![shard])
    }

    /// Joins shards, in order; the first one's metadata is the model's.
    fn from_shards(shards: Vec<Shard>) -> Result<Self> {
        let mut files = Vec::new();
        let mut tensors = Vec::new();
        let mut first = None;
        for (number, shard) in shards.into_iter().enumerate() {
            tensors.extend(shard.tensors.into_iter().map(|tensor| tensor.in_file(number)));
            files.push(shard.bytes);
            first.get_or_insert(shard.metadata);
        }
        let metadata = first.ok_or_else(|| crate::Error::invalid_argument("a model has at least one file"))?;
        Ok(Self { files, metadata, tensors: Tensors::new(tensors)?, mapped: Once::new() })
    }

    /// The key-value pairs of the file, of the first one if it is split.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors, in file order.
    pub fn tensors(&self) -> &[Tensor] {
        self.tensors.list()
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.find(name)
    }

    /// The blocks of a tensor of this file, row after row; empty for a tensor of another file that does not fit here.
    pub fn bytes(&self, tensor: &Tensor) -> &[u8] {
        self.files.get(tensor.file()).and_then(|file| file.get(tensor.range())).unwrap_or_default()
    }

    /// The blocks of some rows of a tensor; an error if it has fewer.
    pub fn rows(&self, tensor: &Tensor, first: usize, count: usize) -> Result<&[u8]> {
        let range = rows_within(tensor, first, count)?;
        Ok(self.bytes(tensor).get(range).unwrap_or_default())
    }

    /// Says that some rows of a tensor are not needed soon, so that they need not stay in this process's memory.
    pub fn release(&self, tensor: &Tensor, first: usize, count: usize) -> Result<()> {
        let range = rows_within(tensor, first, count)?;
        if let Some(file) = self.files.get(tensor.file()) {
            file.release(tensor.position() + range.start..tensor.position() + range.end);
        }
        Ok(())
    }

    /// Maps what the system has of the files in memory, so that the first reader of every page need not.
    pub fn map_cached(&self) {
        self.mapped.call_once(|| self.files.iter().for_each(|file| file.map_cached()));
    }

    /// Size on disk, all shards together.
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len() as u64).sum()
    }
}

/// Where so many rows of a tensor lie among its bytes.
fn rows_within(tensor: &Tensor, first: usize, count: usize) -> Result<std::ops::Range<usize>> {
    let rows = tensor.rows();
    match first.checked_add(count).filter(|&end| end <= rows) {
        Some(end) => {
            let row_bytes = tensor.size_bytes() / rows;
            Ok(first * row_bytes..end * row_bytes)
        }
        None => Err(crate::Error::invalid_argument(format!(
            "tensor {}: {count} rows from row {first} on; it has {rows}",
            quoted(&tensor.name)
        ))),
    }
}

/// One parsed file: the whole model, or one of its splits.
struct Shard {
    bytes: Arc<Bytes>,
    metadata: Metadata,
    tensors: Vec<Tensor>,
}

impl Shard {
    fn parse(bytes: Bytes) -> Result<Self> {
        sniff::require_gguf(&bytes)?;
        let bytes = Arc::new(bytes);
        let Header { entries, tensors, end } = header::parse(&bytes)?;
        let metadata = Metadata::new(Arc::clone(&bytes), entries)?;
        let alignment = layout::alignment(&metadata)?;
        let tensors = layout::prove(tensors, end, alignment, bytes.len())?;
        Ok(Self { bytes, metadata, tensors })
    }
}
