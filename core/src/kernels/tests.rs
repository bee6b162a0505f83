//! Matrix products of every format, on every instruction set of this machine, against the dequantizers.

use super::*;
use crate::formats::{Format, dequantize};
use crate::isa::{Isa, Pool};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Roughly normal.
    fn float(&mut self) -> f32 {
        (0..4).map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32 - 0.5).sum()
    }
}

/// Bytes of `blocks` random blocks whose values are finite and of moderate size.
fn random_blocks(format: Format, blocks: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut block = vec![0; format.block_bytes()];
    let mut values = vec![0.0; format.block_values()];
    while bytes.len() < blocks * block.len() {
        for byte in &mut block {
            *byte = (random.next() >> 32) as u8;
        }
        dequantize(format, &block, &mut values).unwrap();
        let largest = values.iter().fold(0.0, |a: f32, x| a.max(x.abs()));
        if values.iter().all(|x| x.is_finite()) && (1e-3..1e3).contains(&largest) {
            bytes.extend_from_slice(&block);
        }
    }
    bytes
}

/// What the int8 form of the activations is defined to be.
fn rounded(x: &[f32], columns: usize, group: usize) -> Vec<f32> {
    let rows = x.chunks(columns);
    rows.flat_map(|row| row.chunks(group))
        .flat_map(|group| {
            let largest = group.iter().fold(0.0, |a: f32, x| a.max(x.abs()));
            group.iter().map(move |x| {
                if largest == 0.0 { 0.0 } else { (x * (127.0 / largest)).round_ties_even() * (largest / 127.0) }
            })
        })
        .collect()
}

struct Case {
    format: Format,
    rows: usize,
    columns: usize,
    tokens: usize,
}

fn check(case: &Case, pool: &Pool, isas: &[Isa]) {
    check_with(case, pool, isas, Random::float);
}

fn check_with(case: &Case, pool: &Pool, isas: &[Isa], activation: impl Fn(&mut Random) -> f32) {
    let &Case { format, rows, columns, tokens } = case;
    let mut random = Random(u64::from(format.id()) * 1000 + (rows * 7 + columns * 3 + tokens) as u64 + 1);
    let bytes = random_blocks(format, rows * columns / format.block_values(), &mut random);
    let mut weights = vec![0.0; rows * columns];
    dequantize(format, &bytes, &mut weights).unwrap();
    let x: Vec<f32> = (0..tokens * columns).map(|_| activation(&mut random)).collect();
    let exact = match format.block_values() {
        1 => x.clone(),
        32 => rounded(&x, columns, 32),
        _ => rounded(&x, columns, 256),
    };
    let matrix = Matrix { format, rows, columns, bytes: &bytes };
    for &isa in isas {
        let mut activations = Activations::new();
        activations.set(pool, isa, &x, columns, &[format]);
        let mut out = vec![f32::NAN; tokens * rows];
        matmul(pool, isa, &matrix, &activations, &mut out);
        for (t, (out, x)) in out.chunks(rows.max(1)).zip(exact.chunks(columns)).enumerate() {
            for (r, (&found, w)) in out.iter().zip(weights.chunks(columns)).enumerate() {
                let products = || w.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
                let (expected, magnitude) = (products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
                // Offsets are taken off after the sum, which costs some digits of the largest weight.
                let largest = f64::from(w.iter().fold(0.0, |a: f32, w| a.max(w.abs())));
                let total: f64 = x.iter().map(|x| f64::from(x.abs())).sum();
                let tolerance = 2e-6 * (magnitude + largest * total);
                assert!(
                    (f64::from(found) - expected).abs() <= tolerance,
                    "{format}, {}, {rows} x {columns}, {tokens} tokens: row {r}, token {t}: {found} for {expected}",
                    isa.name(),
                );
            }
        }
    }
}

fn supported() -> impl Iterator<Item = Format> {
    Format::ALL.iter().copied().filter(|format| format.is_supported())
}

#[test]
fn products_match_the_dequantizers_for_every_number_of_tokens() {
    let (pool, isas) = (Pool::new(2), Isa::available());
    for format in supported() {
        let columns = if format.block_values() == 256 { 512 } else { 256 + 96 };
        for tokens in (0..=20).chain([31, 33, 64, 70]) {
            check(&Case { format, rows: 37, columns, tokens }, &pool, &isas);
        }
    }
}

#[test]
fn products_match_the_dequantizers_for_activations_that_are_all_as_large() {
    let (pool, isas) = (Pool::new(2), Isa::available());
    for format in supported() {
        for tokens in [1, 4, 14] {
            let case = Case { format, rows: 40, columns: 512, tokens };
            check_with(&case, &pool, &isas, |_| 1.5);
            check_with(&case, &pool, &isas, |random| if random.next() % 2 == 0 { 1.5 } else { -1.5 });
        }
    }
}

#[test]
fn products_match_the_dequantizers_for_every_number_of_rows() {
    let (pool, isas) = (Pool::new(3), Isa::available());
    for format in supported() {
        for rows in [0, 1, 15, 16, 17, 31, 32, 33, 64, 100] {
            for tokens in [1, 2, 12] {
                check(&Case { format, rows, columns: 256, tokens }, &pool, &isas);
            }
        }
    }
}

#[test]
fn products_match_the_dequantizers_for_every_number_of_columns() {
    let (pool, isas) = (Pool::new(2), Isa::available());
    for format in supported() {
        let block = format.block_values();
        let lengths: &[usize] = match block {
            1 => &[1, 2, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1000],
            32 => &[1, 2, 3, 7, 8, 9, 15, 16, 17, 40],
            _ => &[1, 2, 3, 9],
        };
        for blocks in lengths {
            for tokens in [1, 3, 13] {
                check(&Case { format, rows: 19, columns: blocks * block, tokens }, &pool, &isas);
            }
        }
    }
}

#[test]
fn a_token_among_few_has_the_same_bits_as_alone_with_any_number_of_threads() {
    let (rows, columns) = (35, 512);
    let mut random = Random(11);
    let x: Vec<f32> = (0..9 * columns).map(|_| random.float()).collect();
    let pools = [1, 2, 3].map(Pool::new);
    for format in supported() {
        let bytes = random_blocks(format, rows * columns / format.block_values(), &mut random);
        let matrix = Matrix { format, rows, columns, bytes: &bytes };
        for isa in Isa::available() {
            let product = |pool: &Pool, x: &[f32]| {
                let mut activations = Activations::new();
                activations.set(pool, isa, x, columns, &[format]);
                let mut out = vec![f32::NAN; x.len() / columns * rows];
                matmul(pool, isa, &matrix, &activations, &mut out);
                out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let alone: Vec<u32> = x.chunks(columns).flat_map(|x| product(&pools[0], x)).collect();
            for (tokens, pool) in (1..=9).zip(pools.iter().cycle()) {
                let together = product(pool, &x[..tokens * columns]);
                assert_eq!(together, alone[..tokens * rows], "{format}, {}, {tokens} tokens", isa.name());
            }
        }
    }
}

#[test]
fn several_products_in_one_go_are_the_same_as_one_by_one() {
    let pool = Pool::new(3);
    let formats = [Format::Q4K, Format::Q6K, Format::F16, Format::Q8_0];
    let mut random = Random(5);
    for isa in Isa::available() {
        for tokens in [0, 1, 3, 21] {
            let x: Vec<f32> = (0..tokens * 512).map(|_| random.float()).collect();
            let mut activations = Activations::new();
            activations.set(&pool, isa, &x, 512, &formats);
            let rows = [70, 0, 5, 33];
            let bytes: Vec<_> = (formats.iter().zip(rows))
                .map(|(&format, rows)| random_blocks(format, rows * 512 / format.block_values(), &mut random))
                .collect();
            let matrices = || {
                (formats.iter().zip(rows).zip(&bytes)).map(|((&format, rows), bytes)| Matrix {
                    format,
                    rows,
                    columns: 512,
                    bytes,
                })
            };
            let mut one_by_one = Vec::new();
            for matrix in matrices() {
                let mut out = vec![f32::NAN; tokens * matrix.rows];
                matmul(&pool, isa, &matrix, &activations, &mut out);
                one_by_one.push(out);
            }
            let mut together: Vec<_> = one_by_one.iter().map(|out| vec![f32::NAN; out.len()]).collect();
            let mut products: Vec<_> = matrices().zip(together.iter_mut().map(|out| &mut out[..])).collect();
            matmul_all(&pool, isa, &mut products, &activations);
            assert_eq!(together, one_by_one, "{}, {tokens} tokens", isa.name());
        }
    }
}

#[test]
fn activations_serve_matrices_of_several_formats_and_are_reused() {
    let (pool, isas) = (Pool::new(2), Isa::available());
    let formats = [Format::Q4K, Format::Q8_0, Format::F16];
    let mut random = Random(3);
    for isa in isas {
        let mut activations = Activations::new();
        for tokens in [40, 1, 12, 3] {
            let x: Vec<f32> = (0..tokens * 256).map(|_| random.float()).collect();
            activations.set(&pool, isa, &x, 256, &formats);
            for format in formats {
                let bytes = random_blocks(format, 5 * 256 / format.block_values(), &mut random);
                let matrix = Matrix { format, rows: 5, columns: 256, bytes: &bytes };
                let mut out = vec![f32::NAN; tokens * 5];
                matmul(&pool, isa, &matrix, &activations, &mut out);
                let mut weights = vec![0.0; 5 * 256];
                dequantize(format, &bytes, &mut weights).unwrap();
                for (found, (x, w)) in
                    out.iter().zip(x.chunks(256).flat_map(|x| weights.chunks(256).map(move |w| (x, w))))
                {
                    let expected: f32 = x.iter().zip(w).map(|(x, w)| x * w).sum();
                    let size = (x.iter().map(|x| x * x).sum::<f32>() * w.iter().map(|w| w * w).sum::<f32>()).sqrt();
                    assert!((found - expected).abs() <= 0.02 * size, "{format}, {}: {found} {expected}", isa.name());
                }
            }
        }
    }
}

#[test]
fn zero_and_tiny_activations_give_zero() {
    let pool = Pool::new(1);
    for isa in Isa::available() {
        for format in supported() {
            let bytes = random_blocks(format, 256 / format.block_values(), &mut Random(9));
            for x in [0.0, 1e-42] {
                let mut activations = Activations::new();
                activations.set(&pool, isa, &[x; 256], 256, &[format]);
                let mut out = [f32::NAN];
                matmul(&pool, isa, &Matrix { format, rows: 1, columns: 256, bytes: &bytes }, &activations, &mut out);
                assert!(out[0].abs() < 1e-30, "{format}, {}: {}", isa.name(), out[0]);
            }
        }
    }
}

#[test]
fn a_row_is_dequantized_like_an_embedding() {
    let bytes: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let mut out = [0.0; 3];
    dequantize_row(&Matrix { format: Format::F32, rows: 2, columns: 3, bytes: &bytes }, 1, &mut out);
    assert_eq!(out, [3.0, 4.0, 5.0]);
}

#[test]
#[should_panic(expected = "set for a format of this kind")]
fn activations_must_be_set_for_the_format() {
    let pool = Pool::new(1);
    let mut activations = Activations::new();
    activations.set(&pool, Isa::SCALAR, &[0.0; 256], 256, &[Format::Q4_0]);
    let matrix = Matrix { format: Format::Q4K, rows: 1, columns: 256, bytes: &[0; 144] };
    matmul(&pool, Isa::SCALAR, &matrix, &activations, &mut [0.0]);
}
