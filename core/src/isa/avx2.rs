//! AVX2 with FMA and F16C, and the same with the VNNI dot product: each vector is two registers of 256 bits.

#[allow(clippy::wildcard_imports, reason = "intrinsics have names of their own")]
use std::arch::x86_64::*;

use super::simd::{Kernel, LANES, Simd, word_of_four};

/// The token; `VNNI` says whether the CPU has AVX-VNNI too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Avx2<const VNNI: bool>(());

/// An intrinsic, or several.
macro_rules! cpu {
    ($($body:tt)*) => {{
        // SAFETY: the token exists only where `detect` found the features, and no pointer is involved.
        unsafe { $($body)* }
    }};
}

/// The same intrinsic on both registers.
macro_rules! both {
    ($f:ident, $a:expr) => {{
        let a = $a;
        cpu!([$f(a[0]), $f(a[1])])
    }};
    ($f:ident, $a:expr, $b:expr) => {{
        let (a, b) = ($a, $b);
        cpu!([$f(a[0], b[0]), $f(a[1], b[1])])
    }};
    ($f:ident, $a:expr, $b:expr, $c:expr) => {{
        let (a, b, c) = ($a, $b, $c);
        cpu!([$f(a[0], b[0], c[0]), $f(a[1], b[1], c[1])])
    }};
}

type F32 = [__m256; 2];
type Int = [__m256i; 2];

#[inline(always)]
fn load_256<T>(x: &[T]) -> __m256i {
    assert!(size_of_val(x) >= 32, "a slice holds a register");
    // SAFETY: 32 bytes are there; AVX is, as only this file's token calls this.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}

#[inline(always)]
fn load_128<T>(x: &[T]) -> __m128i {
    assert!(size_of_val(x) >= 16, "a slice holds a register");
    // SAFETY: 16 bytes are there.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

#[inline(always)]
fn load_two<T>(x: &[T]) -> Int {
    assert!(size_of_val(x) >= 64, "a slice holds a vector");
    let half = 32 / size_of::<T>();
    [load_256(&x[..half]), load_256(&x[half..])]
}

#[inline(always)]
fn store_two<T>(x: Int, out: &mut [T]) {
    assert!(size_of_val(out) >= 64, "a slice holds a vector");
    let to: *mut __m256i = out.as_mut_ptr().cast();
    // SAFETY: 64 bytes are there, and stores of this kind need no alignment.
    unsafe {
        _mm256_storeu_si256(to, x[0]);
        _mm256_storeu_si256(to.add(1), x[1]);
    }
}

#[inline(always)]
fn store_128<T>(x: __m128i, out: &mut [T]) {
    assert!(size_of_val(out) >= 16, "a slice holds a register");
    // SAFETY: 16 bytes are there, and stores of this kind need no alignment.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), x) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn run_plain<K: Kernel>(token: Avx2<false>, kernel: K) -> K::Output {
    kernel.run(token)
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn run_vnni<K: Kernel>(token: Avx2<true>, kernel: K) -> K::Output {
    kernel.run(token)
}

impl<const VNNI: bool> Simd for Avx2<VNNI> {
    type F32 = F32;
    type I32 = Int;
    type Bytes = Int;

    const NAME: &'static str = if VNNI { "avxvnni" } else { "avx2" };
    const BIAS: u8 = if VNNI { 128 } else { 0 };
    const TILE_ROWS: usize = 1;
    const TILE_TOKENS: usize = if VNNI { 3 } else { 4 };

    fn detect() -> Option<Self> {
        let base =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        (base && (!VNNI || is_x86_feature_detected!("avxvnni"))).then_some(Self(()))
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        if VNNI { cpu!(run_vnni(Avx2(()), kernel)) } else { cpu!(run_plain(Avx2(()), kernel)) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F32 {
        cpu!([_mm256_set1_ps(x); 2])
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> F32 {
        both!(_mm256_castsi256_ps, load_two(x))
    }
    #[inline(always)]
    fn store(self, x: F32, out: &mut [f32]) {
        store_two(both!(_mm256_castps_si256, x), out);
    }
    #[inline(always)]
    fn load_f16(self, x: &[u16]) -> F32 {
        cpu!([_mm256_cvtph_ps(load_128(&x[..8])), _mm256_cvtph_ps(load_128(&x[8..]))])
    }
    #[inline(always)]
    fn load_f16_bytes(self, x: &[u8]) -> F32 {
        cpu!([_mm256_cvtph_ps(load_128(&x[..16])), _mm256_cvtph_ps(load_128(&x[16..]))])
    }
    #[inline(always)]
    fn load_bf16_bytes(self, x: &[u8]) -> F32 {
        cpu!([
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(load_128(&x[..16])))),
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(load_128(&x[16..])))),
        ])
    }
    #[inline(always)]
    fn store_f16(self, x: F32, out: &mut [u16]) {
        let half = cpu!([_mm256_cvtps_ph::<0>(x[0]), _mm256_cvtps_ph::<0>(x[1])]);
        let (low, high) = out.split_at_mut(8);
        store_128(half[0], low);
        store_128(half[1], high);
    }
    #[inline(always)]
    fn f16_to_f32(self, x: u16) -> f32 {
        cpu!(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(x)))))
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> F32 {
        let x = load_128(x);
        self.to_f32(cpu!([_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(x, x))]))
    }
    #[inline(always)]
    fn load_u8(self, x: &[u8; 16]) -> F32 {
        let x = load_128(x);
        self.to_f32(cpu!([_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(x, x))]))
    }
    #[inline(always)]
    fn load_u8_twice(self, x: [u8; 8]) -> F32 {
        let bytes = cpu! {
            let x = _mm_cvtsi64_si128(u64::from_le_bytes(x) as i64);
            let x = _mm_unpacklo_epi8(x, x);
            [_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(x, x))]
        };
        self.to_f32(bytes)
    }
    #[inline(always)]
    fn load_f16_twice(self, x: [u16; 8]) -> F32 {
        let x = load_128(&x);
        cpu!([_mm256_cvtph_ps(_mm_unpacklo_epi16(x, x)), _mm256_cvtph_ps(_mm_unpackhi_epi16(x, x))])
    }
    #[inline(always)]
    fn add(self, a: F32, b: F32) -> F32 {
        both!(_mm256_add_ps, a, b)
    }
    #[inline(always)]
    fn sub(self, a: F32, b: F32) -> F32 {
        both!(_mm256_sub_ps, a, b)
    }
    #[inline(always)]
    fn mul(self, a: F32, b: F32) -> F32 {
        both!(_mm256_mul_ps, a, b)
    }
    #[inline(always)]
    fn div(self, a: F32, b: F32) -> F32 {
        both!(_mm256_div_ps, a, b)
    }
    #[inline(always)]
    fn mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        both!(_mm256_fmadd_ps, a, b, c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        both!(_mm256_fnmadd_ps, a, b, c)
    }
    #[inline(always)]
    fn max(self, a: F32, b: F32) -> F32 {
        both!(_mm256_max_ps, a, b)
    }
    #[inline(always)]
    fn min(self, a: F32, b: F32) -> F32 {
        both!(_mm256_min_ps, a, b)
    }
    #[inline(always)]
    fn select_less(self, a: F32, b: F32, x: F32, y: F32) -> F32 {
        let less = cpu!([_mm256_cmp_ps::<_CMP_LT_OQ>(a[0], b[0]), _mm256_cmp_ps::<_CMP_LT_OQ>(a[1], b[1])]);
        both!(_mm256_blendv_ps, y, x, less)
    }
    #[inline(always)]
    fn sqrt(self, x: F32) -> F32 {
        both!(_mm256_sqrt_ps, x)
    }
    #[inline(always)]
    fn abs(self, x: F32) -> F32 {
        let sign = cpu!([_mm256_set1_ps(-0.0); 2]);
        both!(_mm256_andnot_ps, sign, x)
    }
    #[inline(always)]
    fn reduce_add(self, x: F32) -> f32 {
        cpu! {
            let x = _mm256_add_ps(x[0], x[1]);
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
        }
    }
    #[inline(always)]
    fn reduce_max(self, x: F32) -> f32 {
        cpu! {
            let x = _mm256_max_ps(x[0], x[1]);
            let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
        }
    }
    #[inline(always)]
    fn round(self, x: F32) -> Int {
        both!(_mm256_cvtps_epi32, x)
    }
    #[inline(always)]
    fn mul_power_of_two(self, x: F32, n: Int) -> F32 {
        let biased = both!(_mm256_add_epi32, n, self.splat_i32(127));
        let power = cpu!([_mm256_slli_epi32::<23>(biased[0]), _mm256_slli_epi32::<23>(biased[1])]);
        self.mul(x, both!(_mm256_castsi256_ps, power))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> Int {
        cpu!([_mm256_set1_epi32(x); 2])
    }
    #[inline(always)]
    fn load_i32(self, x: &[i32]) -> Int {
        load_two(x)
    }
    #[inline(always)]
    fn words(self, x: Int) -> Int {
        // The products of the upper words are added too.
        self.and(x, self.splat_i32(0xffff))
    }
    #[inline(always)]
    fn mul_add_words(self, sum: Int, x: Int, factor: Int) -> Int {
        both!(_mm256_add_epi32, sum, both!(_mm256_madd_epi16, x, factor))
    }
    #[inline(always)]
    fn to_f32(self, x: Int) -> F32 {
        both!(_mm256_cvtepi32_ps, x)
    }
    #[inline(always)]
    fn float_bits(self, x: Int) -> F32 {
        both!(_mm256_castsi256_ps, x)
    }
    #[inline(always)]
    fn sum_fours(self, [a, b, c, d]: [Int; 4]) -> Int {
        cpu! {
            let ab = _mm256_hadd_epi32(_mm256_hadd_epi32(a[0], a[1]), _mm256_hadd_epi32(b[0], b[1]));
            let cd = _mm256_hadd_epi32(_mm256_hadd_epi32(c[0], c[1]), _mm256_hadd_epi32(d[0], d[1]));
            let order = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0);
            [_mm256_permutevar8x32_epi32(ab, order), _mm256_permutevar8x32_epi32(cd, order)]
        }
    }
    #[inline(always)]
    fn store_i32(self, x: Int, out: &mut [i32]) {
        store_two(x, out);
    }
    #[inline(always)]
    fn reduce_add_i32(self, x: Int) -> i32 {
        cpu! {
            let x = _mm256_add_epi32(x[0], x[1]);
            let x = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            let x = _mm_add_epi32(x, _mm_unpackhi_epi64(x, x));
            _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32::<1>(x)))
        }
    }
    #[inline(always)]
    fn store_i8(self, x: Int, out: &mut [i8]) {
        let bytes = cpu! {
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(x[0], x[1]));
            _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words))
        };
        store_128(bytes, out);
    }

    #[inline(always)]
    fn load_bytes(self, x: &[u8]) -> Int {
        load_two(x)
    }
    #[inline(always)]
    fn load_signed(self, x: &[i8]) -> Int {
        load_two(x)
    }
    #[inline(always)]
    fn load_halves(self, a: &[u8], b: &[u8]) -> Int {
        [load_256(a), load_256(b)]
    }
    #[inline(always)]
    fn load_quarters(self, a: &[u8], b: &[u8], c: &[u8], d: &[u8]) -> Int {
        cpu!([_mm256_set_m128i(load_128(b), load_128(a)), _mm256_set_m128i(load_128(d), load_128(c))])
    }
    #[inline(always)]
    fn store_bytes(self, x: Int, out: &mut [u8]) {
        store_two(x, out);
    }
    #[inline(always)]
    fn splat_byte(self, x: u8) -> Int {
        cpu!([_mm256_set1_epi8(x as i8); 2])
    }
    #[inline(always)]
    fn splat_four(self, x: &[i8]) -> Int {
        self.splat_i32(word_of_four(x))
    }
    #[inline(always)]
    fn and(self, a: Int, b: Int) -> Int {
        both!(_mm256_and_si256, a, b)
    }
    #[inline(always)]
    fn or(self, a: Int, b: Int) -> Int {
        both!(_mm256_or_si256, a, b)
    }
    #[inline(always)]
    fn xor(self, a: Int, b: Int) -> Int {
        both!(_mm256_xor_si256, a, b)
    }
    #[inline(always)]
    fn abs_bytes(self, x: Int) -> Int {
        both!(_mm256_abs_epi8, x)
    }
    #[inline(always)]
    fn shift_right<const N: u32>(self, x: Int) -> Int {
        let by = cpu!(_mm_cvtsi32_si128(N as i32));
        cpu!([_mm256_srl_epi16(x[0], by), _mm256_srl_epi16(x[1], by)])
    }
    #[inline(always)]
    fn shift_left<const N: u32>(self, x: Int) -> Int {
        let by = cpu!(_mm_cvtsi32_si128(N as i32));
        cpu!([_mm256_sll_epi16(x[0], by), _mm256_sll_epi16(x[1], by)])
    }
    #[inline(always)]
    fn shift_right_quarters<const A: u32, const B: u32, const C: u32, const D: u32>(self, x: Int) -> Int {
        let (a, b, c, d) = (i64::from(A), i64::from(B), i64::from(C), i64::from(D));
        cpu!([
            _mm256_srlv_epi64(x[0], _mm256_set_epi64x(b, b, a, a)),
            _mm256_srlv_epi64(x[1], _mm256_set_epi64x(d, d, c, c)),
        ])
    }
    #[inline(always)]
    fn lookup(self, table: &[u8; 16], codes: Int) -> Int {
        let table = cpu!([_mm256_broadcastsi128_si256(load_128(table)); 2]);
        both!(_mm256_shuffle_epi8, table, codes)
    }
    #[inline(always)]
    fn expand_bits(self, bits: u64) -> Int {
        cpu! {
            let spread = _mm256_set_epi64x(0x0303_0303_0303_0303, 0x0202_0202_0202_0202, 0x0101_0101_0101_0101, 0);
            let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201u64 as i64);
            let low = _mm256_shuffle_epi8(_mm256_set1_epi32(bits as i32), spread);
            let high = _mm256_shuffle_epi8(_mm256_set1_epi32((bits >> 32) as i32), spread);
            [_mm256_cmpeq_epi8(_mm256_and_si256(low, bit), bit), _mm256_cmpeq_epi8(_mm256_and_si256(high, bit), bit)]
        }
    }

    #[inline(always)]
    fn dot(self, sum: Int, w: Int, x: Int) -> Int {
        if VNNI {
            return both!(_mm256_dpbusd_avx_epi32, sum, w, x);
        }
        // Sums of two products of at most 127 * 127 fit 16 bits.
        let pairs = both!(_mm256_maddubs_epi16, w, x);
        both!(_mm256_add_epi32, sum, both!(_mm256_madd_epi16, pairs, cpu!([_mm256_set1_epi16(1); 2])))
    }
    #[inline(always)]
    fn dot_signed(self, sum: Int, w: Int, x: Int) -> Int {
        if VNNI {
            return self.dot(sum, w, x);
        }
        // |w| times x with the sign of w: 128 * 127 * 2 fits 16 bits.
        self.dot(sum, both!(_mm256_abs_epi8, w), both!(_mm256_sign_epi8, x, w))
    }
    #[inline(always)]
    fn mul_add_groups<const QUARTER: usize>(self, sum: F32, products: Int, scales: F32) -> F32 {
        let half = scales[QUARTER / 2];
        let first = 4 * (QUARTER % 2) as i32;
        let scales = cpu! {
            let low = _mm256_set_epi32(first + 1, first + 1, first + 1, first + 1, first, first, first, first);
            [
                _mm256_permutevar8x32_ps(half, low),
                _mm256_permutevar8x32_ps(half, _mm256_add_epi32(low, _mm256_set1_epi32(2))),
            ]
        };
        self.mul_add(self.to_f32(products), scales, sum)
    }

    #[inline(always)]
    fn transpose(self, bytes: &[u8], start: usize, stride: usize) -> [Int; 4] {
        assert!(stride <= bytes.len(), "rows lie inside");
        let bytes = &bytes[start..start + (LANES - 1) * stride + 16];
        let mut out = [[cpu!(_mm256_setzero_si256()); 2]; 4];
        for half in 0..2 {
            let mut rows = [cpu!(_mm256_setzero_si256()); 4];
            for (i, rows) in rows.iter_mut().enumerate() {
                let at = bytes.as_ptr().wrapping_add((8 * half + i) * stride);
                // SAFETY: 16 bytes from each of rows 8 * half + i and four further, below 16, were found to be there.
                let (low, high) =
                    unsafe { (_mm_loadu_si128(at.cast()), _mm_loadu_si128(at.wrapping_add(4 * stride).cast())) };
                *rows = cpu!(_mm256_set_m128i(high, low));
            }
            let [x0, x1, x2, x3] = rows;
            cpu! {
                let (a, b) = (_mm256_unpacklo_epi32(x0, x1), _mm256_unpackhi_epi32(x0, x1));
                let (c, d) = (_mm256_unpacklo_epi32(x2, x3), _mm256_unpackhi_epi32(x2, x3));
                out[0][half] = _mm256_unpacklo_epi64(a, c);
                out[1][half] = _mm256_unpackhi_epi64(a, c);
                out[2][half] = _mm256_unpacklo_epi64(b, d);
                out[3][half] = _mm256_unpackhi_epi64(b, d);
            }
        }
        out
    }
    #[inline(always)]
    fn byte<const I: u32>(self, x: Int) -> Int {
        let by = cpu!(_mm_cvtsi32_si128(8 * I as i32));
        let shifted = cpu!([_mm256_srl_epi32(x[0], by), _mm256_srl_epi32(x[1], by)]);
        self.and(shifted, self.splat_i32(0xff))
    }
    #[inline(always)]
    fn signed_byte<const I: u32>(self, x: Int) -> Int {
        let by = cpu!(_mm_cvtsi32_si128(24 - 8 * I as i32));
        let shifted = cpu!([_mm256_sll_epi32(x[0], by), _mm256_sll_epi32(x[1], by)]);
        cpu!([_mm256_srai_epi32::<24>(shifted[0]), _mm256_srai_epi32::<24>(shifted[1])])
    }
    #[inline(always)]
    fn half_to_f32<const I: u32>(self, x: Int) -> F32 {
        cpu! {
            let by = _mm_cvtsi32_si128(16 * I as i32);
            let low = _mm256_set1_epi32(0xffff);
            let [a, b] = [
                _mm256_and_si256(_mm256_srl_epi32(x[0], by), low),
                _mm256_and_si256(_mm256_srl_epi32(x[1], by), low),
            ];
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(a, b));
            [_mm256_cvtph_ps(_mm256_castsi256_si128(words)), _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(words))]
        }
    }
    #[inline(always)]
    fn f32_from_bytes(self, x: Int) -> F32 {
        both!(_mm256_castsi256_ps, x)
    }
    #[inline(always)]
    fn bytes_from_f32(self, x: F32) -> Int {
        both!(_mm256_castps_si256, x)
    }

    #[inline(always)]
    fn splat_f16(self, x: u16) -> F32 {
        // A broadcast from memory; loading one half would wait for the register's last value.
        cpu!([_mm256_cvtph_ps(_mm_set1_epi16(x as i16)); 2])
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
