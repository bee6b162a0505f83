//! The story model continues stories as it does elsewhere.

use std::path::Path;
use std::sync::Arc;

use edgewise_core::gguf::Gguf;
use edgewise_core::isa::Isa;
use edgewise_core::model::{CacheFormat, Model};
use edgewise_core::session::{Logits, Session, SessionOptions};
use edgewise_core::tokenizer::Tokenizer;

const STORIES: [(&str, &str); 2] = [
    (
        "Once upon a time",
        ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. \
         She wanted to play with it, but it was too high.",
    ),
    ("Tom had a red ball", ". He liked to play with his toys."),
];

/// The story model, or nothing with a reason where the test data is absent.
fn story_model() -> Option<Arc<Model>> {
    let data = std::env::var_os("EDGEWISE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
    let path = data.join("models/stories260k-f32.gguf");
    if !path.exists() {
        eprintln!("skipped: {} is absent (EDGEWISE_TEST_DATA)", path.display());
        return None;
    }
    Some(Arc::new(Model::load(Arc::new(Gguf::open(&path).unwrap())).unwrap()))
}

fn continue_greedily(model: &Arc<Model>, options: SessionOptions, prompt: &str, bytes: usize) -> String {
    let tokenizer = Tokenizer::from_metadata(model.gguf().metadata()).unwrap();
    let mut session = Session::new(Arc::clone(model), options).unwrap();
    session.evaluate(&tokenizer.encode(prompt, true, false), Logits::Last, &|| false).unwrap();
    let mut text = Vec::new();
    while text.len() < bytes {
        let logits = session.logits().iter().enumerate();
        let token = logits.max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(token, _)| token as u32);
        text.extend_from_slice(tokenizer.piece(token));
        session.evaluate(&[token], Logits::Last, &|| false).unwrap();
    }
    String::from_utf8_lossy(&text[..bytes]).into_owned()
}

#[test]
fn stories_go_on_as_expected_on_every_instruction_set_and_cache_format() {
    let Some(model) = story_model() else { return };
    let with = |isa, format| SessionOptions { isa, keys: format, values: format, threads: 2, ..Default::default() };
    let formats = [CacheFormat::F32, CacheFormat::Q8_0].map(|format| with(Isa::detect(), format));
    for options in Isa::available().into_iter().map(|isa| with(isa, CacheFormat::F16)).chain(formats) {
        for (prompt, expected) in STORIES {
            assert_eq!(continue_greedily(&model, options, prompt, expected.len()), expected, "{options:?}");
        }
    }
}
