//! Key-value pairs of a file, read in place: a value is decoded when it is asked for, and checked for its type then.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::header;
use super::map::Bytes;
use super::quote::quoted;
use super::reader::DAMAGED;
use crate::error::{Error, Result};

/// Type of a metadata value; ids as in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)] // the names say it all
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    pub(super) const LAST_ID: u32 = Self::F64 as u32;

    pub(super) fn from_id(id: u32) -> Option<Self> {
        const IN_ORDER: [ValueType; 13] = [
            ValueType::U8,
            ValueType::I8,
            ValueType::U16,
            ValueType::I16,
            ValueType::U32,
            ValueType::I32,
            ValueType::F32,
            ValueType::Bool,
            ValueType::String,
            ValueType::Array,
            ValueType::U64,
            ValueType::I64,
            ValueType::F64,
        ];
        IN_ORDER.get(usize::try_from(id).ok()?).copied()
    }

    /// Bytes of one value; none if they vary.
    pub(super) fn size(self) -> Option<usize> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }

    /// The name of the type, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Array => "array",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }
}

/// One value, borrowed from the file.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // the names say it all
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    /// Bytes; UTF-8 is not promised.
    String(&'a [u8]),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl<'a> Value<'a> {
    /// Decodes a value whose bytes the header has checked.
    fn decode(kind: ValueType, bytes: &'a [u8]) -> Self {
        match kind {
            ValueType::U8 => Self::U8(u8::from_le_bytes(first(bytes))),
            ValueType::I8 => Self::I8(i8::from_le_bytes(first(bytes))),
            ValueType::U16 => Self::U16(u16::from_le_bytes(first(bytes))),
            ValueType::I16 => Self::I16(i16::from_le_bytes(first(bytes))),
            ValueType::U32 => Self::U32(u32::from_le_bytes(first(bytes))),
            ValueType::I32 => Self::I32(i32::from_le_bytes(first(bytes))),
            ValueType::F32 => Self::F32(f32::from_le_bytes(first(bytes))),
            ValueType::Bool => Self::Bool(bytes.first() == Some(&1)),
            ValueType::String => Self::String(bytes.get(8..).unwrap_or_default()),
            ValueType::Array => Self::Array(Array::decode(bytes)),
            ValueType::U64 => Self::U64(u64::from_le_bytes(first(bytes))),
            ValueType::I64 => Self::I64(i64::from_le_bytes(first(bytes))),
            ValueType::F64 => Self::F64(f64::from_le_bytes(first(bytes))),
        }
    }

    /// The whole number, of any width.
    pub fn integer(self) -> Option<i128> {
        match self {
            Self::U8(x) => Some(x.into()),
            Self::I8(x) => Some(x.into()),
            Self::U16(x) => Some(x.into()),
            Self::I16(x) => Some(x.into()),
            Self::U32(x) => Some(x.into()),
            Self::I32(x) => Some(x.into()),
            Self::U64(x) => Some(x.into()),
            Self::I64(x) => Some(x.into()),
            _ => None,
        }
    }

    fn fitting<T: TryFrom<i128>>(self) -> Option<T> {
        self.integer().and_then(|x| x.try_into().ok())
    }

    fn f32(self) -> Option<f32> {
        match self {
            Self::F32(x) => Some(x),
            Self::F64(x) => Some(x as f32),
            _ => None,
        }
    }

    fn bool(self) -> Option<bool> {
        match self {
            Self::Bool(x) => Some(x),
            _ => None,
        }
    }

    fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::String(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn array(self) -> Option<Array<'a>> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }
}

/// Type and value in short, for messages.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32(x) => write!(f, "f32 {x}"),
            Self::F64(x) => write!(f, "f64 {x}"),
            Self::Bool(x) => write!(f, "bool {x}"),
            Self::String(bytes) => write!(f, "string {}", quoted(bytes)),
            Self::Array(array) => write!(f, "array of {} x {}", array.len(), array.kind.name()),
            integer => write!(f, "{}", integer.integer().unwrap_or_default()),
        }
    }
}

/// The first `N` of bytes that the header has checked to be there.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

/// An array in the file; its values are decoded one by one.
#[derive(Clone, Copy)]
pub struct Array<'a> {
    kind: ValueType,
    len: usize,
    values: &'a [u8],
}

impl<'a> Array<'a> {
    fn decode(bytes: &'a [u8]) -> Self {
        let kind = ValueType::from_id(u32::from_le_bytes(first(bytes))).unwrap_or(ValueType::U8);
        let len = u64::from_le_bytes(first(bytes.get(4..).unwrap_or_default())) as usize;
        Self { kind, len, values: bytes.get(12..).unwrap_or_default() }
    }

    /// Type of the values.
    pub fn kind(self) -> ValueType {
        self.kind
    }

    /// Number of values.
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether there are no values.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The values, in order.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        let mut rest = self.values;
        (0..self.len).map_while(move |_| {
            let size = match self.kind.size() {
                Some(size) => size,
                None => header::value_size(rest, self.kind)?,
            };
            let (value, tail) = rest.split_at_checked(size)?;
            rest = tail;
            Some(Value::decode(self.kind, value))
        })
    }

    /// All values, if each of them can be converted.
    fn collect<T>(self, convert: impl Fn(Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        self.iter().map(convert).collect()
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}; {}]", self.kind.name(), self.len)
    }
}

/// An array of strings in the file; walking it allocates nothing.
#[derive(Clone, Copy, Debug)]
pub struct StringArray<'a>(Array<'a>);

impl<'a> StringArray<'a> {
    /// Number of strings.
    pub fn len(self) -> usize {
        self.0.len
    }

    /// Whether there are no strings.
    pub fn is_empty(self) -> bool {
        self.0.len == 0
    }

    /// Bytes that the strings take in the file, their lengths included.
    pub fn size_bytes(self) -> usize {
        self.0.values.len()
    }

    /// The strings, as bytes: UTF-8 is not promised.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let mut rest = self.0.values;
        (0..self.0.len).map(move |_| {
            let length = u64::from_le_bytes(first(rest)) as usize;
            let (string, tail) = rest.get(8..).and_then(|rest| rest.split_at_checked(length)).unwrap_or_default();
            rest = tail;
            string
        })
    }
}

/// Where a pair lies in the file; proven by the header.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Range<usize>,
    pub(super) kind: ValueType,
    pub(super) value: Range<usize>,
}

/// The key-value pairs of a file.
///
/// Getters return `None` for an absent key, and an error that names the key for a value of the wrong type.
#[derive(Debug)]
pub struct Metadata {
    bytes: Arc<Bytes>,
    entries: Vec<Entry>,
    /// Indices of `entries`, in the order of their keys.
    by_key: Vec<u32>,
}

impl Metadata {
    /// Sorts the pairs for lookup; a key that is there twice is an error.
    pub(super) fn new(bytes: Arc<Bytes>, entries: Vec<Entry>) -> Result<Self> {
        let key = |index: u32| &bytes[entries[index as usize].key.clone()];
        let mut by_key: Vec<u32> = (0..entries.len() as u32).collect();
        by_key.sort_unstable_by_key(|&index| key(index));
        if let Some(twins) = by_key.windows(2).find(|pair| key(pair[0]) == key(pair[1])) {
            return Err(Error::model_file(format!(
                "metadata {} is there twice; keys are unique",
                quoted(key(twins[0]))
            ))
            .with_hint(DAMAGED));
        }
        Ok(Self { bytes, entries, by_key })
    }

    fn key(&self, index: u32) -> &str {
        self.name(&self.entries[index as usize])
    }

    fn name(&self, entry: &Entry) -> &str {
        // The header has checked that keys are UTF-8.
        std::str::from_utf8(&self.bytes[entry.key.clone()]).unwrap_or_default()
    }

    fn value(&self, entry: &Entry) -> Value<'_> {
        Value::decode(entry.kind, &self.bytes[entry.value.clone()])
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The pairs, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.entries.iter().map(|entry| (self.name(entry), self.value(entry)))
    }

    /// The pairs as the file holds them, in file order: key, type, encoded value.
    pub(super) fn encoded(&self) -> impl Iterator<Item = (&str, ValueType, &[u8])> {
        self.entries.iter().map(|entry| (self.name(entry), entry.kind, &self.bytes[entry.value.clone()]))
    }

    /// The value of a key, whatever its type.
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        let at = self.by_key.binary_search_by(|&index| self.key(index).cmp(key)).ok()?;
        Some(self.value(&self.entries[self.by_key[at] as usize]))
    }

    /// A whole number of any width that fits.
    pub fn u32(&self, key: &str) -> Result<Option<u32>> {
        self.typed(key, "a whole number from 0 to 4294967295", Value::fitting)
    }

    /// A whole number of any width that fits.
    pub fn u64(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "a whole number that is not negative", Value::fitting)
    }

    /// A floating-point number.
    pub fn f32(&self, key: &str) -> Result<Option<f32>> {
        self.typed(key, "an f32", Value::f32)
    }

    /// A truth value.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "a bool", Value::bool)
    }

    /// A string that must be UTF-8.
    pub fn str(&self, key: &str) -> Result<Option<&str>> {
        let Some(bytes) = self.bytes(key)? else { return Ok(None) };
        std::str::from_utf8(bytes).map(Some).map_err(|error| {
            Error::model_file(format!(
                "metadata {} is not UTF-8 from byte {} on; this text must be",
                quoted(key),
                error.valid_up_to()
            ))
            .with_hint(DAMAGED)
        })
    }

    /// A string, as bytes.
    pub fn bytes(&self, key: &str) -> Result<Option<&[u8]>> {
        self.typed(key, "a string", Value::bytes)
    }

    /// An array of strings, in place.
    pub fn strings(&self, key: &str) -> Result<Option<StringArray<'_>>> {
        self.typed(key, "an array of strings", |value| {
            value.array().filter(|array| array.kind == ValueType::String || array.len == 0).map(StringArray)
        })
    }

    /// An array of floating-point numbers.
    pub fn f32s(&self, key: &str) -> Result<Option<Vec<f32>>> {
        self.typed(key, "an array of f32", |value| value.array()?.collect(Value::f32))
    }

    /// An array of whole numbers, of any width that fits.
    pub fn i32s(&self, key: &str) -> Result<Option<Vec<i32>>> {
        self.typed(key, "an array of whole numbers within 32 bits", |value| value.array()?.collect(Value::fitting))
    }

    /// An array of whole numbers, of any width that fits.
    pub fn u32s(&self, key: &str) -> Result<Option<Vec<u32>>> {
        self.typed(key, "an array of whole numbers from 0 to 4294967295", |value| {
            value.array()?.collect(Value::fitting)
        })
    }

    /// An array of truth values.
    pub fn bools(&self, key: &str) -> Result<Option<Vec<bool>>> {
        self.typed(key, "an array of bools", |value| value.array()?.collect(Value::bool))
    }

    /// As [`Self::u32`], and the key must be there.
    pub fn require_u32(&self, key: &str) -> Result<u32> {
        require(key, self.u32(key)?)
    }

    /// As [`Self::u64`], and the key must be there.
    pub fn require_u64(&self, key: &str) -> Result<u64> {
        require(key, self.u64(key)?)
    }

    /// As [`Self::f32`], and the key must be there.
    pub fn require_f32(&self, key: &str) -> Result<f32> {
        require(key, self.f32(key)?)
    }

    /// As [`Self::str`], and the key must be there.
    pub fn require_str(&self, key: &str) -> Result<&str> {
        require(key, self.str(key)?)
    }

    /// As [`Self::strings`], and the key must be there.
    pub fn require_strings(&self, key: &str) -> Result<StringArray<'_>> {
        require(key, self.strings(key)?)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        needed: &str,
        convert: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(Error::model_file(format!("metadata {} is {value}; {needed} is needed", quoted(key)))
                .with_hint(DAMAGED)),
        }
    }
}

fn require<T>(key: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| {
        Error::model_file(format!("metadata {} is missing; the model needs it", quoted(key)))
            .with_hint("get a newer GGUF file of this model, or convert the original again")
    })
}
