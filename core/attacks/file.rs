//! A GGUF file put together byte by byte: unlike the core's writer, it writes whatever it is told.

/// Ids of value types.
pub(crate) const U8: u32 = 0;
pub(crate) const U32: u32 = 4;
pub(crate) const I32: u32 = 5;
pub(crate) const F32: u32 = 6;
pub(crate) const BOOL: u32 = 7;
pub(crate) const STRING: u32 = 8;
pub(crate) const ARRAY: u32 = 9;
pub(crate) const U64: u32 = 10;

/// Ids of formats.
pub(crate) const FORMAT_F32: u32 = 0;
pub(crate) const FORMAT_Q4_0: u32 = 2;
pub(crate) const FORMAT_Q8_0: u32 = 8;
pub(crate) const FORMAT_Q4_K: u32 = 12;

/// The parts of a file; counts follow from them unless they are set.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) version: u32,
    pub(crate) tensor_count: Option<u64>,
    pub(crate) key_count: Option<u64>,
    /// Encoded pairs.
    pub(crate) pairs: Vec<Vec<u8>>,
    /// Encoded tensor entries.
    pub(crate) tensors: Vec<Vec<u8>>,
    /// Bytes of the data section.
    pub(crate) data: usize,
}

/// A file that opens: one key, one tensor `a` of 32 f32.
pub(crate) fn sound() -> File {
    File {
        version: 3,
        tensor_count: None,
        key_count: None,
        pairs: vec![pair("general.architecture", STRING, string("llama"))],
        tensors: vec![tensor("a", &[32], FORMAT_F32, 0)],
        data: 128,
    }
}

impl File {
    /// Adds a pair.
    pub(crate) fn with(mut self, key: impl AsRef<[u8]>, kind: u32, value: impl AsRef<[u8]>) -> Self {
        self.pairs.push(pair(key, kind, value));
        self
    }

    /// Replaces the tensors.
    pub(crate) fn tensors(mut self, tensors: impl Into<Vec<Vec<u8>>>, data: usize) -> Self {
        (self.tensors, self.data) = (tensors.into(), data);
        self
    }

    /// Magic, version, counts, pairs, tensor entries.
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        bytes.extend(self.key_count.unwrap_or(self.pairs.len() as u64).to_le_bytes());
        bytes.extend(self.pairs.concat());
        bytes.extend(self.tensors.concat());
        bytes
    }

    /// The whole file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header();
        bytes.resize(bytes.len().next_multiple_of(32) + self.data, 0);
        bytes
    }
}

/// The sound file with one more pair.
pub(crate) fn with_pair(key: impl AsRef<[u8]>, kind: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    sound().with(key, kind, value).bytes()
}

/// A header that ends within the value of its last key.
pub(crate) fn ending_in(key: impl AsRef<[u8]>, kind: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut file = sound().tensors([], 0).with(key, kind, value);
    file.tensor_count = Some(0);
    file.header()
}

/// The sound file with these tensors instead of its own.
pub(crate) fn with_tensors(tensors: impl Into<Vec<Vec<u8>>>, data: usize) -> Vec<u8> {
    sound().tensors(tensors, data).bytes()
}

/// Key, type, value.
pub(crate) fn pair(key: impl AsRef<[u8]>, kind: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = string(key);
    bytes.extend(kind.to_le_bytes());
    bytes.extend(value.as_ref());
    bytes
}

/// Length, bytes.
pub(crate) fn string(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    string_of_length(bytes.len() as u64, bytes)
}

/// A string that claims a length of its own.
pub(crate) fn string_of_length(length: u64, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoded = length.to_le_bytes().to_vec();
    encoded.extend(bytes.as_ref());
    encoded
}

/// Type, length, values: the length is claimed, not counted.
pub(crate) fn array(kind: u32, length: u64, values: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(values.as_ref());
    bytes
}

/// Name, shape, format, offset.
pub(crate) fn tensor(name: impl AsRef<[u8]>, shape: &[u64], format: u32, offset: u64) -> Vec<u8> {
    tensor_of_dimensions(name, shape.len() as u32, shape, format, offset)
}

/// A tensor entry that claims a number of dimensions of its own.
pub(crate) fn tensor_of_dimensions(
    name: impl AsRef<[u8]>,
    dimensions: u32,
    shape: &[u64],
    format: u32,
    offset: u64,
) -> Vec<u8> {
    let mut bytes = string(name);
    bytes.extend(dimensions.to_le_bytes());
    bytes.extend(shape.iter().flat_map(|size| size.to_le_bytes()));
    bytes.extend(format.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}
