//! Loads and stores of NEON registers, checked.

use std::arch::aarch64::{uint8x16_t, vld1q_u8, vst1q_u8};

/// One register.
#[inline(always)]
pub(super) fn load_one<T>(x: &[T]) -> uint8x16_t {
    assert!(size_of_val(x) >= 16, "a slice holds a register");
    // SAFETY: 16 bytes are there.
    unsafe { vld1q_u8(x.as_ptr().cast()) }
}

/// A vector: four registers.
#[inline(always)]
pub(super) fn load_four<T>(x: &[T]) -> [uint8x16_t; 4] {
    assert!(size_of_val(x) >= 64, "a slice holds a vector");
    let from: *const u8 = x.as_ptr().cast();
    // SAFETY: 64 bytes are there.
    unsafe { [vld1q_u8(from), vld1q_u8(from.add(16)), vld1q_u8(from.add(32)), vld1q_u8(from.add(48))] }
}

/// One register.
#[inline(always)]
pub(super) fn store_one<T>(x: uint8x16_t, out: &mut [T]) {
    assert!(size_of_val(out) >= 16, "a slice holds a register");
    // SAFETY: 16 bytes are there, and of the types stored here every bit pattern is a value.
    unsafe { vst1q_u8(out.as_mut_ptr().cast(), x) }
}

/// A vector: four registers.
#[inline(always)]
pub(super) fn store_four<T>(x: [uint8x16_t; 4], out: &mut [T]) {
    assert!(size_of_val(out) >= 64, "a slice holds a vector");
    let to: *mut u8 = out.as_mut_ptr().cast();
    // SAFETY: 64 bytes are there, and of the types stored here every bit pattern is a value.
    unsafe {
        vst1q_u8(to, x[0]);
        vst1q_u8(to.add(16), x[1]);
        vst1q_u8(to.add(32), x[2]);
        vst1q_u8(to.add(48), x[3]);
    }
}
