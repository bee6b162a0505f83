//! NEON with the dot product of Armv8.2: four bytes at once.
//!
//! Stable Rust has no intrinsic for it yet, hence the one-line `asm!`.

use std::arch::{aarch64::*, asm, is_aarch64_feature_detected};

use super::neon::{I32, Neon, Products};
use super::neon_memory::{load_four, load_one};
use super::simd::Kernel;

/// The proof that the CPU has the dot product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dotprod(());

#[target_feature(enable = "neon,dotprod")]
fn run<K: Kernel>(proof: Dotprod, kernel: K) -> K::Output {
    kernel.run(Neon::new(proof))
}

/// Adds to each lane the products of its four signed bytes.
#[target_feature(enable = "neon,dotprod")]
#[inline]
pub(super) fn dot(sum: int32x4_t, w: uint8x16_t, x: uint8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the instruction touches these registers alone, and the CPU has it.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {w:v}.16b, {x:v}.16b",
            sum = inout(vreg) sum, w = in(vreg) w, x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// The same with bytes `4 * I .. 4 * I + 4` of `x` for all lanes.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn dot_with_four<const I: usize>(sum: int32x4_t, w: uint8x16_t, x: uint8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the instruction touches these registers alone, and the CPU has it.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {w:v}.16b, {x:v}.4b[{i}]",
            sum = inout(vreg) sum, w = in(vreg) w, x = in(vreg) x, i = const I,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

impl Products for Dotprod {
    const NAME: &'static str = "neon-dotprod";

    fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("dotprod").then_some(Self(()))
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: this proof exists only where `detect` found the dot product.
        unsafe { run(self, kernel) }
    }

    #[inline(always)]
    fn dot(self, sum: int32x4_t, w: uint8x16_t, x: uint8x16_t) -> int32x4_t {
        // SAFETY: this proof exists only where `detect` found the dot product.
        unsafe { dot(sum, w, x) }
    }

    #[inline(always)]
    fn add_products<const N: usize>(self, products: &mut [I32; N], w: &[u8], x: &[i8]) {
        for (w, x) in w.chunks_exact(64).zip(x.chunks_exact(N * 4)) {
            let w = load_four(w);
            let mut fours = [0; 16];
            fours[..N * 4].copy_from_slice(x);
            let x = load_one(&fours);
            macro_rules! each_token {
                ($($t:literal)+) => {
                    $(if $t < N {
                        for i in 0..4 {
                            // SAFETY: this proof exists only where `detect` found the dot product.
                            products[$t][i] = unsafe { dot_with_four::<$t>(products[$t][i], w[i], x) };
                        }
                    })+
                };
            }
            each_token!(0 1 2 3);
        }
    }
}
