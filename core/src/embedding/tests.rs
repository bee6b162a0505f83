use super::*;
use crate::model::encoder::tests::random_encoders;
use std::sync::atomic::{AtomicUsize, Ordering};

const POOLINGS: [Pooling; 4] = [Pooling::None, Pooling::Mean, Pooling::First, Pooling::Last];

fn never() -> bool {
    false
}

fn embedder(encoder: &Arc<Encoder>, options: EmbedderOptions) -> Embedder {
    Embedder::new(Arc::clone(encoder), options).unwrap()
}

/// Texts of these lengths.
fn texts(lengths: &[usize]) -> Vec<Vec<u32>> {
    let token = |text: usize, i: usize| ((text * 31 + i * 7 + i * i % 5) % 20) as u32;
    lengths.iter().enumerate().map(|(text, &length)| (0..length).map(|i| token(text, i)).collect()).collect()
}

fn slices(texts: &[Vec<u32>]) -> Vec<&[u32]> {
    texts.iter().map(Vec::as_slice).collect()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().all(|x| x.is_finite()));
    let difference = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn texts_in_one_pass_get_what_each_gets_alone() {
    let texts = texts(&[1, 2, 9, 33, 1, 31, 32, 64, 5, 300, 3, 65]);
    for encoder in random_encoders() {
        let mut alone = embedder(&encoder, EmbedderOptions::default());
        let expected: Vec<_> =
            texts.iter().map(|text| alone.embed(&[text], Pooling::Mean, &never).unwrap().remove(0)).collect();
        for (batch, threads) in [(512, 1), (512, 3), (40, 2), (1, 1)] {
            let mut together = embedder(&encoder, EmbedderOptions { batch, threads, ..EmbedderOptions::default() });
            for _ in 0..2 {
                let found = together.embed(&slices(&texts), Pooling::Mean, &never).unwrap();
                for (found, expected) in found.iter().zip(&expected) {
                    assert_close(found, expected);
                }
            }
        }
        assert!(expected.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

#[test]
fn more_short_texts_than_a_pass_has_blocks_for_are_all_embedded() {
    let texts = texts(&[1; 400]);
    for encoder in random_encoders() {
        let mut embedder = embedder(&encoder, EmbedderOptions::default());
        let found = embedder.embed(&slices(&texts), Pooling::First, &never).unwrap();
        assert_eq!(found.len(), 400);
        for (text, found) in texts.iter().zip(&found).step_by(37) {
            assert_close(found, &embedder.embed(&[text], Pooling::First, &never).unwrap()[0]);
        }
        assert!(embedder.embed(&[], Pooling::Mean, &never).unwrap().is_empty());
    }
}

#[test]
fn every_token_sees_the_whole_text() {
    for encoder in random_encoders() {
        let mut embedder = embedder(&encoder, EmbedderOptions::default());
        let mut first = |text: &[u32]| embedder.embed(&[text], Pooling::First, &never).unwrap().remove(0);
        assert_ne!(first(&[1, 2, 3]), first(&[1, 2, 4]));
        assert_ne!(first(&[1, 2, 3]), first(&[1, 3, 2]));
    }
}

#[test]
fn poolings_are_of_the_states_of_all_tokens() {
    let text = texts(&[21]).remove(0);
    for encoder in random_encoders() {
        let width = encoder.config().embedding_length;
        let mut embedder = embedder(&encoder, EmbedderOptions::default());
        let [all, mean, first, last] =
            POOLINGS.map(|pooling| embedder.embed(&[&text], pooling, &never).unwrap().remove(0));
        assert_eq!(all.len(), 21 * width);
        assert_eq!((&first[..], &last[..]), (&all[..width], &all[20 * width..]));
        let expected: Vec<f32> = (0..width).map(|i| all.iter().skip(i).step_by(width).sum::<f32>() / 21.0).collect();
        assert_close(&mean, &expected);
    }
}

#[test]
fn every_instruction_set_gives_the_same_embeddings() {
    let text = texts(&[70]).remove(0);
    for encoder in random_encoders() {
        let run = |isa| {
            let mut embedder = embedder(&encoder, EmbedderOptions { isa, ..EmbedderOptions::default() });
            embedder.embed(&[&text], Pooling::None, &never).unwrap().remove(0)
        };
        let expected = run(Isa::SCALAR);
        for isa in Isa::available() {
            assert_close(&run(isa), &expected);
        }
    }
}

#[test]
fn a_text_that_is_too_long_is_refused_with_both_numbers() {
    let text = texts(&[601]).remove(0);
    for encoder in random_encoders() {
        let mut whole = embedder(&encoder, EmbedderOptions { context_length: 9000, ..EmbedderOptions::default() });
        assert_eq!(whole.options().context_length, 600);
        let error = whole.embed(&[&[1], &text], Pooling::Mean, &never).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ContextFull);
        assert!(error.message().contains("601") && error.message().contains("600"), "{error}");
        assert!(whole.embed(&[&text[..600]], Pooling::Mean, &never).is_ok());
        let mut short = embedder(&encoder, EmbedderOptions { context_length: 10, ..EmbedderOptions::default() });
        assert!(short.embed(&[&text[..11]], Pooling::Mean, &never).unwrap_err().message().contains("10"));
    }
}

#[test]
fn empty_texts_and_unknown_tokens_are_refused() {
    for encoder in random_encoders() {
        let mut embedder = embedder(&encoder, EmbedderOptions::default());
        for text in [&[][..], &[1, 20]] {
            let error = embedder.embed(&[&[1], text], Pooling::Mean, &never).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
        for options in [
            EmbedderOptions { batch: 0, ..EmbedderOptions::default() },
            EmbedderOptions { threads: 0, ..EmbedderOptions::default() },
        ] {
            assert!(Embedder::new(Arc::clone(&encoder), options).is_err());
        }
    }
}

#[test]
fn an_interruption_stops_within_a_layer_and_leaves_the_embedder_usable() {
    let texts = texts(&[30, 40]);
    for encoder in random_encoders() {
        let mut embedder = embedder(&encoder, EmbedderOptions::default());
        let expected = embedder.embed(&slices(&texts), Pooling::Mean, &never).unwrap();
        let asked = AtomicUsize::new(0);
        let interrupted = || asked.fetch_add(1, Ordering::Relaxed) >= 3;
        let error = embedder.embed(&slices(&texts), Pooling::Mean, &interrupted).unwrap_err();
        assert_eq!((error.kind(), asked.into_inner()), (ErrorKind::Interrupted, 4));
        assert_eq!(embedder.embed(&slices(&texts), Pooling::Mean, &never).unwrap(), expected);
    }
}
