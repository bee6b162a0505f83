//! Metadata values, borrowed from the file and decoded one by one; the header has checked their syntax.

use std::fmt;

use super::header;
use super::quote::quoted;

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
    pub(super) fn decode(kind: ValueType, bytes: &'a [u8]) -> Self {
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

    pub(super) fn fitting<T: TryFrom<i128>>(self) -> Option<T> {
        self.integer().and_then(|x| x.try_into().ok())
    }

    pub(super) fn f32(self) -> Option<f32> {
        match self {
            Self::F32(x) => Some(x),
            Self::F64(x) => Some(x as f32),
            _ => None,
        }
    }

    pub(super) fn bool(self) -> Option<bool> {
        match self {
            Self::Bool(x) => Some(x),
            _ => None,
        }
    }

    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::String(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn array(self) -> Option<Array<'a>> {
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
    pub(super) fn collect<T>(self, convert: impl Fn(Value<'a>) -> Option<T>) -> Option<Vec<T>> {
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
    /// None if the values are something else.
    pub(super) fn of(array: Array<'a>) -> Option<Self> {
        (array.kind == ValueType::String || array.len == 0).then_some(Self(array))
    }

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
