//! Malformed model files, one builder per attack, shared by the tests and by the `write_attacks` example.
//!
//! Each attack is one step away from a file that opens ([`file::sound`]) or a model that loads ([`model::sound_bytes`]),
//! so that nothing else is found first.

pub(crate) mod adapter;
pub(crate) mod encoder;
pub(crate) mod file;

mod header;
mod identity;
mod layout;
mod metadata;
pub(crate) mod model;
mod splits;
pub(crate) mod vocabulary;

/// When the attack must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// When the file is opened and its layout proven.
    Open,
    /// When the model is loaded from it.
    Load,
    /// When its tokenizer is made.
    Vocabulary,
    /// When it is added to the sound model as an adapter.
    Adapter,
}

/// One attack: the files it needs, and what the error must name.
pub(crate) struct Attack {
    /// What is wrong, in `snake_case`; also its folder or file name.
    pub(crate) name: &'static str,
    /// The tensor, key or header field that the error's message must contain.
    pub(crate) must_name: &'static str,
    pub(crate) stage: Stage,
    /// File names with their bytes; the first one is opened.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl Attack {
    /// An attack by a single file.
    fn new(name: &'static str, must_name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name, must_name, stage: Stage::Open, files: vec![(format!("{name}.gguf"), bytes.into())] }
    }
}

/// Every attack.
pub(crate) fn all() -> Vec<Attack> {
    let mut attacks = Vec::new();
    attacks.extend(identity::attacks());
    attacks.extend(header::attacks());
    attacks.extend(metadata::attacks());
    attacks.extend(layout::attacks());
    attacks.extend(splits::attacks());
    attacks.extend(model::attacks());
    attacks.extend(vocabulary::attacks());
    attacks.extend(adapter::attacks());
    attacks.extend(encoder::attacks());
    attacks
}
