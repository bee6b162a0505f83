//! Any bytes as a model file: an error, or a file in which every value, tensor and row can be read; and if a tokenizer or
//! a model can be made from it, or it is an adapter for the sound model, it runs.

#![no_main]

use std::sync::Arc;

use edgewise_core::embedding::{Embedder, EmbedderOptions, Pooling};
use edgewise_core::formats;
use edgewise_core::gguf::{Gguf, Tensor, Value};
use edgewise_core::model::encoder::Encoder;
use edgewise_core::model::{Adapter, Model};
use edgewise_core::session::{Logits, Session, SessionOptions};
use edgewise_core::tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

#[path = "../../attacks/mod.rs"]
#[allow(dead_code, reason = "only the sound model is used")]
mod attacks;

fuzz_target!(|bytes: &[u8]| {
    let Ok(gguf) = Gguf::from_bytes(bytes.to_vec()) else { return };
    let pairs = gguf.metadata().iter().map(|(key, value)| {
        assert!(!key.is_empty() && gguf.metadata().get(key).is_some());
        walk(value)
    });
    assert!(pairs.sum::<usize>() <= bytes.len());
    for tensor in gguf.tensors() {
        assert!(gguf.tensor(&tensor.name).is_some());
        assert_eq!(gguf.bytes(tensor).len(), tensor.size_bytes());
        dequantize_first_row(&gguf, tensor);
    }
    if let Ok(tokenizer) = Tokenizer::from_metadata(gguf.metadata()) {
        let tokens = tokenizer.encode("Once upon a time, \u{2581}123\u{fffd}<s>", true, true);
        assert!(tokens.iter().all(|&token| (token as usize) < tokenizer.len()));
        tokenizer.decode(&tokens, true);
    }
    let gguf = Arc::new(gguf);
    if let Ok(encoder) = Encoder::load(Arc::clone(&gguf)) {
        embed(Arc::new(encoder));
    }
    let adapter = Adapter { name: "adapter".to_owned(), gguf: Arc::clone(&gguf), scale: 0.5 };
    let sound = Gguf::from_bytes(attacks::model::sound_bytes()).expect("a sound model");
    for model in [Model::load(gguf), Model::load_adapted(Arc::new(sound), vec![adapter])].into_iter().flatten() {
        evaluate(Arc::new(model));
    }
});

/// Number of values in a value, each of them decoded.
fn walk(value: Value) -> usize {
    match value {
        Value::Array(array) => {
            let values: usize = array.iter().map(walk).sum();
            assert!(values >= array.len() || array.kind().name() == "array");
            values
        }
        other => usize::from(!other.to_string().is_empty()),
    }
}

fn dequantize_first_row(gguf: &Gguf, tensor: &Tensor) {
    let row_bytes = tensor.format.row_bytes(tensor.columns()).expect("rows are whole blocks");
    assert_eq!(row_bytes * tensor.rows(), tensor.size_bytes());
    if tensor.format.is_supported() {
        let mut row = vec![0.0; tensor.columns()];
        formats::dequantize(tensor.format, &gguf.bytes(tensor)[..row_bytes], &mut row).expect("sizes fit");
    }
}

/// Two texts through an encoder: any numbers may come out, as many as the width says.
fn embed(encoder: Arc<Encoder>) {
    let (width, last) = (encoder.config().embedding_length, (encoder.config().vocabulary_size - 1) as u32);
    let options = EmbedderOptions { context_length: 4, batch: 4, ..EmbedderOptions::default() };
    let Ok(mut embedder) = Embedder::new(encoder, options) else { return };
    let context_length = embedder.options().context_length;
    let texts: [&[u32]; 2] = [&[0], &[0, last, last][..3.min(context_length)]];
    let vectors = embedder.embed(&texts, Pooling::Mean, &|| false).expect("tokens of the vocabulary");
    assert!(vectors.len() == 2 && vectors.iter().all(|vector| vector.len() == width));
}

/// Two tokens through a session: any numbers may come out, as many as there are tokens in the vocabulary.
fn evaluate(model: Arc<Model>) {
    let vocabulary = model.config().vocabulary_size;
    let options = SessionOptions { context_length: 4, batch: 2, ..SessionOptions::default() };
    let Ok(mut session) = Session::new(model, options) else { return };
    session.evaluate(&[0, (vocabulary - 1) as u32], Logits::Last, &|| false).expect("tokens of the vocabulary");
    assert_eq!(session.logits().len(), vocabulary);
}
