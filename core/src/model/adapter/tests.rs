use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::tests::{File, INNER, VOCABULARY, WIDTH, gemma3, noise, phi3};
use super::*;
use crate::error::ErrorKind;
use crate::formats::{self, Format};
use crate::gguf::{Writer, WriterValue};
use crate::isa::Isa;
use crate::session::{CacheFormat, Logits, Session, SessionOptions, Work};

const TOKENS: [u32; 8] = [3, 1, 4, 1, 5, 9, 2, 6];

/// An adapter file made on the spot, with random pairs.
#[derive(Clone)]
struct Lora {
    keys: BTreeMap<&'static str, WriterValue>,
    tensors: BTreeMap<String, (Format, Vec<u64>)>,
}

impl Lora {
    fn new(architecture: &str, alpha: f32) -> Self {
        let mut keys: BTreeMap<&'static str, WriterValue> = BTreeMap::new();
        for (key, value) in [(TYPE, "adapter"), ("adapter.type", "lora"), ("general.architecture", architecture)] {
            keys.insert(key, value.into());
        }
        keys.insert(ALPHA, alpha.into());
        Self { keys, tensors: BTreeMap::new() }
    }

    fn key(mut self, key: &'static str, value: impl Into<WriterValue>) -> Self {
        self.keys.insert(key, value.into());
        self
    }

    fn without_key(mut self, key: &str) -> Self {
        assert!(self.keys.remove(key).is_some(), "{key}");
        self
    }

    fn tensor(mut self, name: &str, format: Format, shape: &[u64]) -> Self {
        self.tensors.insert(name.to_owned(), (format, shape.to_vec()));
        self
    }

    fn without_tensor(mut self, name: &str) -> Self {
        assert!(self.tensors.remove(name).is_some(), "{name}");
        self
    }

    /// A pair for a matrix of so many inputs and outputs.
    fn pair(self, name: &str, inputs: u64, outputs: u64, rank: u64) -> Self {
        let down = if name.starts_with("token_embd") { [rank, inputs] } else { [inputs, rank] };
        self.tensor(&format!("{name}.lora_a"), Format::F32, &down).tensor(
            &format!("{name}.lora_b"),
            Format::F32,
            &[rank, outputs],
        )
    }

    /// Pairs for every matrix of both layers of a llama.
    fn everywhere(self, rank: u64) -> Self {
        (0..2).fold(self, |lora, block| {
            let name = |part: &str| format!("blk.{block}.{part}.weight");
            lora.pair(&name("attn_q"), WIDTH, 32, rank)
                .pair(&name("attn_k"), WIDTH, 16, rank)
                .pair(&name("attn_v"), WIDTH, 16, rank)
                .pair(&name("attn_output"), 32, WIDTH, rank)
                .pair(&name("ffn_gate"), WIDTH, INNER, rank)
                .pair(&name("ffn_up"), WIDTH, INNER, rank)
                .pair(&name("ffn_down"), INNER, WIDTH, rank)
        })
    }

    fn gguf(&self) -> Arc<Gguf> {
        Arc::new(Gguf::from_bytes(self.bytes()).unwrap())
    }

    fn bytes(&self) -> Vec<u8> {
        let writer = self.keys.iter().fold(Writer::new(), |writer, (key, value)| writer.set(key, value.clone()));
        let add = |writer: Writer, (name, (format, shape)): (&String, &(Format, Vec<u64>))| {
            writer.tensor(name, *format, shape).unwrap()
        };
        let writer = self.tensors.iter().fold(writer, add);
        let tensors: Vec<_> = self.tensors.iter().collect();
        let bytes = writer.to_bytes(|index, out| {
            let (name, (format, shape)) = tensors[index];
            let values: Vec<f32> = noise(name, shape.iter().product()).collect();
            out.write_all(&stored(*format, &values))
        });
        bytes.unwrap()
    }

    fn at(&self, scale: f32) -> Adapter {
        Adapter { name: "an adapter".to_owned(), gguf: self.gguf(), scale }
    }

    #[track_caller]
    fn refused(&self, kind: ErrorKind, named: &str) {
        let error = load(&File::new("llama"), vec![self.at(1.0)]).err().expect("an error");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().starts_with("an adapter: ") && error.message().contains(named), "{error}");
        assert!(kind != ErrorKind::ModelFile || error.hint().is_some(), "{error}");
    }

    #[track_caller]
    fn refused_at(&self, scale: f32, named: &str) {
        let error = load(&File::new("llama"), vec![self.at(scale)]).err().expect("an error");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.message().contains(named), "{error}");
    }
}

/// Values in a format whose codes are easy to make.
fn stored(format: Format, values: &[f32]) -> Vec<u8> {
    match format {
        Format::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Format::BF16 => values.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect(),
        Format::Q8_0 => {
            let block = |values: &[f32]| {
                let codes = values.iter().map(|x| (x * 256.0).round() as i8 as u8);
                [0x00, 0x1c].into_iter().chain(codes).collect::<Vec<u8>>() // 0x1c00 is 1/256 as f16
            };
            values.chunks(32).flat_map(block).collect()
        }
        format => vec![0; format.row_bytes(values.len()).unwrap()],
    }
}

fn load(file: &File, adapters: Vec<Adapter>) -> Result<Model> {
    Model::load_adapted(Arc::new(Gguf::from_bytes(file.bytes())?), adapters)
}

/// The model with the products of the pairs added to its own matrices.
fn merged(file: &File, lora: &Lora, scale: f32) -> File {
    let (mut file, gguf) = (file.clone(), lora.gguf());
    let values = |name: &str| {
        let tensor = gguf.tensor(name).unwrap();
        let mut values = vec![0.0; tensor.values()];
        formats::dequantize(tensor.format, gguf.bytes(tensor), &mut values).unwrap();
        (values, tensor.columns())
    };
    for name in lora.tensors.keys().filter_map(|name| name.strip_suffix(".lora_a")) {
        let ((a, columns), (b, rank)) = (values(&format!("{name}.lora_a")), values(&format!("{name}.lora_b")));
        let mut matrix = file.values(name);
        for (row, b) in matrix.chunks_exact_mut(columns).zip(b.chunks_exact(rank)) {
            for (&b, a) in b.iter().zip(a.chunks_exact(columns)) {
                row.iter_mut().zip(a).for_each(|(x, a)| *x += scale * b * a);
            }
        }
        file.values.insert(name.to_owned(), matrix);
    }
    file
}

fn session(model: Model, isa: Isa) -> Session {
    let (keys, values) = (CacheFormat::F32, CacheFormat::F32);
    let options = SessionOptions { context_length: 64, keys, values, isa, threads: 2, ..SessionOptions::default() };
    Session::new(Arc::new(model), options).unwrap()
}

fn logits_of(model: Model, isa: Isa, tokens: &[u32]) -> Vec<f32> {
    let mut session = session(model, isa);
    session.evaluate(tokens, Logits::All, &|| false).unwrap();
    session.logits().to_vec()
}

fn logits(file: &File, adapters: Vec<Adapter>) -> Vec<f32> {
    logits_of(load(file, adapters).unwrap(), Isa::detect(), &TOKENS)
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    let largest = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest < tolerance, "{largest}");
}

#[test]
fn an_adapter_gives_what_the_model_with_the_products_merged_in_gives() {
    let (file, lora) = (File::new("llama"), Lora::new("llama", 6.0).everywhere(3));
    let (merged, plain) = (merged(&file, &lora, 0.25 * 6.0 / 3.0), logits(&file, vec![]));
    for isa in Isa::available() {
        for length in [1, 8, 9, 40] {
            let tokens: Vec<u32> = (0..length).map(|i| (i * 7 + 3) % 20).collect();
            let found = logits_of(load(&file, vec![lora.at(0.25)]).unwrap(), isa, &tokens);
            assert_close(&found, &logits_of(load(&merged, vec![]).unwrap(), isa, &tokens), 2e-4);
        }
    }
    assert_ne!(logits(&file, vec![lora.at(0.25)]), plain);
}

#[test]
fn without_an_alpha_the_scale_is_what_was_asked_for() {
    let file = File::new("llama");
    for lora in [Lora::new("llama", 0.0), Lora::new("llama", 0.0).without_key(ALPHA)] {
        let lora = lora.everywhere(4);
        assert_close(&logits(&file, vec![lora.at(0.5)]), &logits(&merged(&file, &lora, 0.5), vec![]), 2e-4);
    }
}

#[test]
fn several_adapters_add_up_each_with_its_scale() {
    let file = File::new("llama");
    let everywhere = Lora::new("llama", 4.0).everywhere(4);
    let somewhere = Lora::new("llama", 0.0).pair("blk.1.attn_q.weight", WIDTH, 32, 1);
    let expected = merged(&merged(&file, &everywhere, -0.3), &somewhere, 2.0);
    assert_close(&logits(&file, vec![everywhere.at(-0.3), somewhere.at(2.0)]), &logits(&expected, vec![]), 5e-4);
}

#[test]
fn a_pair_of_a_fused_matrix_serves_all_its_parts() {
    let lora = (0..2).fold(Lora::new("phi3", 3.0), |lora, block| {
        lora.pair(&format!("blk.{block}.attn_qkv.weight"), WIDTH, 64, 2).pair(
            &format!("blk.{block}.ffn_up.weight"),
            WIDTH,
            2 * INNER,
            2,
        )
    });
    assert_close(&logits(&phi3(), vec![lora.at(0.5)]), &logits(&merged(&phi3(), &lora, 0.75), vec![]), 2e-4);
}

#[test]
fn an_output_is_adapted_also_where_it_shares_the_embedding() {
    let tied = File::new("llama");
    let own = |matrix: &File| {
        let mut file = matrix.clone().tensor("output.weight", &[WIDTH, VOCABULARY]);
        file.values.insert("output.weight".to_owned(), tied.values("token_embd.weight"));
        file
    };
    let lora = Lora::new("llama", 0.0).pair("output.weight", WIDTH, VOCABULARY, 2);
    let expected = logits(&merged(&own(&tied), &lora, 0.5), vec![]);
    assert_close(&logits(&own(&tied), vec![lora.at(0.5)]), &expected, 2e-4);
    assert_close(&logits(&tied, vec![lora.at(0.5)]), &expected, 2e-4);
}

#[test]
fn embeddings_are_adapted_before_they_are_scaled_and_not_where_the_output_shares_them() {
    for file in [File::new("llama"), gemma3()] {
        let lora = Lora::new(file.architecture, 0.0).pair("token_embd.weight", VOCABULARY, WIDTH, 3);
        let values = |part: &str| {
            let name = format!("token_embd.weight.{part}");
            noise(&name, lora.tensors[&name].1.iter().product()).collect::<Vec<f32>>()
        };
        let (a, b, mut embedding) = (values("lora_a"), values("lora_b"), file.values("token_embd.weight"));
        for (row, a) in embedding.chunks_exact_mut(WIDTH as usize).zip(a.chunks_exact(3)) {
            for (x, b) in row.iter_mut().zip(b.chunks_exact(3)) {
                *x += 0.5 * (a[0] * b[0] + a[1] * b[1] + a[2] * b[2]);
            }
        }
        let mut expected = file.clone().tensor("output.weight", &[WIDTH, VOCABULARY]);
        expected.values.insert("output.weight".to_owned(), file.values("token_embd.weight"));
        expected.values.insert("token_embd.weight".to_owned(), embedding);
        assert_close(&logits(&file, vec![lora.at(0.5)]), &logits(&expected, vec![]), 5e-4);
    }
}

#[test]
fn pairs_may_have_any_format_that_the_core_computes_with() {
    let file = File::new("llama");
    let matrix = "blk.0.ffn_up.weight";
    let lora = |format, rank| {
        let lora = Lora::new("llama", 0.0).tensor(&format!("{matrix}.lora_a"), format, &[WIDTH, rank]);
        lora.tensor(&format!("{matrix}.lora_b"), format, &[rank, INNER])
    };
    let (bf16, q8_0) = (lora(Format::BF16, 5), lora(Format::Q8_0, 32));
    assert_close(&logits(&file, vec![bf16.at(0.5)]), &logits(&merged(&file, &bf16, 0.5), vec![]), 2e-4);
    assert_close(&logits(&file, vec![q8_0.at(0.5)]), &logits(&merged(&file, &q8_0, 0.5), vec![]), 5e-2);
    lora(Format::I32, 4).refused(ErrorKind::Unsupported, "is stored as i32");
}

#[test]
fn with_few_tokens_the_logits_are_those_of_each_token_alone() {
    let q8_0 = Lora::new("llama", 0.0)
        .tensor("blk.1.ffn_gate.weight.lora_a", Format::Q8_0, &[WIDTH, 32])
        .tensor("blk.1.ffn_gate.weight.lora_b", Format::Q8_0, &[32, INNER])
        .pair("token_embd.weight", VOCABULARY, WIDTH, 17)
        .pair("output.weight", WIDTH, VOCABULARY, 2);
    let adapters = || vec![Lora::new("llama", 0.0).everywhere(5).at(0.5), q8_0.at(0.3)];
    for isa in Isa::available() {
        let mut steps = session(load(&File::new("llama"), adapters()).unwrap(), isa);
        steps.evaluate(&TOKENS, Logits::None, &|| false).unwrap();
        let mut expected = Vec::new();
        for token in [7, 3, 8, 11, 19, 2] {
            steps.evaluate(&[token], Logits::Last, &|| false).unwrap();
            expected.extend_from_slice(steps.logits());
        }
        let mut together = session(load(&File::new("llama"), adapters()).unwrap(), isa);
        together.evaluate(&TOKENS, Logits::None, &|| false).unwrap();
        let (other, _) = together.begin(&[], "");
        let work = [
            Work { sequence: other, tokens: &[5, 6], wanted: Logits::Last },
            Work { sequence: Session::MAIN, tokens: &[7, 3, 8, 11, 19, 2], wanted: Logits::All },
        ];
        together.step(&work, &|| false).unwrap();
        assert!(together.logits() == expected, "{}", isa.name());
    }
}

#[test]
fn an_interrupted_step_leaves_no_trace() {
    let adapters = vec![Lora::new("llama", 0.0).everywhere(4).at(0.5)];
    let mut session = session(load(&File::new("llama"), adapters.clone()).unwrap(), Isa::detect());
    let mut evaluate = |questions: usize| {
        let asked = AtomicUsize::new(0);
        let result = session.evaluate(&TOKENS, Logits::All, &|| asked.fetch_add(1, Ordering::Relaxed) >= questions);
        (result.map_err(|error| error.kind()), session.len(), session.logits().to_vec())
    };
    for questions in 0..8 {
        assert_eq!(evaluate(questions), (Err(ErrorKind::Interrupted), 0, vec![]));
    }
    assert_eq!(evaluate(usize::MAX), (Ok(()), 8, logits(&File::new("llama"), adapters)));
}

#[test]
fn buffers_are_counted_and_without_adapters_there_are_none() {
    let bytes = |adapters| session(load(&File::new("llama"), adapters).unwrap(), Isa::detect()).scratch_bytes();
    let lora = Lora::new("llama", 0.0).everywhere(6);
    let expected = 4 * 64 * 3 * 6; // of 64 tokens, the ranks of query, key and value
    assert_eq!(bytes(vec![lora.at(1.0)]) - bytes(vec![]), expected);
    assert_eq!(bytes(vec![lora.at(0.0)]), bytes(vec![]));
    let outputs = 32 + 16 + 16 + WIDTH + 2 * INNER + WIDTH;
    let model = load(&File::new("llama"), vec![lora.at(1.0)]).unwrap();
    assert_eq!(model.adapter_bytes() as u64, 4 * 2 * 6 * outputs);
}

#[test]
fn an_adapter_of_scale_0_changes_no_bit() {
    let (file, lora) = (File::new("llama"), Lora::new("llama", 8.0).everywhere(4));
    assert_eq!(logits(&file, vec![lora.at(0.0)]), logits(&file, vec![]));
}

#[test]
fn fingerprints_tell_adapters_and_scales_apart() {
    let (file, lora) = (File::new("llama"), Lora::new("llama", 8.0).everywhere(4));
    let fingerprint = |adapters| load(&file, adapters).unwrap().fingerprint();
    assert_eq!(fingerprint(vec![]), file.load().unwrap().fingerprint());
    assert_eq!(fingerprint(vec![lora.at(0.0)]), fingerprint(vec![]));
    assert_eq!(fingerprint(vec![lora.at(1.0)]), fingerprint(vec![lora.at(1.0)]));
    let other = Lora::new("llama", 8.0).pair("output.weight", WIDTH, VOCABULARY, 4);
    let mut one_value = lora.at(1.0);
    one_value.gguf = {
        let mut bytes = lora.bytes();
        let (tensor, data) = (one_value.gguf.tensor("blk.1.ffn_up.weight.lora_b").unwrap(), 4 * 90);
        bytes[tensor.position() + data] ^= 1;
        Arc::new(Gguf::from_bytes(bytes).unwrap())
    };
    let all = [
        vec![],
        vec![lora.at(1.0)],
        vec![lora.at(0.5)],
        vec![lora.clone().key(ALPHA, 4.0_f32).at(1.0)],
        vec![lora.at(1.0), lora.at(1.0)],
        vec![lora.at(1.0), other.at(1.0)],
        vec![other.at(1.0)],
        vec![one_value],
    ];
    let fingerprints: HashSet<u64> = all.iter().map(|adapters| fingerprint(adapters.clone())).collect();
    assert_eq!(fingerprints.len(), all.len());
}

#[test]
fn a_state_of_other_adapters_is_refused() {
    let lora = Lora::new("llama", 8.0).everywhere(4);
    let of = |scale| session(load(&File::new("llama"), vec![lora.at(scale)]).unwrap(), Isa::detect());
    let mut first = of(1.0);
    first.evaluate(&TOKENS, Logits::Last, &|| false).unwrap();
    let state = first.save().unwrap();
    for scale in [0.0, 0.5] {
        let error = of(scale).restore(&state).unwrap_err();
        assert!(error.message().contains("another model"), "{error}");
    }
    of(1.0).restore(&state).unwrap();
}

#[test]
fn norms_beside_the_pairs_are_left_out() {
    let lora = Lora::new("llama", 0.0).everywhere(2);
    let with_norms = lora.clone().tensor("blk.0.attn_norm.weight", Format::F32, &[WIDTH]);
    assert_eq!(logits(&File::new("llama"), vec![with_norms.at(1.0)]), logits(&File::new("llama"), vec![lora.at(1.0)]));
}

#[test]
fn a_pair_of_rank_1_may_be_stored_without_the_1() {
    let lora = Lora::new("llama", 0.0).pair("output.weight", WIDTH, VOCABULARY, 1);
    let short = lora.clone().tensor("output.weight.lora_a", Format::F32, &[WIDTH]);
    assert_eq!(logits(&File::new("llama"), vec![short.at(1.0)]), logits(&File::new("llama"), vec![lora.at(1.0)]));
}

#[test]
fn what_is_no_adapter_for_this_model_is_refused_by_name() {
    let lora = Lora::new("llama", 4.0).everywhere(4);
    let query = "blk.0.attn_q.weight";
    let shaped = |part: &str, shape: &[u64]| lora.clone().tensor(&format!("{query}.{part}"), Format::F32, shape);
    lora.clone().key(TYPE, "model").refused(ErrorKind::ModelFile, "\"general.type\" is \"model\"");
    lora.clone().without_key(TYPE).refused(ErrorKind::ModelFile, "\"general.type\" is missing");
    lora.clone().key("adapter.type", "bone").refused(ErrorKind::ModelFile, "\"adapter.type\" is \"bone\"");
    lora.clone().key("general.architecture", "qwen2").refused(ErrorKind::ModelFile, "\"qwen2\"");
    for alpha in [f32::NAN, f32::INFINITY] {
        lora.clone().key(ALPHA, alpha).refused(ErrorKind::ModelFile, ALPHA);
    }
    lora.clone().key(ALPHA, 16_u32).refused(ErrorKind::ModelFile, ALPHA);
    lora.clone().key(ALPHA, f32::MAX).refused_at(f32::MAX, "beyond");
    lora.refused_at(f32::NAN, "scale is NaN");
    lora.clone()
        .key("adapter.alora.invocation_tokens", &[1_u32, 2][..])
        .refused(ErrorKind::Unsupported, "adapter.alora.invocation_tokens");
    for part in ["lora_a", "lora_b"] {
        let name = format!("{query}.{part}");
        lora.clone().without_tensor(&name).refused(ErrorKind::ModelFile, &format!("\"{name}\" is missing"));
    }
    shaped("lora_a", &[16, 4]).refused(ErrorKind::ModelFile, "is 16 x 4, 32 x 4 is needed");
    shaped("lora_a", &[WIDTH, 5]).refused(ErrorKind::ModelFile, "lora_b\" is 4 x 32, 5 x 32 is needed");
    shaped("lora_b", &[4, 31]).refused(ErrorKind::ModelFile, "is 4 x 31, 4 x 32 is needed");
    shaped("lora_b", &[32, 4]).refused(ErrorKind::ModelFile, "is 32 x 4, 4 x 32 is needed");
    shaped("lora_a", &[WIDTH, 2, 2]).refused(ErrorKind::ModelFile, "is 32 x 2 x 2");
    let embedding = lora.clone().pair("token_embd.weight", VOCABULARY, WIDTH, 4);
    embedding
        .tensor("token_embd.weight.lora_a", Format::F32, &[VOCABULARY, 4])
        .refused(ErrorKind::ModelFile, "token_embd.weight.lora_a\" is 20 x 4");
    for name in ["blk.2.attn_q.weight", "blk.0.attn_norm.weight", "rope_freqs.weight", "", "blk.0.attn_q"] {
        let stray = lora.clone().pair(name, WIDTH, WIDTH, 2);
        stray.refused(ErrorKind::ModelFile, &format!("{name}.lora_a\" belongs to no matrix"));
    }
    lora.clone()
        .tensor("blk.0.attn_q.bias", Format::F32, &[32])
        .refused(ErrorKind::ModelFile, "\"blk.0.attn_q.bias\" is neither");
    Lora::new("llama", 4.0)
        .tensor("output_norm.weight", Format::F32, &[WIDTH])
        .refused(ErrorKind::ModelFile, "has no tensor");
}

#[test]
fn an_adapter_is_no_model() {
    let gguf = Lora::new("llama", 4.0).everywhere(4).gguf();
    let error = Model::load(gguf).err().expect("an error");
    assert!(error.message().contains("is an adapter"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("--lora")), "{error}");
}
