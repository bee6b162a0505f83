//! What the machine can do at best, measured here and now: every speed is read as a share of these two.

use std::time::Instant;

use crate::isa::{Isa, Kernel, Pool, Simd};

/// Bytes that a thread reads one after the other.
const PIECE_BYTES: usize = 8 << 20;

/// Independent sums, so that no multiplication waits for the one before; as many as registers hold.
const fn sums<S: Simd>() -> usize {
    if S::TILE_ROWS > 1 { 12 } else { 6 }
}

/// Multiply-adds of 8-bit integers per second that all threads of the pool reach together, with all operands in
/// registers: the bound of prefill. Takes a few milliseconds.
pub fn int8_peak(pool: &Pool, isa: Isa) -> f64 {
    let multiply_adds_per_round = (isa.run(Sums) * 64 * pool.threads()) as f64;
    let time = |rounds: usize| {
        let start = Instant::now();
        pool.run(&|_| isa.run(Multiply { rounds }));
        start.elapsed().as_secs_f64()
    };
    let mut rounds = 1000;
    loop {
        let seconds = time(rounds);
        if seconds > 0.001 {
            return rounds as f64 * multiply_adds_per_round / seconds;
        }
        rounds *= 2;
    }
}

/// Bytes per second at which all threads of the pool read `slices` together, once: the bound of decode, if they are much
/// larger than the caches.
pub fn read_bandwidth(pool: &Pool, isa: Isa, slices: &[&[u8]]) -> f64 {
    let pieces: Vec<&[u8]> = slices.iter().flat_map(|bytes| bytes.chunks(PIECE_BYTES)).collect();
    let start = Instant::now();
    pool.each(pieces.len(), &|i| isa.run(Read { bytes: pieces[i] }));
    slices.iter().map(|bytes| bytes.len()).sum::<usize>() as f64 / start.elapsed().as_secs_f64()
}

struct Sums;

impl Kernel for Sums {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> usize {
        sums::<S>()
    }
}

struct Multiply {
    rounds: usize,
}

impl Kernel for Multiply {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if const { sums::<S>() == 12 } {
            multiply::<S, 12, 4>(simd, self.rounds);
        } else {
            multiply::<S, 6, 1>(simd, self.rounds);
        }
    }
}

#[repr(align(64))]
struct Operands {
    w: [[u8; 64]; 4],
    x: [[i8; 64]; 6],
}

/// `SUMS` sums from `ROWS` operands of one kind and `SUMS / ROWS` of the other, which leaves registers for all.
#[inline(always)]
fn multiply<S: Simd, const SUMS: usize, const ROWS: usize>(simd: S, rounds: usize) {
    let mut sums = [simd.splat_i32(0); SUMS];
    let operands = Operands { w: [[3; 64]; 4], x: [[5; 64]; 6] };
    for _ in 0..rounds {
        // Loaded anew, and no pair of operands twice, or else products would be computed once for several sums.
        let Operands { w, x } = std::hint::black_box(&operands);
        let mut rows = [simd.splat_byte(0); ROWS];
        for i in 0..ROWS {
            rows[i] = simd.load_bytes(&w[i]);
        }
        for i in 0..SUMS {
            sums[i] = simd.dot(sums[i], rows[i % ROWS], simd.load_signed(&x[i / ROWS]));
        }
    }
    for sum in sums {
        std::hint::black_box(simd.reduce_add_i32(sum));
    }
}

struct Read<'a> {
    bytes: &'a [u8],
}

impl Kernel for Read<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut all = [simd.splat_byte(0); 4];
        let (lines, _) = self.bytes.as_chunks::<256>();
        for lines in lines {
            simd.prefetch_stream(lines);
            for (i, all) in all.iter_mut().enumerate() {
                *all = simd.xor(*all, simd.load_bytes(&lines[64 * i..]));
            }
        }
        let mut out = [0; 64];
        let [a, b, c, d] = all;
        simd.store_bytes(simd.xor(simd.xor(a, b), simd.xor(c, d)), &mut out);
        std::hint::black_box(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_are_positive_numbers() {
        let pool = Pool::new(2);
        let bytes = vec![1; 100_000];
        for isa in Isa::available() {
            assert!(int8_peak(&pool, isa).is_normal());
            assert!(read_bandwidth(&pool, isa, &[&bytes]).is_normal());
        }
    }
}
