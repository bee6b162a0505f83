//! A cursor over the bytes of a file that cannot leave them, and says where it was when it had to stop.

use std::fmt;
use std::ops::Range;

use super::quote::quoted;
use crate::error::{Error, Result};

/// What a cursor is reading, as errors name it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// A fixed field at the start of the file.
    Field(&'static str),
    /// The name of the n-th of so many metadata keys, counted from 1.
    Key(u64, u64),
    /// The value of this key.
    Value(&'a [u8]),
    /// The name of the n-th of so many tensors, counted from 1.
    TensorName(u64, u64),
    /// What the file says of this tensor.
    Tensor(&'a [u8]),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Field(name) => write!(f, "header field {}", quoted(name)),
            Self::Key(number, count) => write!(f, "metadata key {number} of {count}"),
            Self::Value(key) => write!(f, "metadata key {}", quoted(key)),
            Self::TensorName(number, count) => write!(f, "name of tensor {number} of {count}"),
            Self::Tensor(name) => write!(f, "tensor {}", quoted(name)),
        }
    }
}

/// Reads little-endian values one after the other.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
    place: Place<'a>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, place: Place::Field("magic") }
    }

    /// Says what is read next.
    pub(super) fn at(&mut self, place: Place<'a>) -> &mut Self {
        self.place = place;
        self
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// What was read since `start`.
    pub(super) fn since(&self, start: usize) -> Range<usize> {
        start..self.position
    }

    /// A finding about what is being read.
    pub(super) fn error(&self, finding: impl fmt::Display) -> Error {
        Error::model_file(format!("{} {finding}", self.place))
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        let taken = usize::try_from(count).ok().and_then(|count| rest.get(..count)).ok_or_else(|| {
            self.error(format_args!("needs {count} bytes, the file has {} left", rest.len())).with_hint(CUT_SHORT)
        })?;
        self.position += taken.len();
        Ok(taken)
    }

    /// The next `N` bytes.
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A string: its length, at most `cap`, then its bytes.
    pub(super) fn string(&mut self, cap: u64) -> Result<&'a [u8]> {
        let length = self.u64()?;
        if length > cap {
            return Err(self.error(format_args!("is a string of {length} bytes, at most {cap} are allowed")));
        }
        self.take(length)
    }
}

/// The way out where a file ends early.
pub(super) const CUT_SHORT: &str =
    "the download may be incomplete; compare its size with the publisher's, or get it again";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_little_endian_and_in_order() {
        let bytes = [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'x'];
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.u32(), Ok(1));
        assert_eq!(cursor.u64(), Ok(2));
        let start = cursor.position();
        assert_eq!(cursor.string(1), Ok(&b"x"[..]));
        assert_eq!(cursor.since(start), 12..21);
    }

    #[test]
    fn reading_past_the_end_names_the_place_and_moves_nothing() {
        let mut cursor = Cursor::new(&[0; 7]);
        let error = cursor.at(Place::Field("tensor_count")).u64().unwrap_err();
        assert_eq!(error.message(), "header field \"tensor_count\" needs 8 bytes, the file has 7 left");
        assert_eq!(cursor.position(), 0);
        assert!(cursor.take(u64::MAX).is_err());
    }

    #[test]
    fn a_string_longer_than_its_cap_is_refused_before_it_is_read() {
        let bytes = u64::MAX.to_le_bytes();
        let error = Cursor::new(&bytes).at(Place::Key(1, 2)).string(10).unwrap_err();
        assert!(error.message().starts_with("metadata key 1 of 2 is a string of 18446744073709551615 bytes"));
    }
}
