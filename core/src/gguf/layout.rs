//! The proof of the layout: every tensor is whole blocks, aligned, inside the file, and shares no byte with another.

use std::ops::Range;

use super::header::TensorEntry;
use super::metadata::Metadata;
use super::quote::quoted;
use super::reader::CUT_SHORT;
use crate::error::{Error, Result};
use crate::formats::Format;

const ALIGNMENT: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u32 = 32;
const ALIGNMENTS: std::ops::RangeInclusive<u32> = 8..=1 << 16;

/// A tensor whose bytes are proven to be in the file.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Name, unique in the model.
    pub name: String,
    /// How its numbers are stored.
    pub format: Format,
    /// One to four sizes; the first is the number of columns, contiguous in the file.
    pub shape: Vec<u64>,
    file: usize,
    range: Range<usize>,
}

impl Tensor {
    /// Values per row.
    pub fn columns(&self) -> usize {
        self.shape.first().map_or(0, |&columns| columns as usize)
    }

    /// Number of rows: the product of all sizes but the first.
    pub fn rows(&self) -> usize {
        self.shape.iter().skip(1).product::<u64>() as usize
    }

    /// Number of values.
    pub fn values(&self) -> usize {
        self.columns() * self.rows()
    }

    /// Bytes in the file.
    pub fn size_bytes(&self) -> usize {
        self.range.len()
    }

    /// Position in its file, in bytes.
    pub fn position(&self) -> usize {
        self.range.start
    }

    /// Which file of a split model holds it, from 0.
    pub fn file(&self) -> usize {
        self.file
    }

    pub(super) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    pub(super) fn in_file(mut self, file: usize) -> Self {
        self.file = file;
        self
    }
}

/// Alignment of the data section and of each tensor in it.
pub(super) fn alignment(metadata: &Metadata) -> Result<usize> {
    let alignment = metadata.u32(ALIGNMENT)?.unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() || !ALIGNMENTS.contains(&alignment) {
        return Err(Error::model_file(format!(
            "metadata key {} is {alignment}; a power of two from {} to {} is needed",
            quoted(ALIGNMENT),
            ALIGNMENTS.start(),
            ALIGNMENTS.end()
        )));
    }
    Ok(alignment as usize)
}

/// Proves each tensor of a file of `file_bytes` bytes whose header has `header_bytes`.
pub(super) fn prove(
    entries: Vec<TensorEntry>,
    header_bytes: usize,
    alignment: usize,
    file_bytes: usize,
) -> Result<Vec<Tensor>> {
    let mut tensors = Vec::new();
    for entry in entries {
        let range = prove_range(&entry, header_bytes, alignment, file_bytes)?;
        tensors.push(Tensor { name: entry.name.to_owned(), format: entry.format, shape: entry.shape, file: 0, range });
    }
    prove_apart(&tensors)?;
    Ok(tensors)
}

fn prove_range(entry: &TensorEntry, header_bytes: usize, alignment: usize, file_bytes: usize) -> Result<Range<usize>> {
    let error = |finding: String| Error::model_file(format!("tensor {}: {finding}", quoted(entry.name)));
    let described = || describe(&entry.shape, entry.format);
    let (columns, block_values) = (entry.shape[0], entry.format.block_values() as u64);
    if !columns.is_multiple_of(block_values) {
        return Err(error(format!("{} has rows of {columns}; a row is a multiple of {block_values}", described())));
    }
    let size = size_bytes(&entry.shape, entry.format)
        .ok_or_else(|| error(format!("{} is larger than the address space", described())))?;
    if !entry.offset.is_multiple_of(alignment as u64) {
        return Err(error(format!("offset {} is not a multiple of the alignment {alignment}", entry.offset)));
    }
    let start = header_bytes
        .checked_next_multiple_of(alignment)
        .and_then(|data| data.checked_add(usize::try_from(entry.offset).ok()?))
        .filter(|&start| start <= file_bytes)
        .ok_or_else(|| {
            error(format!("offset {} is past the end of the file of {file_bytes} bytes", entry.offset))
                .with_hint(CUT_SHORT)
        })?;
    let left = file_bytes - start;
    if size > left {
        return Err(error(format!("{} needs {size} bytes, the file has {left} left", described())).with_hint(CUT_SHORT));
    }
    Ok(start..start + size)
}

/// Bytes of so many rows of whole blocks; none if there are too many to address.
pub(super) fn size_bytes(shape: &[u64], format: Format) -> Option<usize> {
    let (&columns, rows) = shape.split_first()?;
    let rows = rows.iter().try_fold(1usize, |product, &size| product.checked_mul(usize::try_from(size).ok()?))?;
    let columns = usize::try_from(columns).ok()?;
    columns.checked_mul(rows)?; // the number of values is used as a size, too
    format.row_bytes(columns)?.checked_mul(rows)
}

fn describe(shape: &[u64], format: Format) -> String {
    let sizes: Vec<String> = shape.iter().map(u64::to_string).collect();
    format!("{} {format}", sizes.join(" x "))
}

fn prove_apart(tensors: &[Tensor]) -> Result<()> {
    let mut by_start: Vec<&Tensor> = tensors.iter().collect();
    by_start.sort_unstable_by_key(|tensor| tensor.range.start);
    match by_start.windows(2).find(|pair| pair[0].range.end > pair[1].range.start) {
        Some(pair) => Err(Error::model_file(format!(
            "tensor {}: its first byte, {}, lies inside tensor {}, which ends at {}",
            quoted(&pair[1].name),
            pair[1].range.start,
            quoted(&pair[0].name),
            pair[0].range.end
        ))),
        None => Ok(()),
    }
}

/// The tensors of a model, in file order and by name.
#[derive(Debug)]
pub(super) struct Tensors {
    list: Vec<Tensor>,
    /// Indices of `list`, in the order of the names.
    by_name: Vec<u32>,
}

impl Tensors {
    /// Sorts the tensors for lookup; a name that is there twice is an error.
    pub(super) fn new(list: Vec<Tensor>) -> Result<Self> {
        let name = |index: u32| list[index as usize].name.as_str();
        let mut by_name: Vec<u32> = (0..list.len() as u32).collect();
        by_name.sort_unstable_by_key(|&index| name(index));
        if let Some(twins) = by_name.windows(2).find(|pair| name(pair[0]) == name(pair[1])) {
            return Err(Error::model_file(format!(
                "tensor {} is there twice; names are unique",
                quoted(name(twins[0]))
            )));
        }
        Ok(Self { list, by_name })
    }

    pub(super) fn list(&self) -> &[Tensor] {
        &self.list
    }

    pub(super) fn find(&self, name: &str) -> Option<&Tensor> {
        let at = self.by_name.binary_search_by(|&index| self.list[index as usize].name.as_str().cmp(name)).ok()?;
        Some(&self.list[self.by_name[at] as usize])
    }
}
