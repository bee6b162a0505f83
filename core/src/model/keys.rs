//! Typed access to the metadata keys under an architecture's prefix, with errors that name the key.

use crate::error::{Error, Result};
use crate::gguf::{Metadata, Value};

/// No count or length of a model that runs on a CPU exceeds this.
const MAX_SIZE: usize = 1 << 31;

/// The keys `<architecture>.*` of one file.
pub(crate) struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: &'static str,
}

impl<'a> Keys<'a> {
    pub(super) fn new(metadata: &'a Metadata, prefix: &'static str) -> Self {
        Self { metadata, prefix }
    }

    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    fn is_array(&self, key: &str) -> bool {
        matches!(self.metadata.get(&self.name(key)), Some(Value::Array(_)))
    }

    /// A count or length.
    pub(super) fn size(&self, key: &str) -> Result<Option<usize>> {
        self.bounded(key, MAX_SIZE)
    }

    /// A count or length of at most `max`.
    pub(super) fn bounded(&self, key: &str, max: usize) -> Result<Option<usize>> {
        match self.metadata.u64(&self.name(key))? {
            None => Ok(None),
            Some(value) => match usize::try_from(value) {
                Ok(value) if value <= max => Ok(Some(value)),
                _ => Err(self.bad(key, &format!("is {value}, more than the {max} that a model may have"))),
            },
        }
    }

    /// A count or length from 1 to `max` that must be there.
    pub(super) fn require_size(&self, key: &str, max: usize) -> Result<usize> {
        self.bounded(key, max)?.map_or_else(|| Err(self.missing(key)), |value| self.at_least_one(key, value))
    }

    /// A value that is one for all blocks, or an array with the same value for each.
    pub(super) fn same(&self, key: &str, block_count: usize, max: usize) -> Result<Option<usize>> {
        let name = self.name(key);
        if !self.is_array(key) {
            return self.bounded(key, max)?.map(|value| self.at_least_one(key, value)).transpose();
        }
        let values = self.metadata.u32s(&name)?.unwrap_or_default();
        if values.len() < block_count {
            return Err(self.bad(key, &format!("has {} values for {block_count} blocks", values.len())));
        }
        let first = values[0] as usize;
        if values[..block_count].iter().any(|&value| value as usize != first) {
            return Err(self.unsupported(key, "differs between blocks, which the core does not run"));
        }
        if first > max {
            return Err(self.bad(key, &format!("is {first}, more than the {max} that a model may have")));
        }
        self.at_least_one(key, first).map(Some)
    }

    /// The same, and it must be there.
    pub(super) fn require_same(&self, key: &str, block_count: usize, max: usize) -> Result<usize> {
        self.same(key, block_count, max)?.ok_or_else(|| self.missing(key))
    }

    /// A size that the core runs only if it is absent or equals what another key says.
    pub(super) fn expect_size(&self, key: &str, expected: usize) -> Result<()> {
        match self.size(key)? {
            Some(value) if value != expected => {
                Err(self.unsupported(key, &format!("is {value}: the core runs {expected} here")))
            }
            _ => Ok(()),
        }
    }

    /// A finite number above zero.
    pub(super) fn positive(&self, key: &str) -> Result<Option<f32>> {
        match self.metadata.f32(&self.name(key))? {
            Some(value) if !(value.is_finite() && value > 0.0) => {
                Err(self.bad(key, &format!("is {value}: a positive number is needed")))
            }
            value => Ok(value),
        }
    }

    /// A finite number, zero or above.
    pub(super) fn nonnegative(&self, key: &str) -> Result<Option<f32>> {
        match self.metadata.f32(&self.name(key))? {
            Some(value) if !(value.is_finite() && value >= 0.0) => {
                Err(self.bad(key, &format!("is {value}: a number of at least zero is needed")))
            }
            value => Ok(value),
        }
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<&'a str>> {
        self.metadata.str(&self.name(key))
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.metadata.bool(&self.name(key))
    }

    /// The window of each block: `attention.sliding_window_pattern` says which have one, either block by block or as
    /// a period whose last block is global (0: no block is).
    pub(super) fn windows(&self, window: usize, period: usize, block_count: usize) -> Result<Vec<Option<usize>>> {
        let window = self.at_least_one("attention.sliding_window", window)?;
        let key = "attention.sliding_window_pattern";
        let has_window: Vec<bool> = if self.is_array(key) {
            let pattern = self.metadata.bools(&self.name(key))?.unwrap_or_default();
            if pattern.len() < block_count {
                return Err(self.bad(key, &format!("has {} values for {block_count} blocks", pattern.len())));
            }
            pattern
        } else {
            let period = self.size(key)?.unwrap_or(period);
            (0..block_count).map(|block| period == 0 || block % period < period - 1).collect()
        };
        Ok(has_window[..block_count].iter().map(|&has_window| has_window.then_some(window)).collect())
    }

    fn at_least_one(&self, key: &str, value: usize) -> Result<usize> {
        if value == 0 { Err(self.bad(key, "is 0: at least 1 is needed")) } else { Ok(value) }
    }

    /// A key that must be there and is not.
    pub(super) fn missing(&self, key: &str) -> Error {
        Error::model_file(format!("metadata key \"{}\" is missing", self.name(key)))
    }

    /// A key whose value cannot be right.
    pub(super) fn bad(&self, key: &str, finding: &str) -> Error {
        Error::model_file(format!("metadata key \"{}\" {finding}", self.name(key)))
    }

    /// A key whose value asks for what the core does not run.
    pub(super) fn unsupported(&self, key: &str, finding: &str) -> Error {
        Error::unsupported(format!("metadata key \"{}\" {finding}", self.name(key))).with_hint(super::BACKEND_HINT)
    }
}
