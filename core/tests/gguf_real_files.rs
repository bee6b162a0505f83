//! Real files open: a trained model, and vocabularies of up to 150 000 tokens.

use std::path::PathBuf;

use edgewise_core::formats::{self, Format};
use edgewise_core::gguf::Gguf;

/// A file of the test data, or none, said aloud, where the data is absent.
fn test_data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("EDGEWISE_TEST_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let path = root.join(name);
    if !path.exists() {
        eprintln!("skipped: {} is absent; EDGEWISE_TEST_DATA names the folder", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn the_story_model_opens_and_its_embeddings_are_numbers() {
    let Some(path) = test_data("models/stories260k-f32.gguf") else { return };
    let gguf = Gguf::open(&path).unwrap();
    assert_eq!(gguf.metadata().require_str("general.architecture"), Ok("llama"));
    assert_eq!(gguf.metadata().require_u32("llama.block_count"), Ok(5));
    assert_eq!(gguf.tensors().len(), 47);
    assert_eq!(gguf.size_bytes(), path.metadata().unwrap().len());
    let embeddings = gguf.tensor("token_embd.weight").unwrap();
    assert_eq!((embeddings.columns(), embeddings.rows(), embeddings.format), (64, 512, Format::F32));
    let mut values = vec![f32::NAN; embeddings.values()];
    formats::dequantize(embeddings.format, gguf.bytes(embeddings), &mut values).unwrap();
    assert!(values.iter().all(|x| x.is_finite()) && values.iter().any(|&x| x != 0.0));
}

#[test]
fn vocabularies_open_and_every_token_is_reached() {
    for (name, tokens) in [("llama-bpe", 128_256), ("qwen2", 151_936), ("gpt-2", 50_257), ("phi-3", 32_064)] {
        let Some(path) = test_data(&format!("vocab/ggml-vocab-{name}.gguf")) else { return };
        let gguf = Gguf::open(&path).unwrap();
        let strings = gguf.metadata().require_strings("tokenizer.ggml.tokens").unwrap();
        assert_eq!(strings.len(), tokens, "{name}");
        assert_eq!(strings.iter().map(|token| token.len() + 8).sum::<usize>(), strings.size_bytes(), "{name}");
        let types = gguf.metadata().i32s("tokenizer.ggml.token_type").unwrap().unwrap();
        assert_eq!(types.len(), tokens, "{name}");
        assert_eq!(gguf.tensors().len(), 0, "{name}");
    }
}
