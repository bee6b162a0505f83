use super::*;
use crate::error::ErrorKind;
use crate::formats::Format;
use crate::gguf::{Writer, WriterValue};
use crate::session::{CacheFormat, Logits, Session, SessionOptions};
use std::collections::BTreeMap;

/// A model file made on the spot: small enough to read, with every weight random.
#[derive(Clone)]
struct File {
    architecture: &'static str,
    keys: BTreeMap<String, WriterValue>,
    tensors: BTreeMap<String, (Format, Vec<u64>)>,
}

const WIDTH: u64 = 32;
const INNER: u64 = 48;
const VOCABULARY: u64 = 20;

impl File {
    fn new(architecture: &'static str) -> Self {
        let mut file = Self { architecture, keys: BTreeMap::new(), tensors: BTreeMap::new() };
        file.keys.insert("general.architecture".into(), architecture.into());
        for (key, value) in [
            ("block_count", 2_u32),
            ("context_length", 64),
            ("embedding_length", WIDTH as u32),
            ("feed_forward_length", INNER as u32),
            ("attention.head_count", 4),
            ("attention.head_count_kv", 2),
        ] {
            file = file.key(key, value);
        }
        file = file.key("attention.layer_norm_rms_epsilon", 1e-5_f32);
        file = file.tensor("token_embd.weight", &[WIDTH, VOCABULARY]).tensor("output_norm.weight", &[WIDTH]);
        for block in 0..2 {
            for (name, shape) in [
                ("attn_norm.weight", vec![WIDTH]),
                ("attn_q.weight", vec![WIDTH, 32]),
                ("attn_k.weight", vec![WIDTH, 16]),
                ("attn_v.weight", vec![WIDTH, 16]),
                ("attn_output.weight", vec![32, WIDTH]),
                ("ffn_norm.weight", vec![WIDTH]),
                ("ffn_gate.weight", vec![WIDTH, INNER]),
                ("ffn_up.weight", vec![WIDTH, INNER]),
                ("ffn_down.weight", vec![INNER, WIDTH]),
            ] {
                file = file.tensor(&format!("blk.{block}.{name}"), &shape);
            }
        }
        file
    }

    fn key(mut self, key: &str, value: impl Into<WriterValue>) -> Self {
        self.keys.insert(format!("{}.{key}", self.architecture), value.into());
        self
    }

    fn without_key(mut self, key: &str) -> Self {
        assert!(self.keys.remove(&format!("{}.{key}", self.architecture)).is_some(), "{key}");
        self
    }

    fn tensor(mut self, name: &str, shape: &[u64]) -> Self {
        self.tensors.insert(name.into(), (Format::F32, shape.to_vec()));
        self
    }

    fn blocks(self, name: &str, shape: &[u64]) -> Self {
        (0..2).fold(self, |file, block| file.tensor(&format!("blk.{block}.{name}"), shape))
    }

    fn without_tensor(mut self, name: &str) -> Self {
        assert!(self.tensors.remove(name).is_some(), "{name}");
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let writer = self.keys.iter().fold(Writer::new(), |writer, (key, value)| writer.set(key, value.clone()));
        let add = |writer: Writer, (name, (format, shape)): (&String, &(Format, Vec<u64>))| {
            writer.tensor(name, *format, shape).unwrap()
        };
        let writer = self.tensors.iter().fold(writer, add);
        let tensors: Vec<(&String, &(Format, Vec<u64>))> = self.tensors.iter().collect();
        let fill = |index: usize, out: &mut dyn std::io::Write| {
            let (name, (format, shape)) = tensors[index];
            let count: u64 = shape.iter().product();
            if *format != Format::F32 {
                return out.write_all(&vec![0; format.row_bytes(count as usize).unwrap()]);
            }
            let seed: u64 = name.bytes().map(u64::from).sum();
            let base = if name.contains("norm") || name.contains("factors") { 1.0 } else { 0.0 };
            (0..count).try_for_each(|i| {
                let noise = ((i * 7919 + seed * 104_729) as f32 * 0.618).sin() * 0.3;
                out.write_all(&(base + noise).to_le_bytes())
            })
        };
        writer.to_bytes(fill).unwrap()
    }

    fn load(&self) -> Result<Model> {
        Model::load(Arc::new(Gguf::from_bytes(self.bytes())?))
    }

    /// Logits of a few tokens, all finite.
    fn logits(&self) -> Vec<f32> {
        self.logits_with_context(64)
    }

    fn logits_with_context(&self, context_length: usize) -> Vec<f32> {
        let options = SessionOptions {
            context_length,
            keys: CacheFormat::F32,
            values: CacheFormat::F32,
            ..SessionOptions::default()
        };
        let mut session = Session::new(Arc::new(self.load().unwrap()), options).unwrap();
        session.evaluate(&[3, 1, 4, 1, 5, 9, 2, 6], Logits::All, &|| false).unwrap();
        assert!(session.logits().iter().all(|x| x.is_finite()));
        session.logits().to_vec()
    }

    #[track_caller]
    fn refused(&self, kind: ErrorKind, named: &str) {
        let error = self.load().err().expect("an error");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(named), "{error}");
        assert!(
            kind != ErrorKind::Unsupported || error.hint().is_some_and(|hint| hint.contains("llama.cpp")),
            "{error}"
        );
    }
}

/// A model with so many tokens.
pub(crate) fn random_model(vocabulary: u64) -> Model {
    let file = File::new("llama").key("context_length", 2048_u32);
    file.tensor("token_embd.weight", &[WIDTH, vocabulary]).load().unwrap()
}

fn gemma3() -> File {
    File::new("gemma3")
        .blocks("attn_q_norm.weight", &[8])
        .blocks("attn_k_norm.weight", &[8])
        .blocks("post_attention_norm.weight", &[WIDTH])
        .blocks("post_ffw_norm.weight", &[WIDTH])
}

fn phi3() -> File {
    let file = File::new("phi3").blocks("attn_qkv.weight", &[WIDTH, 64]).blocks("ffn_up.weight", &[WIDTH, 2 * INNER]);
    (0..2).fold(file, |file, block| {
        ["attn_q", "attn_k", "attn_v", "ffn_gate"]
            .iter()
            .fold(file, |file, name| file.without_tensor(&format!("blk.{block}.{name}.weight")))
    })
}

#[test]
fn sizes_come_from_the_metadata() {
    let model = File::new("llama").load().unwrap();
    let config = model.config();
    assert_eq!((config.block_count, config.embedding_length, config.feed_forward_length), (2, 32, 48));
    assert_eq!((config.head_count, config.head_count_kv, config.head_length), (4, 2, 8));
    assert_eq!((config.vocabulary_size, config.context_length), (20, 64));
    assert_eq!((config.rope.base, config.rope.frequency_scale, config.rope.dimensions), (10_000.0, 1.0, 8));
}

#[test]
fn every_required_key_is_named_when_it_is_missing() {
    for key in [
        "block_count",
        "context_length",
        "embedding_length",
        "feed_forward_length",
        "attention.head_count",
        "attention.layer_norm_rms_epsilon",
    ] {
        File::new("llama").without_key(key).refused(ErrorKind::ModelFile, &format!("llama.{key}"));
    }
}

#[test]
fn impossible_sizes_are_refused_by_name() {
    for (key, value) in [
        ("block_count", 0_u32),
        ("block_count", u32::MAX),
        ("embedding_length", 0),
        ("context_length", 0),
        ("context_length", u32::MAX),
        ("attention.head_count", 0),
        ("attention.head_count", 5),
        ("attention.head_count_kv", 0),
        ("attention.head_count_kv", 3),
        ("attention.key_length", 1 << 20),
        ("rope.dimension_count", 0),
        ("rope.dimension_count", 7),
        ("rope.dimension_count", 10),
    ] {
        File::new("llama").key(key, value).refused(ErrorKind::ModelFile, &format!("llama.{key}"));
    }
}

#[test]
fn numbers_that_are_none_are_refused_by_name() {
    for value in [f32::NAN, f32::INFINITY, -1.0] {
        for key in ["attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.scaling.factor", "rope.scale_linear"] {
            File::new("llama").key(key, value).refused(ErrorKind::ModelFile, &format!("llama.{key}"));
        }
    }
    File::new("llama").key("rope.freq_base", "fast").refused(ErrorKind::ModelFile, "llama.rope.freq_base");
}

#[test]
fn arrays_of_sizes_must_hold_one_size_for_all_blocks() {
    let array = |values: &[u32]| File::new("llama").key("feed_forward_length", values);
    assert_eq!(array(&[48, 48]).logits(), File::new("llama").logits());
    array(&[48]).refused(ErrorKind::ModelFile, "llama.feed_forward_length");
    array(&[]).refused(ErrorKind::ModelFile, "llama.feed_forward_length");
    array(&[48, 64]).refused(ErrorKind::Unsupported, "llama.feed_forward_length");
}

#[test]
fn missing_and_misshapen_tensors_are_named_with_what_is_needed() {
    let file = File::new("llama");
    for name in ["token_embd.weight", "output_norm.weight", "blk.1.attn_k.weight", "blk.0.ffn_down.weight"] {
        file.clone().without_tensor(name).refused(ErrorKind::ModelFile, name);
    }
    for (name, shape, needed) in [
        ("blk.1.attn_k.weight", vec![32, 17], "32 x 16"),
        ("blk.0.attn_norm.weight", vec![33], "32"),
        ("blk.0.ffn_up.weight", vec![48, 32], "32 x 48"),
        ("output_norm.weight", vec![32, 2], "32"),
        ("output.weight", vec![32, 19], "32 x 20"),
    ] {
        let file = file.clone().tensor(name, &shape);
        file.refused(ErrorKind::ModelFile, name);
        file.refused(ErrorKind::ModelFile, &format!("{needed} is needed"));
    }
}

#[test]
fn vocabulary_and_embedding_must_agree() {
    let mut file = File::new("llama");
    let tokens = (0..21).map(|i| i.to_string()).collect();
    file.keys.insert("tokenizer.ggml.tokens".into(), tokens);
    file.refused(ErrorKind::ModelFile, "has 20 rows, but \"tokenizer.ggml.tokens\" has 21 tokens");
}

#[test]
fn what_the_core_does_not_run_is_unsupported_and_names_the_backend() {
    let file = File::new("llama");
    let cases = [
        (File::new("mamba2"), "\"mamba2\""),
        (file.clone().key("expert_count", 8_u32), "llama.expert_count"),
        (file.clone().key("nextn_predict_layers", 1_u32), "llama.nextn_predict_layers"),
        (file.clone().key("attention.causal", false), "llama.attention.causal"),
        (file.clone().key("attention.value_length", 16_u32), "llama.attention.value_length"),
        (file.clone().key("rope.scaling.type", "spiral"), "\"spiral\""),
        (file.clone().key("attention.head_count_kv", [2_u32, 4].as_slice()), "llama.attention.head_count_kv"),
        (file.clone().tensor("blk.0.ffn_gate_inp.weight", &[32, 8]), "mixture of experts"),
        (file.clone().tensor("blk.1.attn_sinks.weight", &[4]), "blk.1.attn_sinks.weight"),
    ];
    for (file, named) in cases {
        file.refused(ErrorKind::Unsupported, named);
    }
    let mut exotic = file.clone();
    exotic.tensors.insert("blk.0.attn_norm.weight".into(), (Format::I32, vec![32]));
    exotic.refused(ErrorKind::Unsupported, "stored as i32");
    let mut nameless = file;
    nameless.keys.remove("general.architecture");
    nameless.refused(ErrorKind::ModelFile, "general.architecture");
}

#[test]
fn an_output_matrix_of_its_own_replaces_the_embedding() {
    let tied = File::new("llama").logits();
    let own = File::new("llama").tensor("output.weight", &[WIDTH, VOCABULARY]).logits();
    assert_ne!(tied, own);
}

#[test]
fn biases_count_wherever_they_are() {
    let plain = File::new("llama").logits();
    for (name, length) in [
        ("attn_q.bias", 32),
        ("attn_k.bias", 16),
        ("attn_v.bias", 16),
        ("attn_output.bias", 32),
        ("ffn_gate.bias", 48),
        ("ffn_up.bias", 48),
        ("ffn_down.bias", 32),
    ] {
        assert_ne!(File::new("llama").blocks(name, &[length]).logits(), plain, "{name}");
    }
    assert_ne!(File::new("qwen2").tensor("output.bias", &[20]).logits(), File::new("qwen2").logits());
}

#[test]
fn fused_matrices_are_their_parts_one_after_the_other() {
    let logits = phi3().logits();
    // The parts of a fused bias are the biases of the parts; here the parts have them under their own names.
    assert_ne!(phi3().blocks("attn_qkv.bias", &[64]).logits(), logits);
    assert_ne!(phi3().blocks("attn_k.bias", &[16]).logits(), logits);
    phi3().blocks("ffn_up.weight", &[WIDTH, INNER]).refused(ErrorKind::ModelFile, "32 x 96 is needed");
}

#[test]
fn the_context_asked_for_chooses_the_rotary_factors() {
    let file = phi3().key("rope.scaling.original_context_length", 256_u32);
    let plain = file.logits();
    let both = file.tensor("rope_factors_short.weight", &[4]).tensor("rope_factors_long.weight", &[4]);
    let only_long = both.clone().without_tensor("rope_factors_short.weight");
    let (short, long) = (both.logits_with_context(256), both.logits_with_context(257));
    assert!(short != plain && long != plain && short != long);
    assert_eq!((only_long.logits_with_context(256), only_long.logits_with_context(257)), (plain, long));
}

#[test]
fn rotary_factors_must_be_positive_and_fit() {
    let file = File::new("llama");
    file.clone().tensor("rope_freqs.weight", &[4]).refused(ErrorKind::ModelFile, "rope_freqs.weight");
    file.tensor("rope_factors_long.weight", &[5]).refused(ErrorKind::ModelFile, "4 is needed");
    File::new("qwen2").tensor("rope_freqs.weight", &[4]).refused(ErrorKind::Unsupported, "rope_freqs.weight");
}

#[test]
fn windows_alternate_as_the_pattern_says() {
    let config = |file: File| file.load().unwrap().config().clone();
    let plain = config(gemma3());
    assert_eq!((plain.windows, plain.local_rope.is_none()), (vec![None, None], true));
    let windowed = gemma3().key("attention.sliding_window", 4_u32);
    let six = config(windowed.clone());
    assert_eq!(six.windows, [Some(4), Some(4)]);
    assert_eq!(six.local_rope.unwrap().base, 10_000.0);
    assert_eq!(config(windowed.clone().key("attention.sliding_window_pattern", 2_u32)).windows, [Some(4), None]);
    let per_block = windowed.key("attention.sliding_window_pattern", [false, true].as_slice());
    assert_eq!(config(per_block.clone()).windows, [None, Some(4)]);
    assert_ne!(per_block.logits(), gemma3().logits());
}

#[test]
fn in_windows_too_tokens_of_one_step_get_the_bits_that_each_has_alone() {
    let file = gemma3().key("attention.sliding_window", 4_u32).key("attention.sliding_window_pattern", 2_u32);
    let model = Arc::new(file.load().unwrap());
    let tokens: Vec<u32> = (0..38).map(|i| 3 + i * 7 % 17).collect();
    for format in [CacheFormat::F32, CacheFormat::F16, CacheFormat::Q8_0] {
        for length in [1, 3, 30] {
            let options = SessionOptions { keys: format, values: format, threads: 2, ..SessionOptions::default() };
            let mut session = Session::new(Arc::clone(&model), options).unwrap();
            let (before, step) = (&tokens[..length], &tokens[length..length + 8]);
            session.evaluate(before, Logits::None, &|| false).unwrap();
            let mut expected = Vec::new();
            for token in step.chunks(1) {
                session.evaluate(token, Logits::Last, &|| false).unwrap();
                expected.extend_from_slice(session.logits());
            }
            session.truncate(length);
            session.evaluate(step, Logits::All, &|| false).unwrap();
            assert!(session.logits() == expected, "{}, after {length}", format.name());
        }
    }
}

#[test]
fn fingerprints_tell_models_apart() {
    let fingerprint = |file: File| file.load().unwrap().fingerprint();
    assert_eq!(fingerprint(File::new("llama")), fingerprint(File::new("llama")));
    assert_ne!(fingerprint(File::new("llama")), fingerprint(File::new("qwen2")));
    assert_ne!(fingerprint(File::new("llama")), fingerprint(File::new("llama").key("rope.freq_base", 5e5_f32)));
}
