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

/// Ids of the library `tokenizers`, which the models were trained with; llama.cpp differs in the first five.
#[test]
fn bert_bge_prepares_text_as_the_model_was_trained_with_it() {
    let Some(tokenizer) = tokenizer("bert-bge") else { return };
    let long = "a".repeat(101);
    for (text, ids) in [
        ("\u{926}\u{941}\u{928}\u{93F}\u{92F}\u{93E}", &[1325, 29863, 29877, 29868, 29876][..]),
        ("\u{C548}\u{B155}", &[1463, 30006, 30021, 29992, 30010, 30025]),
        ("a\u{B}b", &[11113]),
        ("a\u{20DD}b", &[100]),
        (&long, &[100]),
        ("cafe\u{301} caf\u{E9}", &[7668, 7668]),
        ("\u{FB01} ligature \u{2460}", &[1984, 8018, 11244, 100]),
        ("\u{130}stanbul", &[9960]),
        ("\u{20000}\u{2B820}x", &[100, 100]),
    ] {
        assert_eq!(tokenizer.encode(text, false, false), ids, "{text:?}");
    }
    assert_eq!(tokenizer.encode("Hello, world!", true, false), [101, 7592, 1010, 2088, 999, 102]);
    assert_eq!(tokenizer.decode(&[101, 7592, 1010, 2088, 999, 102], false), b"hello , world !");
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
