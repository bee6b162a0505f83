//! Loads and stores of AVX2 registers, checked.

#[allow(clippy::wildcard_imports, reason = "intrinsics have names of their own")]
use std::arch::x86_64::*;

use super::avx2::Int;

/// One register.
#[inline(always)]
pub(super) fn load_256<T>(x: &[T]) -> __m256i {
    assert!(size_of_val(x) >= 32, "a slice holds a register");
    // SAFETY: 32 bytes are there; AVX is, as only code for AVX2 calls this.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}

/// Half a register.
#[inline(always)]
pub(super) fn load_128<T>(x: &[T]) -> __m128i {
    assert!(size_of_val(x) >= 16, "a slice holds half a register");
    // SAFETY: 16 bytes are there.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

/// A vector: two registers.
#[inline(always)]
pub(super) fn load_two<T>(x: &[T]) -> Int {
    assert!(size_of_val(x) >= 64, "a slice holds a vector");
    let half = 32 / size_of::<T>();
    [load_256(&x[..half]), load_256(&x[half..])]
}

/// A vector: two registers.
#[inline(always)]
pub(super) fn store_two<T>(x: Int, out: &mut [T]) {
    assert!(size_of_val(out) >= 64, "a slice holds a vector");
    let to: *mut __m256i = out.as_mut_ptr().cast();
    // SAFETY: 64 bytes are there, and stores of this kind need no alignment.
    unsafe {
        _mm256_storeu_si256(to, x[0]);
        _mm256_storeu_si256(to.add(1), x[1]);
    }
}

/// Half a register.
#[inline(always)]
pub(super) fn store_128<T>(x: __m128i, out: &mut [T]) {
    assert!(size_of_val(out) >= 16, "a slice holds half a register");
    // SAFETY: 16 bytes are there, and stores of this kind need no alignment.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), x) }
}
