use super::*;
use crate::model::kv_cache::{CacheFormat, KvCache};

struct Case {
    heads: usize,
    group: usize,
    length: usize,
    /// Positions before the tokens that attend.
    past: usize,
    tokens: usize,
    is_causal: bool,
    window: Option<usize>,
    soft_cap: Option<f32>,
}

fn noise(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) as f32 * 0.618).sin()).collect()
}

/// Attention as the formula has it, in f64.
fn expected(case: &Case, queries: &[f32], keys: &[f32], values: &[f32], scale: f32) -> Vec<f64> {
    let (width, length) = (case.heads * case.length, case.length);
    let mut out = Vec::new();
    for token in 0..case.tokens {
        let position = case.past + token;
        let start = case.window.map_or(0, |window| (position + 1).saturating_sub(window));
        for head in 0..case.heads * case.group {
            let query = &queries[(token * case.heads * case.group + head) * length..][..length];
            let at =
                |x: &[f32], position: usize, i: usize| f64::from(x[position * width + head / case.group * length + i]);
            let end = if case.is_causal { position + 1 } else { case.past + case.tokens };
            let weights: Vec<f64> = (start..end)
                .map(|position| {
                    let score: f64 = (0..length).map(|i| f64::from(query[i]) * at(keys, position, i)).sum();
                    let score = score * f64::from(scale);
                    let cap = case.soft_cap.map(f64::from);
                    cap.map_or(score, |cap| cap * (score / cap).tanh()).exp()
                })
                .collect();
            let total: f64 = weights.iter().sum();
            for i in 0..length {
                let sum: f64 =
                    weights.iter().zip(start..).map(|(weight, position)| weight * at(values, position, i)).sum();
                out.push(sum / total);
            }
        }
    }
    out
}

fn check(case: &Case, format: CacheFormat, isa: Isa, threads: usize, tolerance: f64) {
    let (positions, width, scale) = (case.past + case.tokens, case.heads * case.length, 0.3);
    let queries = noise(1, case.tokens * width * case.group);
    let (keys, values) = (noise(2, positions * width), noise(3, positions * width));
    let pool = Pool::new(threads);
    let mut cache = KvCache::for_heads(1, case.heads, case.length, positions, format, format).unwrap();
    // Blocks from the last to the first.
    let blocks: Vec<u32> = (0..cache.block_count() as u32).rev().collect();
    let places: Vec<usize> = (0..positions).map(|i| blocks[i / BLOCK] as usize * BLOCK + i % BLOCK).collect();
    let (before, now) = places.split_at(case.past);
    cache.write(&pool, isa, 0, before, &keys[..case.past * width], &values[..case.past * width]);
    cache.write(&pool, isa, 0, now, &keys[case.past * width..], &values[case.past * width..]);
    let mut scratch = AttentionScratch::new(threads, case.length, case.group).unwrap();
    let mut out = vec![f32::NAN; queries.len()];
    let attention = Attention {
        heads: cache.layer(0),
        head_length: case.length,
        group: case.group,
        is_causal: case.is_causal,
        window: case.window,
        scale,
        soft_cap: case.soft_cap,
    };
    let segments = [Segment { blocks: &blocks, first: case.past, tokens: case.tokens }];
    attend(&pool, isa, &attention, &segments, &queries, &mut out, &mut scratch);
    for (i, (out, expected)) in out.iter().zip(expected(case, &queries, &keys, &values, scale)).enumerate() {
        let difference = (f64::from(*out) - expected).abs();
        assert!(difference < tolerance, "{} {} at {i}: {out}, not {expected}", isa.name(), format.name());
    }
}

const SMALL: Case =
    Case { heads: 2, group: 3, length: 8, past: 5, tokens: 4, is_causal: true, window: None, soft_cap: None };

#[test]
fn it_computes_the_formula_on_every_instruction_set_and_cache_format() {
    for isa in Isa::available() {
        for (format, tolerance) in [(CacheFormat::F32, 1e-5), (CacheFormat::F16, 1e-3), (CacheFormat::Q8_0, 2e-2)] {
            for length in [8, 48, 64, 80] {
                check(&Case { length, ..SMALL }, format, isa, 2, tolerance);
            }
        }
    }
}

#[test]
fn lengths_around_blocks_and_spans_are_exact() {
    for past in [0, 1, 31, 32, 33, 255, 256, 257, 700] {
        for tokens in [1, 2, 17] {
            check(&Case { past, tokens, ..SMALL }, CacheFormat::F32, Isa::detect(), 2, 1e-5);
        }
    }
}

#[test]
fn one_token_split_over_many_threads_is_merged() {
    for threads in [2, 5, 8] {
        let case = Case { heads: 1, group: 2, past: 5000, tokens: 1, ..SMALL };
        check(&case, CacheFormat::F16, Isa::detect(), threads, 1e-3);
        check(&Case { window: Some(4000), ..case }, CacheFormat::F16, Isa::detect(), threads, 1e-3);
    }
}

#[test]
fn a_window_hides_older_positions() {
    for window in [1, 2, 32, 33, 100, 300, 1000] {
        for tokens in [1, 20] {
            let case = Case { past: 400, tokens, window: Some(window), ..SMALL };
            check(&case, CacheFormat::F32, Isa::detect(), 2, 1e-5);
        }
    }
}

#[test]
fn groups_larger_than_a_tile_and_single_heads_work() {
    for group in [1, 2, 5, 16, 70] {
        check(&Case { group, tokens: 9, ..SMALL }, CacheFormat::F32, Isa::detect(), 2, 1e-5);
    }
}

#[test]
fn without_causality_every_token_sees_its_whole_segment() {
    for tokens in [1, 2, 8, 9, 31, 33, 64, 65, 300, 1100] {
        for threads in [1, 4] {
            let case = Case { past: 0, tokens, group: 1, is_causal: false, ..SMALL };
            check(&case, CacheFormat::F32, Isa::detect(), threads, 1e-5);
        }
    }
    for isa in Isa::available() {
        check(&Case { past: 7, tokens: 70, is_causal: false, ..SMALL }, CacheFormat::F32, isa, 2, 1e-5);
    }
}

#[test]
fn scores_are_capped() {
    check(&Case { soft_cap: Some(0.5), ..SMALL }, CacheFormat::F32, Isa::detect(), 1, 1e-5);
}
