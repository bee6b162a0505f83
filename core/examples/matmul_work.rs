//! A fixed amount of matrix products without a clock, for counting instructions (`scripts/count-arm`).
//!
//! `cargo run -p edgewise-core --example matmul_work -- ISA FORMAT ROWS COLUMNS TOKENS ROUNDS`: one thread, and each round
//! rounds the activations to int8 and multiplies them by the matrix.

use edgewise_core::formats::Format;
use edgewise_core::isa::{Isa, Pool};
use edgewise_core::kernels::{Activations, Matrix, matmul};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [isa, format, numbers @ ..] = &arguments[..] else { panic!("ISA FORMAT ROWS COLUMNS TOKENS ROUNDS") };
    let isa = Isa::named(isa).expect("an instruction set of this machine");
    let format = Format::from_name(format).expect("a format");
    let numbers: Vec<usize> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
    let &[rows, columns, tokens, rounds] = &numbers[..] else { panic!("ROWS COLUMNS TOKENS ROUNDS") };

    let pool = Pool::new(1);
    // As a half float 1.06, so that every format has finite values.
    let bytes = vec![0x3c; rows * format.row_bytes(columns).expect("whole blocks")];
    let weights = Matrix { format, rows, columns, bytes: &bytes };
    let x: Vec<f32> = (0..tokens * columns).map(|i| (i % 255) as f32 - 127.0).collect();
    let mut activations = Activations::new();
    let mut out = vec![0.0; tokens * rows];
    for _ in 0..rounds {
        activations.set(&pool, isa, &x, columns, &[format]);
        matmul(&pool, isa, &weights, &activations, &mut out);
    }
    std::hint::black_box(&out);
}
