//! NEON with the matrix product of Armv8.6: two rows of eight bytes times two rows of eight bytes at once.
//!
//! Stable Rust has no intrinsic for it yet, hence the one-line `asm!`.

use std::arch::{aarch64::*, asm, is_aarch64_feature_detected};

use super::neon::{I32, Neon, Products, cpu};
use super::neon_dotprod;
use super::neon_memory::{load_four, load_one, store_one};
use super::simd::Kernel;

/// The proof that the CPU has the matrix product, and the dot product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct I8mm(());

#[target_feature(enable = "neon,dotprod,i8mm")]
fn run<K: Kernel>(proof: I8mm, kernel: K) -> K::Output {
    kernel.run(Neon::new(proof))
}

/// Adds `a` times `b` transposed: both are (2, 8) signed bytes, the sum is (2, 2).
#[target_feature(enable = "neon,dotprod,i8mm")]
#[inline]
fn multiply_pairs(sum: int32x4_t, a: uint8x16_t, b: uint8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the instruction touches these registers alone, and the CPU has it.
    unsafe {
        asm!(
            "smmla {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// The low halves of both, and the high halves: from four rows of each of two tokens to (2 tokens, 2 rows) twice, and back.
#[inline(always)]
fn swap_halves(a: int32x4_t, b: int32x4_t) -> (int32x4_t, int32x4_t) {
    cpu! {
        let (a, b) = (vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b));
        (vreinterpretq_s32_s64(vtrn1q_s64(a, b)), vreinterpretq_s32_s64(vtrn2q_s64(a, b)))
    }
}

/// The first eight bytes, twice.
#[inline(always)]
fn load_twice(x: &[i8]) -> uint8x16_t {
    let eight = x.first_chunk::<8>().expect("a slice holds half a register");
    cpu!(vreinterpretq_u8_u64(vdupq_n_u64(u64::from_le_bytes(eight.map(|x| x as u8)))))
}

impl Products for I8mm {
    const NAME: &'static str = "neon-i8mm";
    const TILE_DEPTH: usize = 8;

    fn detect() -> Option<Self> {
        (is_aarch64_feature_detected!("dotprod") && is_aarch64_feature_detected!("i8mm")).then_some(Self(()))
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: this proof exists only where `detect` found both.
        unsafe { run(self, kernel) }
    }

    #[inline(always)]
    fn dot(self, sum: int32x4_t, w: uint8x16_t, x: uint8x16_t) -> int32x4_t {
        // SAFETY: this proof exists only where `detect` found the dot product.
        unsafe { neon_dotprod::dot(sum, w, x) }
    }

    #[inline(always)]
    fn arrange(self, codes: &mut [u8]) {
        for codes in codes.chunks_exact_mut(128) {
            let (a, b) = (load_four(codes), load_four(&codes[64..]));
            for i in 0..4 {
                cpu! {
                    let (a, b) = (vreinterpretq_u32_u8(a[i]), vreinterpretq_u32_u8(b[i]));
                    store_one(vreinterpretq_u8_u32(vzip1q_u32(a, b)), &mut codes[32 * i..]);
                    store_one(vreinterpretq_u8_u32(vzip2q_u32(a, b)), &mut codes[32 * i + 16..]);
                }
            }
        }
    }

    #[inline(always)]
    fn add_products<const N: usize>(self, products: &mut [I32; N], w: &[u8], x: &[i8]) {
        // (pairs of tokens, pairs of rows, 2 tokens, 2 rows); a last token without a partner is its own.
        let mut sums = [[cpu!(vdupq_n_s32(0)); 8]; N];
        for t in (0..N).step_by(2) {
            let partner = (t + 1).min(N - 1);
            for i in 0..4 {
                (sums[t / 2][2 * i], sums[t / 2][2 * i + 1]) = swap_halves(products[t][i], products[partner][i]);
            }
        }
        for (w, x) in w.chunks_exact(16 * 8).zip(x.chunks_exact(N * 8)) {
            let mut tokens = [cpu!(vdupq_n_u8(0)); N];
            for t in (0..N).step_by(2) {
                tokens[t / 2] = if t + 1 < N { load_one(&x[8 * t..]) } else { load_twice(&x[8 * t..]) };
            }
            for i in 0..8 {
                let rows = load_one(&w[16 * i..]);
                for t in 0..N.div_ceil(2) {
                    // SAFETY: this proof exists only where `detect` found the matrix product.
                    sums[t][i] = unsafe { multiply_pairs(sums[t][i], tokens[t], rows) };
                }
            }
        }
        for t in (0..N).step_by(2) {
            let partner = (t + 1).min(N - 1);
            for i in 0..4 {
                (products[t][i], products[partner][i]) = swap_halves(sums[t / 2][2 * i], sums[t / 2][2 * i + 1]);
            }
        }
    }
}
