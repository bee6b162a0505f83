//! Real vocabularies: texts must give the ids that their reference gives.

use std::path::{Path, PathBuf};

use edgewise_core::gguf::Gguf;
use edgewise_core::tokenizer::Tokenizer;

/// A file of the shared test data; none, with the reason printed, where it is not there.
fn test_data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("EDGEWISE_TEST_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let path = root.join(name);
    if !path.exists() {
        println!("skipped: {} is not there (EDGEWISE_TEST_DATA names the folder)", path.display());
        return None;
    }
    Some(path)
}

fn tokenizer(name: &str) -> Option<Tokenizer> {
    let path = test_data(&format!("vocab/ggml-vocab-{name}.gguf"))?;
    Some(Tokenizer::from_metadata(Gguf::open(&path).unwrap().metadata()).unwrap())
}

fn reference(name: &str) -> (Vec<String>, Vec<Vec<u32>>) {
    let read = |ending: &str| {
        let path = test_data(&format!("vocab/ggml-vocab-{name}.gguf.{ending}")).unwrap();
        std::fs::read_to_string(path).unwrap()
    };
    let texts = read("inp").split("\n__ggml_vocab_test__\n").map(str::to_owned).collect();
    let ids = read("out").lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect()).collect();
    (texts, ids)
}

fn gives_the_reference_ids(name: &str) {
    let Some(tokenizer) = tokenizer(name) else { return };
    let (texts, ids) = reference(name);
    assert!(texts.len() > 40 && ids.len() >= texts.len() - 1, "{} texts, {} lines", texts.len(), ids.len());
    for (text, ids) in texts.iter().zip(&ids) {
        assert_eq!(&tokenizer.encode(text, false, false), ids, "{name}: {text:?}");
    }
}

#[test]
fn gpt_2_gives_the_reference_ids() {
    gives_the_reference_ids("gpt-2");
}

#[test]
fn llama_bpe_gives_the_reference_ids() {
    gives_the_reference_ids("llama-bpe");
}

#[test]
fn llama_spm_gives_the_reference_ids() {
    gives_the_reference_ids("llama-spm");
}

#[test]
fn phi_3_gives_the_reference_ids() {
    gives_the_reference_ids("phi-3");
}

#[test]
fn qwen2_gives_the_reference_ids() {
    gives_the_reference_ids("qwen2");
}

#[test]
fn bert_bge_gives_the_reference_ids() {
    gives_the_reference_ids("bert-bge");
}

#[test]
fn decoding_gives_the_text_back() {
    for name in ["gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2"] {
        let Some(tokenizer) = tokenizer(name) else { return };
        for text in reference(name).0 {
            let tokens = tokenizer.encode(&text, true, false);
            assert_eq!(String::from_utf8_lossy(&tokenizer.decode(&tokens, false)), text, "{name}");
        }
    }
}
