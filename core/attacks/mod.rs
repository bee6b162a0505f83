//! Malformed model files, one builder per attack, shared by the tests and by the `write_attacks` example.
//!
//! Each attack is one step away from a file that opens ([`file::sound`]), so that nothing else is found first.

pub(crate) mod file;

mod header;
mod identity;
mod layout;
mod metadata;
mod splits;

/// One attack: the files it needs, and what the error must name.
pub(crate) struct Attack {
    /// What is wrong, in `snake_case`; also its folder or file name.
    pub(crate) name: &'static str,
    /// The tensor, key or header field that the error's message must contain.
    pub(crate) must_name: &'static str,
    /// File names with their bytes; the first one is opened.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl Attack {
    /// An attack by a single file.
    fn new(name: &'static str, must_name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name, must_name, files: vec![(format!("{name}.gguf"), bytes.into())] }
    }
}

/// Every attack on the file itself: opening it must fail.
pub(crate) fn all() -> Vec<Attack> {
    let mut attacks = Vec::new();
    attacks.extend(identity::attacks());
    attacks.extend(header::attacks());
    attacks.extend(metadata::attacks());
    attacks.extend(layout::attacks());
    attacks.extend(splits::attacks());
    attacks
}
