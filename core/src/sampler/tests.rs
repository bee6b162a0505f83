//! Claims about each filter on small vectors, and about the distribution that is drawn.

use super::*;
use crate::ErrorKind;

/// Logits whose softmax is exactly these shares.
fn logits(shares: &[f32]) -> Vec<f32> {
    shares.iter().map(|share| share.ln()).collect()
}

fn sampler(options: SamplerOptions) -> Sampler {
    Sampler::new(options).unwrap()
}

/// Tokens that are ever drawn, ascending.
fn support(options: SamplerOptions, logits: &[f32]) -> Vec<u32> {
    let mut sampler = sampler(options);
    let mut seen: Vec<u32> = (0..4000).map(|_| sampler.sample(logits)).collect();
    seen.sort_unstable();
    seen.dedup();
    seen
}

const SHARES: [f32; 5] = [0.1, 0.4, 0.05, 0.25, 0.2];

#[test]
fn greedy_takes_the_best_token_and_of_equal_ones_the_smallest() {
    let mut greedy = sampler(SamplerOptions::greedy());
    assert_eq!(greedy.sample(&[0.0, 3.0, 3.0, -1.0]), 1);
    assert_eq!(greedy.sample(&[f32::NAN, -3.0]), 1);
    assert_eq!(greedy.sample(&[f32::NAN, f32::NEG_INFINITY]), 0);
}

#[test]
fn greedy_takes_the_same_token_whether_or_not_others_are_changed() {
    let values = [-0.0, 0.0, f32::NAN, f32::INFINITY, f32::MAX, f32::NEG_INFINITY, -1.5, 1.5, f32::MIN_POSITIVE];
    let changed = SamplerOptions { logit_bias: vec![(u32::MAX, 1.0)], ..SamplerOptions::greedy() };
    for length in (1..40).chain([255, 256, 257, 511, 512, 513, 2048]) {
        for step in 1..30 {
            let logits: Vec<f32> = (0..length).map(|i| values[(i * step + i / 7) % values.len()]).collect();
            let expected = sampler(changed.clone()).sample(&logits);
            assert_eq!(sampler(SamplerOptions::greedy()).sample(&logits), expected, "{length} logits, step {step}");
        }
    }
}

#[test]
fn each_filter_keeps_exactly_its_tokens() {
    let base = SamplerOptions::default;
    let logits = logits(&SHARES);
    assert_eq!(support(base(), &logits), [0, 1, 2, 3, 4]);
    assert_eq!(support(SamplerOptions { top_k: 2, ..base() }, &logits), [1, 3]);
    assert_eq!(support(SamplerOptions { top_k: 9, ..base() }, &logits), [0, 1, 2, 3, 4]);
    assert_eq!(support(SamplerOptions { top_p: 0.6, ..base() }, &logits), [1, 3]);
    assert_eq!(support(SamplerOptions { top_p: 0.7, ..base() }, &logits), [1, 3, 4]);
    assert_eq!(support(SamplerOptions { top_p: 0.0, ..base() }, &logits), [1]);
    assert_eq!(support(SamplerOptions { min_p: 0.45, ..base() }, &logits), [1, 3, 4]);
    assert_eq!(support(SamplerOptions { min_p: 7.0, ..base() }, &logits), [1]);
    // The expected surprise is 1.415 nats; 0.25 has 1.386, 0.2 has 1.609, 0.4 has 0.916, 0.1 has 2.303.
    assert_eq!(support(SamplerOptions { typical_p: 0.2, ..base() }, &logits), [3]);
    assert_eq!(support(SamplerOptions { typical_p: 0.3, ..base() }, &logits), [3, 4]);
    assert_eq!(support(SamplerOptions { typical_p: 0.5, ..base() }, &logits), [1, 3, 4]);
    assert_eq!(support(SamplerOptions { typical_p: 0.9, ..base() }, &logits), [0, 1, 3, 4]);
}

#[test]
fn filters_compose_in_the_order_of_the_chain() {
    // top_k 3 leaves 0.4, 0.25, 0.2 = 0.47, 0.29, 0.24 of the rest; top_p 0.75 then keeps two.
    let options = SamplerOptions { top_k: 3, top_p: 0.75, ..SamplerOptions::default() };
    assert_eq!(support(options, &logits(&SHARES)), [1, 3]);
}

#[test]
fn top_p_of_a_large_vocabulary_equals_a_full_sort() {
    let logits: Vec<f32> = (0..20_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) % 20_000) as f32 / 2500.0).collect();
    let total: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    for share in [0.001, 0.02, 0.5, 0.99] {
        let mut sum = 0.0;
        let kept = order.iter().position(|&i| {
            sum += f64::from(logits[i]).exp() / total;
            sum >= f64::from(share)
        });
        let mut candidates = Candidates::default();
        candidates.set(&logits);
        candidates.top_p(share);
        let expected: Vec<u32> = order[..=kept.unwrap()].iter().map(|&i| i as u32).collect();
        assert_eq!(candidates.tokens(), expected, "{share}");
    }
}

/// Pearson's statistic of `draws` samples against the shares that are expected.
fn chi_square(options: SamplerOptions, logits: &[f32], expected: &[f64], draws: u32) -> f64 {
    let mut counts = vec![0_u32; logits.len()];
    let mut sampler = sampler(options);
    for _ in 0..draws {
        counts[sampler.sample(logits) as usize] += 1;
    }
    let terms = counts.iter().zip(expected).filter(|(_, share)| **share > 0.0).map(|(&count, share)| {
        let mean = share * f64::from(draws);
        (f64::from(count) - mean).powi(2) / mean
    });
    assert!(counts.iter().zip(expected).all(|(&count, share)| count == 0 || *share > 0.0));
    terms.sum()
}

#[test]
fn the_distribution_is_the_softmax_at_the_temperature() {
    // 99.9 % of honest samplers stay below 18.47 with four degrees of freedom.
    let expected = SHARES.map(f64::from);
    let options = SamplerOptions { seed: 11, ..SamplerOptions::default() };
    assert!(chi_square(options.clone(), &logits(&SHARES), &expected, 100_000) < 18.47);
    // A wrong temperature is found out.
    let warm = SamplerOptions { temperature: 1.1, ..options };
    assert!(chi_square(warm.clone(), &logits(&SHARES), &expected, 100_000) > 18.47);
    let powers = expected.map(|share| share.powf(1.0 / 1.1));
    let total: f64 = powers.iter().sum();
    assert!(chi_square(warm, &logits(&SHARES), &powers.map(|power| power / total), 100_000) < 18.47);
}

#[test]
fn what_a_filter_leaves_is_drawn_in_proportion() {
    let options = SamplerOptions { top_k: 3, seed: 5, ..SamplerOptions::default() };
    let expected = [0.0, 0.4 / 0.85, 0.0, 0.25 / 0.85, 0.2 / 0.85];
    assert!(chi_square(options, &logits(&SHARES), &expected, 100_000) < 13.82);
}

#[test]
fn the_same_seed_gives_the_same_tokens_and_another_seed_others() {
    let draw = |seed| {
        let mut sampler = sampler(SamplerOptions { seed, ..SamplerOptions::default() });
        (0..32).map(|_| sampler.sample(&logits(&SHARES))).collect::<Vec<u32>>()
    };
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
    // Pinned: a change here changes every user's seeded text.
    assert_eq!(draw(42)[..8], [4, 1, 4, 3, 3, 3, 1, 3]);
}

#[test]
fn penalties_follow_the_counts_in_the_window() {
    let options = SamplerOptions {
        repeat_penalty: 2.0,
        frequency_penalty: 0.5,
        presence_penalty: 0.25,
        penalty_last_n: 3,
        ..SamplerOptions::default()
    };
    let mut penalties = Penalties::new(&options);
    for token in [0, 1, 1, 2] {
        penalties.accept(token);
    }
    let mut candidates = Candidates::default();
    candidates.set(&[4.0, 4.0, -4.0, 4.0]);
    penalties.apply(&mut candidates);
    // Token 0 has left the window; 1 counts twice; a negative logit is multiplied.
    assert_eq!(candidates.logits(), [4.0, 2.0 - 1.0 - 0.25, -8.0 - 0.5 - 0.25, 4.0]);
}

#[test]
fn a_window_of_zero_switches_penalties_off_and_the_largest_sees_everything() {
    let greedy = |penalty_last_n| {
        let options = SamplerOptions { repeat_penalty: 3.0, penalty_last_n, ..SamplerOptions::greedy() };
        let mut sampler = sampler(options);
        sampler.accept(1);
        for _ in 0..500 {
            sampler.accept(2);
        }
        sampler.sample(&[1.0, 2.0, 0.0])
    };
    assert_eq!(greedy(0), 1);
    assert_eq!(greedy(64), 1);
    assert_eq!(greedy(usize::MAX), 0);
}

#[test]
fn logit_bias_forbids_forces_and_ignores_tokens_beyond_the_vocabulary() {
    let biased = |logit_bias| SamplerOptions { logit_bias, ..SamplerOptions::default() };
    let logits = logits(&SHARES);
    assert_eq!(support(biased(vec![(1, f32::NEG_INFINITY), (9, 5.0)]), &logits), [0, 2, 3, 4]);
    assert_eq!(support(biased(vec![(2, 100.0)]), &logits), [2]);
    assert_eq!(support(biased(vec![(2, f32::INFINITY)]), &logits), [2]);
}

#[test]
fn broken_logits_never_panic_and_are_never_chosen() {
    let nan = f32::NAN;
    let cases: [&[f32]; 5] =
        [&[nan, 1.0, nan], &[f32::INFINITY, nan, 0.0], &[nan, nan], &[f32::NEG_INFINITY; 3], &[f32::MAX, f32::MIN]];
    for logits in cases {
        for (typical_p, top_p, min_p, top_k) in [(1.0, 1.0, 0.0, 0), (0.5, 0.9, 0.1, 2), (0.0, 0.0, 1.0, 1)] {
            let mirostat = (top_k == 2).then_some(Mirostat { tau: 5.0, eta: 0.1 });
            let options = SamplerOptions { top_k, top_p, min_p, typical_p, mirostat, ..SamplerOptions::default() };
            let token = sampler(options).sample(logits) as usize;
            assert!(token < logits.len());
            assert!(!logits[token].is_nan() || logits.iter().all(|x| x.is_nan()), "{logits:?}");
        }
    }
    assert_eq!(sampler(SamplerOptions::default()).sample(&[]), 0);
}

#[test]
fn a_tiny_temperature_is_greedy_and_does_not_overflow() {
    let options = SamplerOptions { temperature: 1e-30, ..SamplerOptions::default() };
    assert_eq!(support(options, &[100.0, 100.1, 99.0]), [1]);
}

#[test]
fn mirostat_brings_the_surprise_to_its_target() {
    let logits: Vec<f32> = (0..1000).map(|i| -0.02 * i as f32).collect();
    for tau in [2.0_f32, 4.0] {
        let options = SamplerOptions { mirostat: Some(Mirostat { tau, eta: 0.1 }), ..SamplerOptions::default() };
        let mut sampler = sampler(options);
        for _ in 0..500 {
            sampler.sample(&logits);
        }
        let mut seen: Vec<u32> = (0..500).map(|_| sampler.sample(&logits)).collect();
        seen.sort_unstable();
        seen.dedup();
        // Tokens are about equally likely here, so a surprise of tau bits means a choice among 2^tau of them.
        let expected = tau.exp2();
        assert!((expected * 0.75..expected * 2.0).contains(&(seen.len() as f32)), "{tau}: {}", seen.len());
    }
}

#[test]
fn log_probabilities_are_the_models_own() {
    let found = log_probabilities(&logits(&SHARES), 4, 2);
    assert!((found.chosen - 0.2_f32.ln()).abs() < 1e-6);
    let top: Vec<u32> = found.top.iter().map(|(token, _)| *token).collect();
    assert_eq!(top, [1, 3]);
    assert!((found.top[0].1 - 0.4_f32.ln()).abs() < 1e-6);
    assert_eq!(log_probabilities(&[0.0, f32::NAN], 1, 9).chosen, f32::NEG_INFINITY);
    assert_eq!(log_probabilities(&[0.0], 7, 0).top, []);
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let base = SamplerOptions::default;
    let cases = [
        ("temperature", SamplerOptions { temperature: f32::NAN, ..base() }),
        ("top_p", SamplerOptions { top_p: f32::INFINITY, ..base() }),
        ("repeat_penalty", SamplerOptions { repeat_penalty: 0.0, ..base() }),
        ("logit_bias", SamplerOptions { logit_bias: vec![(3, f32::NAN)], ..base() }),
        ("mirostat", SamplerOptions { mirostat: Some(Mirostat { tau: 5.0, eta: 0.0 }), ..base() }),
    ];
    for (name, options) in cases {
        let error = Sampler::new(options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains(name), "{error}");
    }
}

/// A mask of these tokens.
fn mask(tokens: &[u32], bytes: usize) -> Vec<u8> {
    let mut mask = vec![0; bytes];
    for &token in tokens {
        mask[token as usize / 8] |= 1 << (token % 8);
    }
    mask
}

#[test]
fn a_token_outside_the_mask_is_never_chosen_whatever_the_options() {
    let logits: Vec<f32> = (0..300).map(|i| (i as f32 * 0.7).sin() * 4.0 + if i == 7 { 30.0 } else { 0.0 }).collect();
    let allowed = [0, 9, 63, 64, 65, 127, 128, 200, 299];
    let mask = mask(&allowed, 38);
    let base = SamplerOptions::default;
    for options in [
        SamplerOptions::greedy(),
        base(),
        SamplerOptions { logit_bias: vec![(7, 90.0), (64, 2.0)], ..base() },
        SamplerOptions { logit_bias: vec![(7, 90.0)], ..SamplerOptions::greedy() },
        SamplerOptions { repeat_penalty: 1.4, presence_penalty: -3.0, temperature: 3.0, ..base() },
        SamplerOptions { top_k: 3, top_p: 0.9, min_p: 0.05, typical_p: 0.8, ..base() },
        SamplerOptions { mirostat: Some(Mirostat { tau: 3.0, eta: 0.1 }), ..base() },
    ] {
        let mut sampler = sampler(options.clone());
        sampler.accept(7);
        for _ in 0..200 {
            let token = sampler.sample_allowed(&logits, &mask).unwrap();
            sampler.accept(token);
            assert!(allowed.contains(&token), "{token} with {options:?}");
        }
    }
}

#[test]
fn the_mask_of_all_tokens_changes_nothing() {
    let logits: Vec<f32> = (0..130).map(|i| (i as f32 * 1.3).cos() * 3.0).collect();
    for options in [
        SamplerOptions::greedy(),
        SamplerOptions { repeat_penalty: 1.3, top_k: 20, top_p: 0.9, ..SamplerOptions::default() },
        SamplerOptions { logit_bias: vec![(129, 4.0), (500, 9.0)], typical_p: 0.7, ..SamplerOptions::default() },
    ] {
        let (mut free, mut masked) = (sampler(options.clone()), sampler(options));
        for _ in 0..100 {
            let token = free.sample(&logits);
            assert_eq!(masked.sample_allowed(&logits, &[255; 40]).unwrap(), token);
            free.accept(token);
            masked.accept(token);
        }
    }
}

#[test]
fn penalties_and_biases_reach_the_tokens_of_a_mask() {
    let logits = [1.0, 5.0, 1.1, 1.2, 5.0];
    let mask = mask(&[0, 2, 3], 1);
    let choose = |options| {
        let mut sampler = sampler(options);
        sampler.accept(3);
        sampler.sample_allowed(&logits, &mask).unwrap()
    };
    assert_eq!(choose(SamplerOptions::greedy()), 3);
    assert_eq!(choose(SamplerOptions { presence_penalty: 1.0, ..SamplerOptions::greedy() }), 2);
    assert_eq!(choose(SamplerOptions { logit_bias: vec![(0, 0.5)], ..SamplerOptions::greedy() }), 0);
}

#[test]
fn of_equal_tokens_in_a_mask_the_smallest_is_taken_and_nan_last() {
    let logits = [f32::NAN, 2.0, 2.0, f32::NAN, 2.0];
    let mut greedy = sampler(SamplerOptions::greedy());
    assert_eq!(greedy.sample_allowed(&logits, &mask(&[0, 2, 4], 1)).unwrap(), 2);
    assert_eq!(greedy.sample_allowed(&logits, &mask(&[3], 1)).unwrap(), 3);
}

#[test]
fn a_mask_without_a_token_is_refused_and_a_short_one_lacks_the_rest() {
    let logits = vec![0.0; 100];
    for options in [SamplerOptions::greedy(), SamplerOptions::default()] {
        let mut sampler = sampler(options);
        assert_eq!(sampler.sample_allowed(&logits, &mask(&[9], 2)).unwrap(), 9);
        for none in [&[][..], &[0; 13], &[0, 0], &mask(&[100, 103], 13)] {
            assert_eq!(sampler.sample_allowed(&logits, none).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }
}
