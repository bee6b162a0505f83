//! Speed of every matrix kernel as a share of what the machine can do, both measured in turn in one process.
//!
//! `cargo run --release -p edgewise-core --example kernel_bench -- [--isa NAME] [--threads N] [--formats a,b] [--tokens 1,4,512]`
//!
//! Up to 9 tokens the share is that of the read bandwidth (GB/s of weights); `cached` is the same product with weights
//! that stay in the second-level cache, which is what the arithmetic allows. From 10 tokens on the share is that of the
//! int8 peak (GMAC/s); `rounding` is the time that the activations take, as a share of the product's time.
//! All figures are medians of many short rounds.

use std::time::Instant;

use edgewise_core::formats::{Format, dequantize};
use edgewise_core::isa::{Isa, Pool};
use edgewise_core::kernels::{Activations, Matrix, ceilings, matmul};

const ROUNDS: usize = 61;
const COLUMNS: usize = 2048;
const DECODE_ROWS: usize = 8192;
const PREFILL_ROWS: usize = 2048;
/// Weights are read round and round from so many bytes, which no cache holds.
const WORKING_SET_BYTES: usize = 1 << 30;
/// Weights of all threads together that stay in their second-level caches.
const CACHED_BYTES: usize = 512 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| arguments.iter().position(|a| a == name).and_then(|i| arguments.get(i + 1)).cloned();
    let isa = option("--isa").map_or_else(Isa::detect, |name| Isa::named(&name).expect("an instruction set"));
    let threads = option("--threads").map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        |threads| threads.parse().expect("a number of threads"),
    );
    let chosen = option("--formats").unwrap_or_else(|| "q4_k,q5_k,q6_k,q3_k,q4_0,q8_0".to_owned());
    let tokens = option("--tokens").unwrap_or_else(|| "1,2,4,8,64,256,1024".to_owned());
    let pool = Pool::new(threads);
    println!("{}, {threads} threads, {COLUMNS} columns", isa.name());
    for name in chosen.split(',') {
        let bench = Bench::new(&pool, isa, Format::from_name(name).expect("a format"));
        for tokens in tokens.split(',') {
            let tokens = tokens.parse().expect("a number of tokens");
            if tokens < 10 { bench.decode(tokens) } else { bench.prefill(tokens) }
        }
    }
}

struct Bench<'a> {
    pool: &'a Pool,
    isa: Isa,
    format: Format,
    weights: Vec<u8>,
}

impl<'a> Bench<'a> {
    /// Blocks with values of moderate size, over and over.
    fn new(pool: &'a Pool, isa: Isa, format: Format) -> Self {
        let (mut blocks, mut state) = (Vec::new(), 1_u32);
        let mut block = vec![0; format.block_bytes()];
        let mut values = vec![0.0; format.block_values()];
        while blocks.len() < 1 << 16 {
            for byte in &mut block {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (state >> 24) as u8;
            }
            dequantize(format, &block, &mut values).expect("a supported format");
            let largest = values.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
            if (1e-3..1e3).contains(&largest) && values.iter().all(|x| x.is_finite()) {
                blocks.extend_from_slice(&block);
            }
        }
        let matrix_bytes = DECODE_ROWS * format.row_bytes(COLUMNS).expect("whole blocks");
        let count = (WORKING_SET_BYTES / matrix_bytes).max(1);
        let weights = blocks.iter().copied().cycle().take(count * matrix_bytes).collect();
        Self { pool, isa, format, weights }
    }

    fn row_bytes(&self) -> usize {
        self.format.row_bytes(COLUMNS).expect("whole blocks")
    }

    /// Seconds of one product.
    fn product(&self, bytes: &[u8], activations: &Activations, out: &mut [f32]) -> f64 {
        let rows = bytes.len() / self.row_bytes();
        let matrix = Matrix { format: self.format, rows, columns: COLUMNS, bytes };
        let start = Instant::now();
        matmul(self.pool, self.isa, &matrix, activations, &mut out[..activations.tokens() * rows]);
        start.elapsed().as_secs_f64()
    }

    fn set(&self, tokens: usize, x: &[f32], activations: &mut Activations) -> f64 {
        let start = Instant::now();
        activations.set(self.pool, self.isa, &x[..tokens * COLUMNS], COLUMNS, &[self.format]);
        start.elapsed().as_secs_f64()
    }

    fn decode(&self, tokens: usize) {
        let (x, mut activations) = (activations(tokens), Activations::new());
        self.set(tokens, &x, &mut activations);
        let mut out = vec![0.0; tokens * DECODE_ROWS];
        let matrix_bytes = DECODE_ROWS * self.row_bytes();
        let cached = &self.weights[..CACHED_BYTES / self.row_bytes() * self.row_bytes()];
        let mut matrices = self.weights.chunks_exact(matrix_bytes).cycle();
        let mut next = || matrices.next().expect("a cycle does not end");
        let (mut speeds, mut shares, mut compute) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let ceiling = ceilings::read_bandwidth(self.pool, self.isa, &[next()]);
            let speed = matrix_bytes as f64 / self.product(next(), &activations, &mut out);
            speeds.push(speed / 1e9);
            shares.push(100.0 * speed / ceiling);
            self.product(cached, &activations, &mut out);
            compute.push(cached.len() as f64 / self.product(cached, &activations, &mut out) / 1e9);
        }
        let (speed, share, compute) = (median(speeds), median(shares), median(compute));
        println!(
            "{:>7} {tokens:4} tokens: {speed:7.1} GB/s   = {share:3.0} % of read bandwidth, cached {compute:6.1} GB/s",
            self.format,
        );
    }

    fn prefill(&self, tokens: usize) {
        let (x, mut activations) = (activations(tokens), Activations::new());
        self.set(tokens, &x, &mut activations);
        let mut out = vec![0.0; tokens * PREFILL_ROWS];
        let mut matrices = self.weights.chunks_exact(PREFILL_ROWS * self.row_bytes()).cycle();
        let (mut speeds, mut shares, mut rounding) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let ceiling = ceilings::int8_peak(self.pool, self.isa);
            let bytes = matrices.next().expect("a cycle does not end");
            let seconds = self.product(bytes, &activations, &mut out);
            let speed = (tokens * PREFILL_ROWS * COLUMNS) as f64 / seconds;
            speeds.push(speed / 1e9);
            shares.push(100.0 * speed / ceiling);
            rounding.push(100.0 * self.set(tokens, &x, &mut activations) / seconds);
        }
        let (speed, share, rounding) = (median(speeds), median(shares), median(rounding));
        println!(
            "{:>7} {tokens:4} tokens: {speed:7.1} GMAC/s = {share:3.0} % of int8 peak, rounding {rounding:5.1} %",
            self.format,
        );
    }
}

/// Roughly normal, as activations behind a norm are.
fn activations(tokens: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..tokens * COLUMNS).map(|_| (0..4).map(|_| uniform()).sum()).collect()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
