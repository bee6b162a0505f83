//! Writes GGUF version 3: declare metadata and tensors, then hand over the tensors' bytes one after the other.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::layout;
use super::metadata::Metadata;
use super::quote::quoted;
use super::value::ValueType;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::Format;

pub(super) const ALIGNMENT: usize = 32;

/// A metadata value as the file will hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterValue {
    kind: ValueType,
    bytes: Vec<u8>,
}

macro_rules! writer_values {
    ($($from:ty => $kind:ident,)+) => {
        $(
            impl From<$from> for WriterValue {
                fn from(value: $from) -> Self {
                    Self { kind: ValueType::$kind, bytes: value.to_le_bytes().to_vec() }
                }
            }

            impl From<&[$from]> for WriterValue {
                fn from(values: &[$from]) -> Self {
                    let values = values.iter().map(|value| value.to_le_bytes());
                    Self::array(ValueType::$kind, values.len(), values.flatten())
                }
            }
        )+
    };
}

writer_values! {
    u8 => U8,
    i8 => I8,
    u16 => U16,
    i16 => I16,
    u32 => U32,
    i32 => I32,
    f32 => F32,
    u64 => U64,
    i64 => I64,
    f64 => F64,
}

impl From<bool> for WriterValue {
    fn from(value: bool) -> Self {
        Self { kind: ValueType::Bool, bytes: vec![value.into()] }
    }
}

impl From<&[bool]> for WriterValue {
    fn from(values: &[bool]) -> Self {
        Self::array(ValueType::Bool, values.len(), values.iter().map(|&value| value.into()))
    }
}

impl From<&str> for WriterValue {
    fn from(value: &str) -> Self {
        Self::from(value.as_bytes().to_vec())
    }
}

/// A string that need not be UTF-8.
impl From<Vec<u8>> for WriterValue {
    fn from(value: Vec<u8>) -> Self {
        Self { kind: ValueType::String, bytes: encode_string(&value) }
    }
}

impl<S: AsRef<[u8]>> FromIterator<S> for WriterValue {
    /// An array of strings.
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let strings: Vec<Vec<u8>> = strings.into_iter().map(|string| encode_string(string.as_ref())).collect();
        Self::array(ValueType::String, strings.len(), strings.into_iter().flatten())
    }
}

impl WriterValue {
    fn array(kind: ValueType, len: usize, values: impl Iterator<Item = u8>) -> Self {
        let mut bytes = (kind as u32).to_le_bytes().to_vec();
        bytes.extend((len as u64).to_le_bytes());
        bytes.extend(values);
        Self { kind: ValueType::Array, bytes }
    }
}

fn encode_string(string: &[u8]) -> Vec<u8> {
    let mut bytes = (string.len() as u64).to_le_bytes().to_vec();
    bytes.extend(string);
    bytes
}

struct Declared {
    name: String,
    format: Format,
    shape: Vec<u64>,
    size: usize,
}

/// A file to be: its metadata and its tensors, whose bytes come when it is written.
#[derive(Default)]
pub struct Writer {
    metadata: Vec<(String, WriterValue)>,
    tensors: Vec<Declared>,
}

impl Writer {
    /// A file with neither metadata nor tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key, replacing an earlier value.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<WriterValue>) -> Self {
        let value = value.into();
        match self.metadata.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value,
            None => self.metadata.push((key.to_owned(), value)),
        }
        self
    }

    /// Takes over all pairs of another file, except those that describe its own layout.
    #[must_use]
    pub fn copy(mut self, metadata: &Metadata) -> Self {
        for (key, kind, bytes) in metadata.encoded() {
            if key != "general.alignment" && !key.starts_with("split.") {
                self = self.set(key, WriterValue { kind, bytes: bytes.to_vec() });
            }
        }
        self
    }

    /// Declares the next tensor; `shape` has its columns first.
    pub fn tensor(mut self, name: &str, format: Format, shape: &[u64]) -> Result<Self> {
        let size = layout::size_bytes(shape, format).filter(|&size| size > 0 && shape.len() <= 4).ok_or_else(|| {
            Error::invalid_argument(format!("tensor {}: {shape:?} is no shape of {format}", quoted(name)))
        })?;
        if self.tensors.iter().any(|tensor| tensor.name == name) {
            return Err(Error::invalid_argument(format!("tensor {} is there twice", quoted(name))));
        }
        self.tensors.push(Declared { name: name.to_owned(), format, shape: shape.to_vec(), size });
        Ok(self)
    }

    /// Writes the file to `out`; `fill` writes the bytes of the tensor with this index.
    pub fn write(
        &self,
        out: &mut dyn Write,
        mut fill: impl FnMut(usize, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let header = self.header();
        out.write_all(&header)?;
        pad(out, header.len())?;
        for (index, tensor) in self.tensors.iter().enumerate() {
            let mut counted = Counted { out, written: 0 };
            fill(index, &mut counted)?;
            let written = counted.written;
            if written != tensor.size {
                let finding =
                    format!("tensor {}: {written} bytes written, it has {}", quoted(&tensor.name), tensor.size);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, finding));
            }
            pad(out, written)?;
        }
        Ok(())
    }

    /// The file in memory.
    pub fn to_bytes(&self, fill: impl FnMut(usize, &mut dyn Write) -> io::Result<()>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes, fill).map_err(|error| Error::invalid_argument(error.to_string()))?;
        Ok(bytes)
    }

    /// Writes the file beside `path`, syncs it, and renames it into place: `path` holds the old file or the whole new one.
    pub fn save(&self, path: &Path, fill: impl FnMut(usize, &mut dyn Write) -> io::Result<()>) -> Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".part");
        let temporary = Path::new(&temporary);
        self.write_synced(temporary, fill).and_then(|()| std::fs::rename(temporary, path)).map_err(|error| {
            let _ = std::fs::remove_file(temporary); // best effort: the error below is the one that matters
            Error::new(ErrorKind::Io, format!("{} cannot be written: {error}", path.display()))
        })
    }

    fn write_synced(&self, path: &Path, fill: impl FnMut(usize, &mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        self.write(&mut out, fill)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }

    /// The header up to the first tensor.
    pub(super) fn padded_header(&self) -> Vec<u8> {
        let mut header = self.header();
        header.resize(header.len().next_multiple_of(ALIGNMENT), 0);
        header
    }

    /// Name, bytes and bytes per row of each tensor.
    pub(super) fn tensor_sizes(&self) -> Vec<(String, usize, usize)> {
        let sizes = self.tensors.iter().map(|tensor| {
            let rows: u64 = tensor.shape.iter().skip(1).product();
            (tensor.name.clone(), tensor.size, tensor.size / rows as usize)
        });
        sizes.collect()
    }

    fn header(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            bytes.extend(encode_string(key.as_bytes()));
            bytes.extend((value.kind as u32).to_le_bytes());
            bytes.extend(&value.bytes);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            bytes.extend(encode_string(tensor.name.as_bytes()));
            bytes.extend((tensor.shape.len() as u32).to_le_bytes());
            bytes.extend(tensor.shape.iter().flat_map(|size| size.to_le_bytes()));
            bytes.extend(tensor.format.id().to_le_bytes());
            bytes.extend((offset as u64).to_le_bytes());
            offset = (offset + tensor.size).next_multiple_of(ALIGNMENT);
        }
        bytes
    }
}

/// Fills up to the next aligned position.
fn pad(out: &mut dyn Write, written: usize) -> io::Result<()> {
    out.write_all(&[0; ALIGNMENT][..written.next_multiple_of(ALIGNMENT) - written])
}

/// Counts the bytes that go through.
struct Counted<'a> {
    out: &'a mut dyn Write,
    written: usize,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.written += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
