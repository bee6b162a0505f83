use super::*;
use crate::gguf::Gguf;
use crate::model::tests::random_model;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) const PROMPT: [u32; 40] = [
    1, 403, 407, 261, 378, 312, 280, 5, 90, 101, 33, 271, 300, 44, 61, 72, 410, 211, 305, 306, 29, 7, 18, 500, 411,
    322, 123, 231, 312, 213, 132, 321, 400, 401, 402, 450, 3, 22, 9, 100,
];

/// The story model; a random one with as many tokens where the test data is absent (`EDGEWISE_TEST_DATA`).
pub(super) fn model() -> Arc<Model> {
    let data = std::env::var_os("EDGEWISE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
    let path = data.join("models/stories260k-f32.gguf");
    Arc::new(if path.exists() { Model::load(Arc::new(Gguf::open(&path).unwrap())).unwrap() } else { random_model(512) })
}

pub(super) fn options(format: CacheFormat) -> SessionOptions {
    SessionOptions { context_length: 128, keys: format, values: format, ..SessionOptions::default() }
}

pub(super) fn session(model: &Arc<Model>, options: SessionOptions) -> Session {
    Session::new(Arc::clone(model), options).unwrap()
}

pub(super) fn never() -> bool {
    false
}

pub(super) fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn prefill_gives_what_single_steps_give() {
    let model = model();
    // Floats in another order; where that turns the rounding of a key or value, a step of its format.
    for (format, tolerance) in [(CacheFormat::F32, 1e-3), (CacheFormat::F16, 2e-2), (CacheFormat::Q8_0, 3e-1)] {
        let mut steps = session(&model, options(format));
        let mut expected = Vec::new();
        for token in PROMPT {
            steps.evaluate(&[token], Logits::Last, &never).unwrap();
            expected.extend_from_slice(steps.logits());
        }
        for (batch, threads) in [(1, 1), (3, 2), (7, 3), (32, 1), (33, 2), (512, 2)] {
            let mut batched = session(&model, SessionOptions { batch, threads, ..options(format) });
            batched.evaluate(&PROMPT, Logits::All, &never).unwrap();
            let difference = largest_difference(batched.logits(), &expected);
            assert!(difference < tolerance, "batch {batch}, {}: {difference}", format.name());
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_logits() {
    let model = model();
    let run = |isa| {
        let mut session = session(&model, SessionOptions { isa, ..options(CacheFormat::F16) });
        session.evaluate(&PROMPT, Logits::All, &never).unwrap();
        session.logits().to_vec()
    };
    let expected = run(Isa::SCALAR);
    for isa in Isa::available() {
        let difference = largest_difference(&run(isa), &expected);
        assert!(difference < 0.05, "{}: {difference}", isa.name());
    }
}

#[test]
fn the_last_logits_are_the_last_of_all() {
    let model = model();
    let mut all = session(&model, options(CacheFormat::F32));
    all.evaluate(&PROMPT, Logits::All, &never).unwrap();
    let mut last = session(&model, options(CacheFormat::F32));
    last.evaluate(&PROMPT[..20], Logits::None, &never).unwrap();
    assert!(last.logits().is_empty());
    last.evaluate(&PROMPT[20..], Logits::Last, &never).unwrap();
    let vocabulary = model.config().vocabulary_size;
    assert_eq!(last.logits().len(), vocabulary);
    let expected = &all.logits()[(PROMPT.len() - 1) * vocabulary..];
    assert!(largest_difference(last.logits(), expected) < 1e-3);
}

#[test]
fn after_truncation_a_session_goes_on_like_a_fresh_one() {
    let model = model();
    let mut fresh = session(&model, options(CacheFormat::F32));
    fresh.evaluate(&PROMPT[..25], Logits::Last, &never).unwrap();
    let mut used = session(&model, options(CacheFormat::F32));
    used.evaluate(&PROMPT, Logits::Last, &never).unwrap();
    used.truncate(20);
    assert!(used.logits().is_empty());
    used.evaluate(&PROMPT[20..25], Logits::Last, &never).unwrap();
    assert_eq!(used.tokens(), fresh.tokens());
    assert!(largest_difference(used.logits(), fresh.logits()) < 1e-3);
}

#[test]
fn a_saved_session_goes_on_where_it_stopped() {
    let model = model();
    for format in [CacheFormat::F32, CacheFormat::F16, CacheFormat::Q8_0] {
        let mut original = session(&model, options(format));
        original.evaluate(&PROMPT[..37], Logits::Last, &never).unwrap();
        let state = original.save().unwrap();
        let mut restored = session(&model, options(format));
        restored.evaluate(&[5; 50], Logits::None, &never).unwrap();
        restored.restore(&state).unwrap();
        assert_eq!((restored.tokens(), restored.logits()), (original.tokens(), original.logits()));
        for session in [&mut original, &mut restored] {
            session.evaluate(&PROMPT[37..], Logits::Last, &never).unwrap();
        }
        assert_eq!(restored.logits(), original.logits());
    }
}

#[test]
fn an_empty_session_is_saved_and_restored() {
    let model = model();
    let empty = session(&model, options(CacheFormat::F16)).save().unwrap();
    let mut restored = session(&model, options(CacheFormat::F16));
    restored.evaluate(&PROMPT, Logits::Last, &never).unwrap();
    restored.restore(&empty).unwrap();
    assert!(restored.is_empty());
    restored.evaluate(&PROMPT, Logits::Last, &never).unwrap();
}

#[test]
fn an_interrupted_embedding_gives_its_room_back() {
    let model = model();
    let mut session = session(&model, SessionOptions { context_length: 64, ..options(CacheFormat::F16) });
    assert!(session.embed(Session::MAIN, &PROMPT, Pooling::Mean, &|| true).is_err());
    let (other, _) = session.begin(&[], "");
    let whole = [7; 64];
    session.step(&[Work { sequence: other, tokens: &whole, wanted: Logits::Last }], &never).unwrap();
}

#[test]
fn damaged_and_foreign_states_are_refused_and_change_nothing() {
    let model = model();
    let mut original = session(&model, options(CacheFormat::Q8_0));
    original.evaluate(&PROMPT[..5], Logits::Last, &never).unwrap();
    let state = original.save().unwrap();
    let mut target = session(&model, options(CacheFormat::Q8_0));
    target.evaluate(&PROMPT[..3], Logits::Last, &never).unwrap();
    let before = target.save().unwrap();
    let refused = |target: &mut Session, state: &[u8]| {
        assert_eq!(target.restore(state).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(target.save().unwrap(), before);
    };
    for cut in (0..state.len()).step_by(97).chain([state.len() - 1]) {
        refused(&mut target, &state[..cut]);
    }
    for at in (0..state.len()).step_by(101).chain(0..60) {
        let mut damaged = state.clone();
        damaged[at] ^= 0x40;
        refused(&mut target, &damaged);
    }
    let mut other_format = session(&model, options(CacheFormat::F16));
    assert!(other_format.restore(&state).unwrap_err().message().contains("other formats"));
    let mut short = session(&model, SessionOptions { context_length: 4, ..options(CacheFormat::Q8_0) });
    assert!(short.restore(&state).unwrap_err().message().contains("exceed the context window"));
}

#[test]
fn an_interruption_keeps_the_chunks_that_were_finished() {
    let model = model();
    let mut session = session(&model, SessionOptions { batch: 16, ..options(CacheFormat::F32) });
    session.evaluate(&PROMPT[..2], Logits::Last, &never).unwrap();
    let asked = AtomicUsize::new(0);
    // A layer asks five times, the last one twice where no logits are wanted: this stops within the second chunk.
    let per_chunk = 5 * (model.config().block_count - 1) + 2;
    let interrupted = || asked.fetch_add(1, Ordering::Relaxed) > per_chunk + per_chunk / 2;
    let error = session.evaluate(&PROMPT, Logits::Last, &interrupted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(session.logits().is_empty());
    assert_eq!(session.len(), 2 + 16);
    session.evaluate(&PROMPT[16..], Logits::Last, &never).unwrap();
    let after_interruption = session.logits().to_vec();
    session.truncate(2);
    session.evaluate(&PROMPT, Logits::Last, &never).unwrap();
    assert!(largest_difference(session.logits(), &after_interruption) < 1e-3);
}

#[test]
fn too_many_tokens_and_unknown_tokens_are_refused_and_change_nothing() {
    let model = model();
    let mut session = session(&model, SessionOptions { context_length: 41, ..options(CacheFormat::F16) });
    session.evaluate(&PROMPT, Logits::Last, &never).unwrap();
    let error = session.evaluate(&[1, 2], Logits::Last, &never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContextFull);
    let vocabulary = model.config().vocabulary_size as u32;
    let error = session.evaluate(&[vocabulary], Logits::Last, &never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(session.tokens(), PROMPT);
    assert!(!session.logits().is_empty());
    session.evaluate(&[1], Logits::Last, &never).unwrap();
    assert_eq!(session.len(), 41);
}

#[test]
fn embeddings_pool_the_last_or_all_hidden_states() {
    let model = model();
    let embed = |tokens: &[u32], pooling, batch| {
        let mut session = session(&model, SessionOptions { batch, ..options(CacheFormat::F32) });
        session.embed(Session::MAIN, tokens, pooling, &never).unwrap()
    };
    let mut mean = vec![0.0; model.config().embedding_length];
    for length in 1..=PROMPT.len() {
        for (sum, x) in mean.iter_mut().zip(embed(&PROMPT[..length], Pooling::Last, 512)) {
            *sum += x / PROMPT.len() as f32;
        }
    }
    for batch in [7, 512] {
        assert!(largest_difference(&embed(&PROMPT, Pooling::Mean, batch), &mean) < 1e-3);
    }
}

#[test]
fn a_cache_larger_than_the_address_space_is_an_error_with_the_context_asked_for() {
    let model = model();
    for context_length in [1 << 50, usize::MAX / 2] {
        let options = SessionOptions { context_length, ..options(CacheFormat::F16) };
        let error = Session::new(Arc::clone(&model), options).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.message().contains(&context_length.to_string()), "{error}");
    }
}

#[test]
fn importances_are_collected_from_when_they_are_asked_for() {
    let model = model();
    let mut session = session(&model, options(CacheFormat::F16));
    session.embed(Session::MAIN, &PROMPT, Pooling::Mean, &never).unwrap();
    assert!(session.importances().unwrap().is_empty());
    session.collect_importances();
    session.truncate(0);
    session.embed(Session::MAIN, &PROMPT, Pooling::Mean, &never).unwrap();
    let once = session.importances().unwrap();
    assert_eq!(once.len(), 7 * model.config().block_count);
    for found in &once {
        let inner = if found.tensor.contains("ffn_down") { model.config().feed_forward_length } else { 64 };
        assert_eq!((found.sums.len(), found.tokens), (inner, PROMPT.len()), "{}", found.tensor);
        assert!(found.sums.iter().all(|&sum| sum > 0.0), "{}", found.tensor);
    }
    session.truncate(0);
    session.embed(Session::MAIN, &PROMPT, Pooling::Mean, &never).unwrap();
    for (twice, once) in session.importances().unwrap().iter().zip(&once) {
        assert_eq!(twice.tokens, 2 * once.tokens);
        assert!(twice.sums.iter().zip(&once.sums).all(|(twice, once)| (twice / once - 2.0).abs() < 1e-3));
    }
    session.collect_importances();
    assert!(session.importances().unwrap().is_empty());
}

#[test]
fn surprises_are_those_of_the_logits_of_the_last_step() {
    let model = model();
    let mut session = session(&model, options(CacheFormat::F16));
    session.evaluate(&PROMPT[..39], Logits::All, &never).unwrap();
    let found = session.surprises(Session::MAIN, &PROMPT[1..]).unwrap();
    let expected = crate::sampler::log_probabilities(&session.logits()[..model.config().vocabulary_size], PROMPT[1], 0);
    assert!((found[0] + f64::from(expected.chosen)).abs() < 1e-5);
    let itself = session.compare(session.logits(), &PROMPT[1..]).unwrap();
    assert!(itself.iter().zip(&found).all(|(c, &x)| c.surprise == x && c.divergence.abs() < 1e-6 && c.has_same_top));
    assert!(session.surprises(Session::MAIN, &PROMPT).is_err());
}
