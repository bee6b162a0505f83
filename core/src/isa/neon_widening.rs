//! NEON as every 64-bit Arm CPU has it: bytes are multiplied to 16 bits, which are added in steps.

use std::arch::aarch64::*;

use super::neon::{I32, Neon, Products, cpu};
use super::neon_memory::load_four;
use super::simd::{Kernel, Simd};

/// Needs no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Widening(());

impl Products for Widening {
    const NAME: &'static str = "neon";

    fn detect() -> Option<Self> {
        Some(Self(()))
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(Neon::new(self))
    }

    #[inline(always)]
    fn dot(self, sum: int32x4_t, w: uint8x16_t, x: uint8x16_t) -> int32x4_t {
        cpu! {
            let (w, x) = (vreinterpretq_s8_u8(w), vreinterpretq_s8_u8(x));
            // Two products fit 16 bits, as 2 * 128 * 127 does.
            vpadalq_s16(sum, vpaddq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(x)), vmull_high_s8(w, x)))
        }
    }

    #[inline(always)]
    fn add_products<const N: usize>(self, products: &mut [I32; N], w: &[u8], x: &[i8]) {
        let simd = Neon::new(self);
        for (w, x) in w.chunks_exact(64).zip(x.chunks_exact(N * 4)) {
            let w = load_four(w);
            for t in 0..N {
                products[t] = simd.dot(products[t], w, simd.splat_four(&x[4 * t..]));
            }
        }
    }
}
