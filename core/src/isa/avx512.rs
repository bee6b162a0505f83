//! AVX-512 with VNNI: each vector is one register of 512 bits.

#[allow(clippy::wildcard_imports, reason = "intrinsics have names of their own")]
use std::arch::x86_64::*;

use super::simd::{Kernel, LANES, Simd, word_of_four};

/// The token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Avx512Vnni(());

/// An intrinsic, or several.
macro_rules! cpu {
    ($($body:tt)*) => {{
        // SAFETY: the token exists only where `detect` found the features, and no pointer is involved.
        unsafe { $($body)* }
    }};
}

#[inline(always)]
fn load_512<T>(x: &[T]) -> __m512i {
    assert!(size_of_val(x) >= 64, "a slice holds a vector");
    // SAFETY: 64 bytes are there; AVX-512 is, as only this file's token calls this.
    unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
}

#[inline(always)]
fn load_256<T>(x: &[T]) -> __m256i {
    assert!(size_of_val(x) >= 32, "a slice holds half a vector");
    // SAFETY: 32 bytes are there.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}

#[inline(always)]
fn load_128<T>(x: &[T]) -> __m128i {
    assert!(size_of_val(x) >= 16, "a slice holds a quarter of a vector");
    // SAFETY: 16 bytes are there.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
fn run<K: Kernel>(token: Avx512Vnni, kernel: K) -> K::Output {
    kernel.run(token)
}

impl Simd for Avx512Vnni {
    type F32 = __m512;
    type I32 = __m512i;
    type Bytes = __m512i;

    const NAME: &'static str = "avx512vnni";
    const BIAS: u8 = 128;
    const TILE_ROWS: usize = 2;
    const TILE_TOKENS: usize = 6;

    fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        cpu!(run(self, kernel))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        cpu!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> __m512 {
        cpu!(_mm512_castsi512_ps(load_512(x)))
    }
    #[inline(always)]
    fn store(self, x: __m512, out: &mut [f32]) {
        let out = &mut out[..LANES];
        // SAFETY: 16 floats are there.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), x) }
    }
    #[inline(always)]
    fn load_f16(self, x: &[u16]) -> __m512 {
        cpu!(_mm512_cvtph_ps(load_256(x)))
    }
    #[inline(always)]
    fn load_f16_bytes(self, x: &[u8]) -> __m512 {
        cpu!(_mm512_cvtph_ps(load_256(x)))
    }
    #[inline(always)]
    fn load_bf16_bytes(self, x: &[u8]) -> __m512 {
        cpu!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(load_256(x)))))
    }
    #[inline(always)]
    fn store_f16(self, x: __m512, out: &mut [u16]) {
        let out = &mut out[..LANES];
        // SAFETY: 16 halves are there, and the store needs no alignment.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_cvtps_ph::<0>(x)) }
    }
    #[inline(always)]
    fn f16_to_f32(self, x: u16) -> f32 {
        cpu!(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(x)))))
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> __m512 {
        cpu!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_128(x))))
    }
    #[inline(always)]
    fn load_u8(self, x: &[u8; 16]) -> __m512 {
        cpu!(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_128(x))))
    }
    #[inline(always)]
    fn load_u8_twice(self, x: [u8; 8]) -> __m512 {
        cpu! {
            let x = _mm_cvtsi64_si128(u64::from_le_bytes(x) as i64);
            _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_unpacklo_epi8(x, x)))
        }
    }
    #[inline(always)]
    fn load_f16_twice(self, x: [u16; 8]) -> __m512 {
        let x = load_128(&x);
        cpu!(_mm512_cvtph_ps(_mm256_set_m128i(_mm_unpackhi_epi16(x, x), _mm_unpacklo_epi16(x, x))))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        cpu!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        cpu!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        cpu!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        cpu!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        cpu!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn neg_mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        cpu!(_mm512_fnmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        cpu!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        cpu!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn select_less(self, a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
        cpu!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), y, x))
    }
    #[inline(always)]
    fn sqrt(self, x: __m512) -> __m512 {
        cpu!(_mm512_sqrt_ps(x))
    }
    #[inline(always)]
    fn abs(self, x: __m512) -> __m512 {
        cpu!(_mm512_abs_ps(x))
    }
    #[inline(always)]
    fn reduce_add(self, x: __m512) -> f32 {
        cpu!(_mm512_reduce_add_ps(x))
    }
    #[inline(always)]
    fn reduce_max(self, x: __m512) -> f32 {
        cpu!(_mm512_reduce_max_ps(x))
    }
    #[inline(always)]
    fn round(self, x: __m512) -> __m512i {
        cpu!(_mm512_cvtps_epi32(x))
    }
    #[inline(always)]
    fn mul_power_of_two(self, x: __m512, n: __m512i) -> __m512 {
        cpu!(_mm512_scalef_ps(x, _mm512_cvtepi32_ps(n)))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        cpu!(_mm512_set1_epi32(x))
    }
    #[inline(always)]
    fn load_i32(self, x: &[i32]) -> __m512i {
        load_512(x)
    }
    #[inline(always)]
    fn words(self, x: __m512i) -> __m512i {
        // The products of the upper words are added too.
        cpu!(_mm512_and_si512(x, _mm512_set1_epi32(0xffff)))
    }
    #[inline(always)]
    fn mul_add_words(self, sum: __m512i, x: __m512i, factor: __m512i) -> __m512i {
        cpu!(_mm512_dpwssd_epi32(sum, x, factor))
    }
    #[inline(always)]
    fn to_f32(self, x: __m512i) -> __m512 {
        cpu!(_mm512_cvtepi32_ps(x))
    }
    #[inline(always)]
    fn float_bits(self, x: __m512i) -> __m512 {
        cpu!(_mm512_castsi512_ps(x))
    }
    #[inline(always)]
    fn reduce_add_i32(self, x: __m512i) -> i32 {
        cpu!(_mm512_reduce_add_epi32(x))
    }
    #[inline(always)]
    fn sum_fours(self, [a, b, c, d]: [__m512i; 4]) -> __m512i {
        cpu! {
            let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
            let ab = _mm512_add_epi32(ab, _mm512_unpackhi_epi32(a, b));
            let cd = _mm512_add_epi32(cd, _mm512_unpackhi_epi32(c, d));
            let sums = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
            let order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
            _mm512_permutexvar_epi32(order, sums)
        }
    }
    #[inline(always)]
    fn store_i32(self, x: __m512i, out: &mut [i32]) {
        let out = &mut out[..LANES];
        // SAFETY: 16 integers are there, and the store needs no alignment.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), x) }
    }
    #[inline(always)]
    fn store_i8(self, x: __m512i, out: &mut [i8]) {
        let out = &mut out[..LANES];
        // SAFETY: 16 bytes are there, and the store needs no alignment.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(x)) }
    }

    #[inline(always)]
    fn load_bytes(self, x: &[u8]) -> __m512i {
        load_512(x)
    }
    #[inline(always)]
    fn load_signed(self, x: &[i8]) -> __m512i {
        load_512(x)
    }
    #[inline(always)]
    fn load_halves(self, a: &[u8], b: &[u8]) -> __m512i {
        cpu!(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(load_256(a)), load_256(b)))
    }
    #[inline(always)]
    fn load_quarters(self, a: &[u8], b: &[u8], c: &[u8], d: &[u8]) -> __m512i {
        cpu! {
            let low = _mm256_set_m128i(load_128(b), load_128(a));
            let high = _mm256_set_m128i(load_128(d), load_128(c));
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
        }
    }
    #[inline(always)]
    fn store_bytes(self, x: __m512i, out: &mut [u8]) {
        let out = &mut out[..64];
        // SAFETY: 64 bytes are there, and the store needs no alignment.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), x) }
    }
    #[inline(always)]
    fn splat_byte(self, x: u8) -> __m512i {
        cpu!(_mm512_set1_epi8(x as i8))
    }
    #[inline(always)]
    fn splat_four(self, x: &[i8]) -> __m512i {
        self.splat_i32(word_of_four(x))
    }
    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        cpu!(_mm512_and_si512(a, b))
    }
    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        cpu!(_mm512_or_si512(a, b))
    }
    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        cpu!(_mm512_xor_si512(a, b))
    }
    #[inline(always)]
    fn abs_bytes(self, x: __m512i) -> __m512i {
        cpu!(_mm512_abs_epi8(x))
    }
    #[inline(always)]
    fn shift_right<const N: u32>(self, x: __m512i) -> __m512i {
        cpu!(_mm512_srli_epi16::<N>(x))
    }
    #[inline(always)]
    fn shift_left<const N: u32>(self, x: __m512i) -> __m512i {
        cpu!(_mm512_slli_epi16::<N>(x))
    }
    #[inline(always)]
    fn shift_right_quarters<const A: u32, const B: u32, const C: u32, const D: u32>(self, x: __m512i) -> __m512i {
        let (a, b, c, d) = (i64::from(A), i64::from(B), i64::from(C), i64::from(D));
        cpu!(_mm512_srlv_epi64(x, _mm512_set_epi64(d, d, c, c, b, b, a, a)))
    }
    #[inline(always)]
    fn lookup(self, table: &[u8; 16], codes: __m512i) -> __m512i {
        cpu!(_mm512_shuffle_epi8(_mm512_broadcast_i32x4(load_128(table)), codes))
    }
    #[inline(always)]
    fn expand_bits(self, bits: u64) -> __m512i {
        cpu!(_mm512_movm_epi8(bits))
    }

    #[inline(always)]
    fn dot(self, sum: __m512i, w: __m512i, x: __m512i) -> __m512i {
        cpu!(_mm512_dpbusd_epi32(sum, w, x))
    }
    #[inline(always)]
    fn dot_signed(self, sum: __m512i, w: __m512i, x: __m512i) -> __m512i {
        cpu!(_mm512_dpbusd_epi32(sum, w, x))
    }
    #[inline(always)]
    fn mul_add_groups<const QUARTER: usize>(self, sum: __m512, products: __m512i, scales: __m512) -> __m512 {
        cpu! {
            let group = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
            let group = _mm512_add_epi32(group, _mm512_set1_epi32(4 * QUARTER as i32));
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), _mm512_permutexvar_ps(group, scales), sum)
        }
    }

    #[inline(always)]
    fn transpose(self, bytes: &[u8], start: usize, stride: usize) -> [__m512i; 4] {
        assert!(stride <= bytes.len(), "rows lie inside");
        let bytes = &bytes[start..start + (LANES - 1) * stride + 16];
        let mut rows = [cpu!(_mm512_setzero_si512()); 4];
        for (i, rows) in rows.iter_mut().enumerate() {
            let at = bytes.as_ptr().wrapping_add(i * stride);
            // SAFETY: 16 bytes from each of rows i, i + 4, i + 8, i + 12, all below 16, were found to be there above.
            unsafe {
                let x = _mm512_castsi128_si512(_mm_loadu_si128(at.cast()));
                let x = _mm512_mask_broadcast_i32x4(x, 0x00f0, _mm_loadu_si128(at.wrapping_add(4 * stride).cast()));
                let x = _mm512_mask_broadcast_i32x4(x, 0x0f00, _mm_loadu_si128(at.wrapping_add(8 * stride).cast()));
                *rows = _mm512_mask_broadcast_i32x4(x, 0xf000, _mm_loadu_si128(at.wrapping_add(12 * stride).cast()));
            }
        }
        cpu! {
            let [x0, x1, x2, x3] = rows;
            let (a, b) = (_mm512_unpacklo_epi32(x0, x1), _mm512_unpackhi_epi32(x0, x1));
            let (c, d) = (_mm512_unpacklo_epi32(x2, x3), _mm512_unpackhi_epi32(x2, x3));
            [
                _mm512_unpacklo_epi64(a, c),
                _mm512_unpackhi_epi64(a, c),
                _mm512_unpacklo_epi64(b, d),
                _mm512_unpackhi_epi64(b, d),
            ]
        }
    }
    #[inline(always)]
    fn byte<const I: u32>(self, x: __m512i) -> __m512i {
        let byte = cpu!(_mm512_srlv_epi32(x, _mm512_set1_epi32(8 * I as i32)));
        cpu!(_mm512_and_si512(byte, _mm512_set1_epi32(0xff)))
    }
    #[inline(always)]
    fn signed_byte<const I: u32>(self, x: __m512i) -> __m512i {
        let high = cpu!(_mm512_sllv_epi32(x, _mm512_set1_epi32(24 - 8 * I as i32)));
        cpu!(_mm512_srai_epi32::<24>(high))
    }
    #[inline(always)]
    fn half_to_f32<const I: u32>(self, x: __m512i) -> __m512 {
        let half = cpu!(_mm512_srlv_epi32(x, _mm512_set1_epi32(16 * I as i32)));
        cpu!(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(half)))
    }
    #[inline(always)]
    fn f32_from_bytes(self, x: __m512i) -> __m512 {
        cpu!(_mm512_castsi512_ps(x))
    }
    #[inline(always)]
    fn bytes_from_f32(self, x: __m512) -> __m512i {
        cpu!(_mm512_castps_si512(x))
    }

    #[inline(always)]
    fn splat_f16(self, x: u16) -> __m512 {
        // A broadcast from memory; loading one half would wait for the register's last value.
        cpu!(_mm512_cvtph_ps(_mm256_set1_epi16(x as i16)))
    }

    #[inline(always)]
    fn prefetch<T>(self, x: &[T], ahead: usize) {
        for line in (0..size_of_val(x)).step_by(64) {
            let at = x.as_ptr().wrapping_byte_add(ahead + line);
            cpu!(_mm_prefetch::<_MM_HINT_T0>(at.cast()));
        }
    }
    #[inline(always)]
    fn prefetch_far<T>(self, x: &[T], ahead: usize) {
        for line in (0..size_of_val(x)).step_by(64) {
            let at = x.as_ptr().wrapping_byte_add(ahead + line);
            cpu!(_mm_prefetch::<_MM_HINT_T1>(at.cast()));
        }
    }
}
