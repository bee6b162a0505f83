//! Key-value pairs of a file, read in place: a value is decoded when it is asked for, and checked for its type then.

use std::ops::Range;
use std::sync::Arc;

use super::map::Bytes;
use super::quote::quoted;
use super::value::{StringArray, Value, ValueType};
use crate::error::{Error, Result};

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
                "metadata key {} is there twice; keys are unique",
                quoted(key(twins[0]))
            )));
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
                "metadata key {} is not UTF-8 from byte {} on; this text must be",
                quoted(key),
                error.valid_up_to()
            ))
        })
    }

    /// A string, as bytes.
    pub fn bytes(&self, key: &str) -> Result<Option<&[u8]>> {
        self.typed(key, "a string", Value::bytes)
    }

    /// An array of strings, in place.
    pub fn strings(&self, key: &str) -> Result<Option<StringArray<'_>>> {
        self.typed(key, "an array of strings", |value| StringArray::of(value.array()?))
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
            None => Err(Error::model_file(format!("metadata key {} is {value}; {needed} is needed", quoted(key)))),
        }
    }
}

fn require<T>(key: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| {
        Error::model_file(format!("metadata key {} is missing; the model needs it", quoted(key)))
            .with_hint("get a newer GGUF file of this model, or convert the original again")
    })
}
