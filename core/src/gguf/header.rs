//! The syntax of a GGUF header: magic, version, counts, metadata, tensor entries; every count and length has a cap.

use std::ops::Range;

use super::metadata::Entry;
use super::quote::quoted;
use super::reader::{Cursor, Place};
use super::value::ValueType;
use crate::error::{Error, Result};
use crate::formats::Format;

/// Caps far above what models use (300 keys, 2000 tensors, 260 000 tokens), far below what would take seconds to read.
const MAX_KEYS: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 18;
const MAX_KEY_BYTES: u64 = (1 << 16) - 1; // the specification's
const MAX_TENSOR_NAME_BYTES: u64 = 1 << 10;
const MAX_STRING_BYTES: u64 = 1 << 26;
const MAX_ARRAY_VALUES: u64 = 1 << 24;
const MAX_ARRAY_DEPTH: usize = 4;
const MAX_DIMENSIONS: u32 = 4;

/// A header whose syntax holds; where its tensors lie is not proven yet.
pub(super) struct Header<'a> {
    pub(super) entries: Vec<Entry>,
    pub(super) tensors: Vec<TensorEntry<'a>>,
    /// Bytes of the header: the data section starts at the next aligned position.
    pub(super) end: usize,
}

/// What the file says of one tensor.
pub(super) struct TensorEntry<'a> {
    pub(super) name: &'a str,
    pub(super) format: Format,
    /// One to four sizes, none zero, contiguous first.
    pub(super) shape: Vec<u64>,
    /// From the start of the data section.
    pub(super) offset: u64,
}

/// Reads the whole header.
pub(super) fn parse(bytes: &[u8]) -> Result<Header<'_>> {
    let mut cursor = Cursor::new(bytes);
    cursor.take(4)?; // the magic is checked by `sniff`
    parse_version(&mut cursor)?;
    let tensor_count = parse_count(&mut cursor, "tensor_count", MAX_TENSORS)?;
    let key_count = parse_count(&mut cursor, "metadata_kv_count", MAX_KEYS)?;
    let mut entries = Vec::new();
    for number in 1..=key_count {
        cursor.at(Place::Key(number, key_count));
        entries.push(parse_entry(&mut cursor)?);
    }
    let mut tensors = Vec::new();
    for number in 1..=tensor_count {
        cursor.at(Place::TensorName(number, tensor_count));
        tensors.push(parse_tensor(&mut cursor)?);
    }
    Ok(Header { entries, tensors, end: cursor.position() })
}

fn parse_version(cursor: &mut Cursor) -> Result<()> {
    let version = cursor.at(Place::Field("version")).u32()?;
    match version {
        2 | 3 => Ok(()),
        1 => Err(cursor.error("is 1, an obsolete layout; versions 2 and 3 are read").with_hint(CONVERT_AGAIN)),
        _ if (1..=0xffff).contains(&version.swap_bytes()) => Err(cursor
            .error(format_args!("is {} in big-endian byte order; little-endian files are read", version.swap_bytes()))
            .with_hint("get the little-endian file of this model, or convert it with gguf-convert-endian")),
        _ => Err(cursor
            .error(format_args!("is {version}; versions 2 and 3 are read"))
            .with_hint("a newer Edgewise may read it: pip install --upgrade edgewise")),
    }
}

const CONVERT_AGAIN: &str = "get a newer GGUF file of this model, or convert the original again";

fn parse_count(cursor: &mut Cursor, field: &'static str, cap: u64) -> Result<u64> {
    let count = cursor.at(Place::Field(field)).u64()?;
    if count > cap {
        return Err(cursor.error(format_args!("is {count}, at most {cap} is allowed")));
    }
    Ok(count)
}

fn parse_entry(cursor: &mut Cursor) -> Result<Entry> {
    let key = cursor.string(MAX_KEY_BYTES)?;
    let key_range = cursor.since(cursor.position() - key.len());
    if key.is_empty() {
        return Err(cursor.error("has an empty name"));
    }
    if std::str::from_utf8(key).is_err() {
        return Err(cursor.error(format_args!("{} is not UTF-8", quoted(key))));
    }
    cursor.at(Place::Value(key));
    let kind = parse_type(cursor)?;
    let value = parse_value(cursor, kind, MAX_ARRAY_DEPTH)?;
    Ok(Entry { key: key_range, kind, value })
}

fn parse_type(cursor: &mut Cursor) -> Result<ValueType> {
    let id = cursor.u32()?;
    ValueType::from_id(id)
        .ok_or_else(|| cursor.error(format_args!("has value type {id}; types are 0 to {}", ValueType::LAST_ID)))
}

/// Steps over one value and returns where its bytes are.
fn parse_value(cursor: &mut Cursor, kind: ValueType, depth_left: usize) -> Result<Range<usize>> {
    let start = cursor.position();
    match (kind, kind.size()) {
        (ValueType::Bool, _) => check_bools(cursor, 1)?,
        (_, Some(size)) => {
            cursor.take(size as u64)?;
        }
        (ValueType::Array, None) => parse_array(cursor, depth_left)?,
        (_, None) => {
            cursor.string(MAX_STRING_BYTES)?;
        }
    }
    Ok(cursor.since(start))
}

/// Steps over an array: type of its values, their number, the values.
fn parse_array(cursor: &mut Cursor, depth_left: usize) -> Result<()> {
    let Some(depth_left) = depth_left.checked_sub(1) else {
        return Err(cursor.error(format_args!("nests arrays deeper than {MAX_ARRAY_DEPTH}")));
    };
    let kind = parse_type(cursor)?;
    let length = cursor.u64()?;
    if length > MAX_ARRAY_VALUES {
        return Err(
            cursor.error(format_args!("is an array of {length} values, at most {MAX_ARRAY_VALUES} are allowed"))
        );
    }
    match (kind, kind.size()) {
        (ValueType::Bool, _) => check_bools(cursor, length)?,
        (_, Some(size)) => {
            cursor.take(length * size as u64)?; // far below overflow: both are capped
        }
        (_, None) => {
            for _ in 0..length {
                parse_value(cursor, kind, depth_left)?;
            }
        }
    }
    Ok(())
}

fn check_bools(cursor: &mut Cursor, count: u64) -> Result<()> {
    match cursor.take(count)?.iter().find(|&&byte| byte > 1) {
        Some(byte) => Err(cursor.error(format_args!("is a bool of {byte}; 0 and 1 are allowed"))),
        None => Ok(()),
    }
}

fn parse_tensor<'a>(cursor: &mut Cursor<'a>) -> Result<TensorEntry<'a>> {
    let bytes = cursor.string(MAX_TENSOR_NAME_BYTES)?;
    if bytes.is_empty() {
        return Err(cursor.error("is empty"));
    }
    let Ok(name) = std::str::from_utf8(bytes) else {
        return Err(cursor.error(format_args!("{} is not UTF-8", quoted(bytes))));
    };
    cursor.at(Place::Tensor(bytes));
    let dimensions = cursor.u32()?;
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        return Err(cursor.error(format_args!("has {dimensions} dimensions; 1 to {MAX_DIMENSIONS} are allowed")));
    }
    let mut shape = Vec::new();
    for dimension in 0..dimensions {
        let size = cursor.u64()?;
        if size == 0 {
            return Err(cursor.error(format_args!("has size 0 in dimension {dimension}; sizes start at 1")));
        }
        shape.push(size);
    }
    let format = parse_format(cursor)?;
    let offset = cursor.u64()?;
    Ok(TensorEntry { name, format, shape, offset })
}

fn parse_format(cursor: &mut Cursor) -> Result<Format> {
    let id = cursor.u32()?;
    Format::from_id(id).ok_or_else(|| match id {
        4 | 5 | 31..=33 | 36..=38 => cursor
            .error(format_args!("has format {id}, which the field has given up"))
            .with_hint("get a newer GGUF file of this model, such as q4_0: it is repacked when it runs"),
        _ => unknown_format(cursor, id),
    })
}

fn unknown_format(cursor: &Cursor, id: u32) -> Error {
    cursor
        .error(format_args!("has format {id}, which is not known; the last one known is {}", Format::Q1_0.id()))
        .with_hint("if the file is newer than this edgewise: pip install --upgrade edgewise")
}

/// Bytes of the value that these start with; it was checked before.
pub(super) fn value_size(bytes: &[u8], kind: ValueType) -> Option<usize> {
    parse_value(&mut Cursor::new(bytes), kind, MAX_ARRAY_DEPTH).ok().map(|range| range.len())
}
