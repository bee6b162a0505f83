//! Speed of every matrix kernel as a share of what the machine can do, both measured in turn in one process.
//!
//! `cargo run --release -p edgewise-core --example kernel_bench -- [--isa NAME] [--threads N] [--formats a,b] [--tokens 1,4,512]`
//!
//! Up to 9 tokens the share is that of the read bandwidth (GB/s of weights), from 10 on that of the int8 peak (GMAC/s).
//! The first figures are the medians of many short rounds; the last is the best round over the best ceiling, which is
//! what remains meaningful on a machine that others use too.

use std::time::Instant;

use edgewise_core::formats::{Format, dequantize};
use edgewise_core::isa::{Isa, Pool};
use edgewise_core::kernels::{Activations, Matrix, ceilings, matmul};

const ROUNDS: usize = 101;
const COLUMNS: usize = 2048;
const DECODE_ROWS: usize = 8192;
const PREFILL_ROWS: usize = 1024;
/// Weights are read round and round from so many bytes, which no cache holds.
const WORKING_SET_BYTES: usize = 256 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| arguments.iter().position(|a| a == name).and_then(|i| arguments.get(i + 1)).cloned();
    let isa = option("--isa").map_or_else(Isa::detect, |name| Isa::named(&name).expect("an instruction set"));
    let threads = option("--threads").map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        |threads| threads.parse().expect("a number of threads"),
    );
    let chosen = option("--formats").unwrap_or_else(|| "q4_k,q6_k,q8_0,q4_0".to_owned());
    let tokens = option("--tokens").unwrap_or_else(|| "1,4,64,512".to_owned());
    let pool = Pool::new(threads);
    println!("{}, {threads} threads, {COLUMNS} columns", isa.name());
    for name in chosen.split(',') {
        let format = Format::from_name(name).expect("a format");
        let weights = weights(format);
        for tokens in tokens.split(',') {
            measure(&pool, isa, format, &weights, tokens.parse().expect("a number of tokens"));
        }
    }
}

/// Blocks with finite values, over and over.
fn weights(format: Format) -> Vec<u8> {
    let (mut blocks, mut state) = (Vec::new(), 1_u32);
    let mut block = vec![0; format.block_bytes()];
    let mut values = vec![0.0; format.block_values()];
    while blocks.len() < 1 << 16 {
        for byte in &mut block {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        dequantize(format, &block, &mut values).expect("a supported format");
        if values.iter().all(|x: &f32| x.is_finite() && x.abs() < 1e3) {
            blocks.extend_from_slice(&block);
        }
    }
    let matrix_bytes = DECODE_ROWS * format.row_bytes(COLUMNS).expect("whole blocks");
    let count = (WORKING_SET_BYTES / matrix_bytes).max(1);
    blocks.iter().copied().cycle().take(count * matrix_bytes).collect()
}

fn measure(pool: &Pool, isa: Isa, format: Format, weights: &[u8], tokens: usize) {
    let decode = tokens < 10;
    let rows = if decode { DECODE_ROWS } else { PREFILL_ROWS };
    let x: Vec<f32> = (0..tokens * COLUMNS).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut activations = Activations::new();
    activations.set(pool, isa, &x, COLUMNS, &[format]);
    let mut out = vec![0.0; tokens * rows];
    let matrix_bytes = rows * format.row_bytes(COLUMNS).expect("whole blocks");
    let mut matrices = weights.chunks_exact(matrix_bytes).cycle();
    let (mut speeds, mut ceilings, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let ceiling = if decode {
            ceilings::read_bandwidth(pool, isa, matrices.next().expect("a cycle does not end"))
        } else {
            ceilings::int8_peak(pool, isa)
        };
        let bytes = matrices.next().expect("a cycle does not end");
        let start = Instant::now();
        matmul(pool, isa, &Matrix { format, rows, columns: COLUMNS, bytes }, &activations, &mut out);
        let work = if decode { matrix_bytes } else { tokens * rows * COLUMNS };
        let speed = work as f64 / start.elapsed().as_secs_f64();
        if round > 0 {
            speeds.push(speed / 1e9);
            ceilings.push(ceiling / 1e9);
            shares.push(100.0 * speed / ceiling);
        }
    }
    for figures in [&mut speeds, &mut ceilings, &mut shares] {
        figures.sort_by(f64::total_cmp);
    }
    let (median, best) = (ROUNDS / 2, ROUNDS - 1);
    println!(
        "{format:>7} {tokens:4} tokens: {:7.1} {} = {:3.0} % of {}, best {:7.1} = {:3.0} % of {:.1}",
        speeds[median],
        if decode { "GB/s  " } else { "GMAC/s" },
        shares[median],
        if decode { "read bandwidth" } else { "int8 peak" },
        speeds[best],
        100.0 * speeds[best] / ceilings[best],
        ceilings[best],
    );
}
