//! Claims about what loads as an encoder; `core/attacks` has the malformed files.

use super::*;
use crate::embedding::{Embedder, EmbedderOptions};
use crate::error::ErrorKind;
use crate::gguf::WriterValue;
use crate::model::Model;
use crate::model::tests::{File, INNER, VOCABULARY, WIDTH};
use std::collections::BTreeMap;

/// What both architectures have: two layers of four heads.
fn encoder(architecture: &'static str) -> File {
    let mut file = File { architecture, keys: BTreeMap::new(), tensors: BTreeMap::new(), values: BTreeMap::new() };
    file.keys.insert("general.architecture".into(), architecture.into());
    for (key, value) in [
        ("block_count", WriterValue::from(2_u32)),
        ("context_length", 600_u32.into()),
        ("embedding_length", (WIDTH as u32).into()),
        ("feed_forward_length", (INNER as u32).into()),
        ("attention.head_count", 4_u32.into()),
        ("attention.layer_norm_epsilon", 1e-12_f32.into()),
        ("attention.causal", false.into()),
    ] {
        file = file.key(key, value);
    }
    file.tensor("token_embd.weight", &[WIDTH, VOCABULARY])
        .tensor("token_types.weight", &[WIDTH, 2])
        .tensor("token_embd_norm.weight", &[WIDTH])
        .tensor("token_embd_norm.bias", &[WIDTH])
        .blocks("attn_output.weight", &[WIDTH, WIDTH])
        .blocks("attn_output_norm.weight", &[WIDTH])
        .blocks("attn_output_norm.bias", &[WIDTH])
        .blocks("ffn_up.weight", &[WIDTH, INNER])
        .blocks("ffn_down.weight", &[INNER, WIDTH])
        .blocks("layer_output_norm.weight", &[WIDTH])
        .blocks("layer_output_norm.bias", &[WIDTH])
}

fn bert() -> File {
    let file = encoder("bert").tensor("position_embd.weight", &[WIDTH, 600]);
    let file = ["attn_q", "attn_k", "attn_v"]
        .into_iter()
        .fold(file, |file, name| file.blocks(&format!("{name}.weight"), &[WIDTH, WIDTH]));
    ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_down"]
        .into_iter()
        .fold(file, |file, name| file.blocks(&format!("{name}.bias"), &[WIDTH]))
        .blocks("ffn_up.bias", &[INNER])
}

fn nomic() -> File {
    encoder("nomic-bert").blocks("attn_qkv.weight", &[WIDTH, 3 * WIDTH]).blocks("ffn_gate.weight", &[WIDTH, INNER])
}

fn load(file: &File) -> Result<Encoder> {
    Encoder::load(Arc::new(Gguf::from_bytes(file.bytes())?))
}

/// An encoder of each architecture, with random weights, 20 tokens and a context of 600.
pub(crate) fn random_encoders() -> [Arc<Encoder>; 2] {
    [bert(), nomic()].map(|file| Arc::new(load(&file).unwrap()))
}

fn vector(file: &File) -> Vec<f32> {
    let mut embedder = Embedder::new(Arc::new(load(file).unwrap()), EmbedderOptions::default()).unwrap();
    embedder.embed(&[&[3, 1, 4, 1, 5, 9, 2, 6]], Pooling::Mean, &|| false).unwrap().remove(0)
}

#[test]
fn one_matrix_of_queries_keys_and_values_is_the_same_as_three() {
    let fused = nomic();
    let mut apart = nomic();
    for block in 0..2 {
        let name = |part: &str| format!("blk.{block}.{part}.weight");
        let values = fused.values(&name("attn_qkv"));
        apart.tensors.remove(&name("attn_qkv"));
        for (part, values) in ["attn_q", "attn_k", "attn_v"].into_iter().zip(values.chunks((WIDTH * WIDTH) as usize)) {
            apart = apart.tensor(&name(part), &[WIDTH, WIDTH]);
            apart.values.insert(name(part), values.to_vec());
        }
    }
    assert_eq!(vector(&fused), vector(&apart));
}

#[test]
fn the_kind_of_the_text_is_added_where_the_file_has_it() {
    let mut without = bert();
    without.tensors.remove("token_types.weight");
    let mut zero = bert();
    let mut rows = zero.values("token_types.weight");
    rows[..WIDTH as usize].fill(0.0);
    zero.values.insert("token_types.weight".into(), rows);
    assert_eq!(vector(&without), vector(&zero));
    assert_ne!(vector(&without), vector(&bert()));
}

#[test]
fn poolings_are_read_by_their_numbers() {
    assert_eq!(load(&bert()).unwrap().config().pooling, None);
    let poolings = [Pooling::None, Pooling::Mean, Pooling::First, Pooling::Last];
    for (number, pooling) in (0_u32..).zip(poolings) {
        assert_eq!(load(&bert().key("pooling_type", number)).unwrap().config().pooling, Some(pooling));
    }
}

#[test]
fn what_the_core_does_not_run_is_refused_with_the_backend_that_may() {
    for (file, named) in [
        (bert().key("pooling_type", 4_u32), "bert.pooling_type"),
        (bert().key("attention.causal", true), "bert.attention.causal"),
        (bert().key("attention.head_count_kv", 2_u32), "bert.attention.head_count_kv"),
        (bert().key("attention.key_length", 16_u32), "bert.attention.key_length"),
        (bert().key("expert_count", 8_u32), "bert.expert_count"),
        (nomic().key("moe_every_n_layers", 2_u32), "nomic-bert.moe_every_n_layers"),
        (bert().tensor("cls.weight", &[WIDTH, WIDTH]), "cls.weight"),
        (nomic().tensor("position_embd.weight", &[WIDTH, 600]), "position_embd.weight"),
        (encoder("jina-bert-v2"), "jina-bert-v2"),
    ] {
        let error = load(&file).err().expect("an error");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.message().contains(named), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("llama.cpp")), "{error}");
    }
}

#[test]
fn an_encoder_is_no_decoder_and_the_other_way_round() {
    let error = bert().load().err().expect("an error");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("embeddings"), "{error}");
    assert!(Encoder::knows("bert") && Encoder::knows("nomic-bert") && !Encoder::knows("llama"));
    assert!(!Model::knows("bert") && Model::knows("llama"));
}
