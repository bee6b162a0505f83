//! Models: configuration, shape-checked weights, one file per architecture, and the KV cache.
//!
//! To add an architecture: one file that says what differs from the common decoder, and one line in the table of
//! `architecture.rs`. Models that make embeddings are in [`encoder`].

mod adapter;
mod architecture;
mod config;
mod decoder;
pub mod encoder;
mod gemma2;
mod gemma3;
pub(crate) mod importance;
mod keys;
pub(crate) mod kv_cache;
mod llama;
mod low_rank;
pub(crate) mod memory;
mod phi3;
mod qwen2;
mod qwen3;
mod weights;

use std::sync::{Arc, OnceLock};

pub use adapter::Adapter;
pub use config::Config;
pub use importance::Importance;
pub use kv_cache::CacheFormat;

pub(crate) use decoder::{Decoder, Segment, Wanted};

use crate::error::{Error, Result};
use crate::gguf::Gguf;
use architecture::Architecture;
use weights::Weights;

/// How many places of a tensor tell it from another, and the bytes looked at in each: few, since a file that is not in
/// memory is read page by page for it.
const SAMPLES: usize = 3;
const SAMPLE: usize = 64;

/// The way out for a file that is no model by itself.
const ADAPTER_HINT: &str = "open the model that it belongs to, and add it with --lora (in Python: lora, lora_path)";

/// The way out for everything that the core does not run.
const BACKEND_HINT: &str = "the llama.cpp backend runs it: pip install edgewise[llamacpp], then --engine llamacpp";

/// A model that is ready to run: a proven file, and where everything is in it.
pub struct Model {
    gguf: Arc<Gguf>,
    config: Config,
    weights: Weights,
    adapters: Vec<Adapter>,
    fingerprint: OnceLock<u64>,
}

impl Model {
    /// Reads the configuration and finds the tensors. Weights stay in the file.
    pub fn load(gguf: Arc<Gguf>) -> Result<Self> {
        Self::load_adapted(gguf, Vec::new())
    }

    /// The same, with adapters that change what it computes. The narrow matrices with many rows are copied, to lie as
    /// products want them; the others stay in their files, too.
    pub fn load_adapted(gguf: Arc<Gguf>, adapters: Vec<Adapter>) -> Result<Self> {
        let metadata = gguf.metadata();
        if Adapter::is_in(&gguf) {
            return Err(Error::model_file("the file is an adapter, not a model").with_hint(ADAPTER_HINT));
        }
        let name = metadata
            .str("general.architecture")?
            .ok_or_else(|| Error::model_file("metadata key \"general.architecture\" is missing"))?;
        if encoder::Encoder::knows(name) {
            let finding = "reads texts and makes embeddings; it has no next token";
            return Err(Error::unsupported(format!("architecture \"{name}\" {finding}")));
        }
        let architecture = Architecture::named(name)?;
        let mut config = Config::read(metadata, architecture)?;
        let mut weights = Weights::load(&gguf, architecture, &mut config)?;
        for (index, adapter) in adapters.iter().enumerate() {
            let attached = adapter.attach(index, &gguf, &config, &mut weights);
            attached.map_err(|error| error.within(&adapter.name))?;
        }
        Ok(Self { gguf, config, weights, adapters, fingerprint: OnceLock::new() })
    }

    /// Whether the core has this architecture at all.
    pub fn knows(architecture: &str) -> bool {
        Architecture::named(architecture).is_ok()
    }

    /// Sizes and constants.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The file.
    pub fn gguf(&self) -> &Arc<Gguf> {
        &self.gguf
    }

    /// Bytes of what adapters hold in memory beside their files.
    pub fn adapter_bytes(&self) -> usize {
        self.weights.adapters().map(|pair| pair.up.size_bytes()).sum()
    }

    /// A number that differs between models: from the file's size, the metadata's shape, the tensors, and bytes from the
    /// beginning, the middle and the end of each; and between adapters and their scales.
    pub fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| {
            let mut hash = Fnv::default();
            hash.write(&self.gguf.size_bytes().to_le_bytes());
            for tensor in self.gguf.tensors() {
                hash.write(tensor.name.as_bytes());
                hash.write(&tensor.format.id().to_le_bytes());
                tensor.shape.iter().for_each(|size| hash.write(&size.to_le_bytes()));
                let bytes = self.gguf.bytes(tensor);
                let length = bytes.len().min(SAMPLE);
                for i in 0..SAMPLES {
                    hash.write(&bytes[(bytes.len() - length) / (SAMPLES - 1) * i..][..length]);
                }
            }
            hash.write(format!("{:?}", self.config).as_bytes());
            self.adapters.iter().filter(|adapter| adapter.scale != 0.0).for_each(|adapter| adapter.hash(&mut hash));
            hash.0
        })
    }
}

/// The 64-bit FNV-1a hash, over 8 bytes at a time where there are as many: it finds damage, not forgery.
pub(crate) struct Fnv(pub(crate) u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// The hash of many bytes: four chains side by side, because a step of one waits for the step before it.
    pub(crate) fn of(bytes: &[u8]) -> u64 {
        let mut chains: [Self; 4] = Default::default();
        let (groups, rest) = bytes.as_chunks::<32>();
        for group in groups {
            for (chain, word) in chains.iter_mut().zip(group.as_chunks::<8>().0) {
                chain.step(u64::from_le_bytes(*word));
            }
        }
        let mut hash = Self::default();
        for chain in chains {
            hash.step(chain.0);
        }
        hash.write(rest);
        hash.step(bytes.len() as u64);
        hash.0
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.step(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.step(u64::from(*byte));
        }
        self.step(bytes.len() as u64);
    }

    fn step(&mut self, x: u64) {
        self.0 = (self.0 ^ x).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }
}

#[cfg(test)]
pub(crate) mod tests;
