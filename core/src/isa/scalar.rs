//! No instruction set in particular: plain loops over arrays, which the compiler turns into whatever every CPU of the
//! target has.

use super::scalar_whole::WholeScales;
use super::simd::{Kernel, LANES, Simd};
use crate::formats::f16;

/// The instruction set that every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar(());

impl Scalar {
    /// Needs no proof.
    pub const NEW: Self = Self(());
}

pub(super) type F32 = [f32; LANES];
pub(super) type I32 = [i32; LANES];
pub(super) type Bytes = [u8; 64];

/// Applies `f` to each element; a loop, so that it is unrolled into vector code.
#[inline(always)]
fn map<A: Copy, B: Copy + Default, const N: usize>(a: [A; N], f: impl Fn(A) -> B) -> [B; N] {
    let mut out = [B::default(); N];
    for i in 0..N {
        out[i] = f(a[i]);
    }
    out
}

/// Applies `f` to each pair of elements.
#[inline(always)]
fn zip<A: Copy, B: Copy + Default, const N: usize>(a: [A; N], b: [A; N], f: impl Fn(A, A) -> B) -> [B; N] {
    let mut out = [B::default(); N];
    for i in 0..N {
        out[i] = f(a[i], b[i]);
    }
    out
}

#[inline(always)]
fn first<T: Copy, const N: usize>(x: &[T]) -> [T; N] {
    *x.first_chunk().expect("a slice holds a vector")
}

/// Sums in the order in which vectors are folded, which also lets the compiler use them.
#[inline(always)]
fn fold<T: Copy + Default>(x: [T; LANES], f: impl Fn(T, T) -> T) -> T {
    let mut x = x;
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            x[i] = f(x[i], x[i + width]);
        }
        width /= 2;
    }
    x[0]
}

#[inline(always)]
fn bfloat16_to_f32(x: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(x)) << 16)
}

/// Adding and subtracting 1.5 * 2^23 rounds to an integer, ties to even.
#[inline(always)]
fn round(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
}

/// The products of four bytes each, added to their lane.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(super) fn dot<const SIGNED: bool>(sum: I32, w: &Bytes, x: &Bytes) -> I32 {
    let mut out = sum;
    for (i, out) in out.iter_mut().enumerate() {
        for k in 4 * i..4 * i + 4 {
            let w = if SIGNED { i16::from(w[k] as i8) } else { i16::from(w[k]) };
            *out += i32::from(w * i16::from(x[k] as i8));
        }
    }
    out
}

/// The same with SSE2, which every x86-64 has and which the compiler does not find by itself.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn dot<const SIGNED: bool>(sum: I32, w: &Bytes, x: &Bytes) -> I32 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_castps_si128, _mm_castsi128_ps, _mm_loadu_si128, _mm_madd_epi16, _mm_setzero_si128,
        _mm_shuffle_ps, _mm_srai_epi16, _mm_storeu_si128, _mm_unpackhi_epi8, _mm_unpacklo_epi8,
    };
    let mut out = sum;
    for i in 0..4 {
        let (w, x, out) = (&w[16 * i..][..16], &x[16 * i..][..16], &mut out[4 * i..][..4]);
        // SAFETY: x86-64 includes SSE2, and the slices hold the 16 bytes that are loaded or stored, of any alignment.
        unsafe {
            let (w, x): (__m128i, __m128i) = (_mm_loadu_si128(w.as_ptr().cast()), _mm_loadu_si128(x.as_ptr().cast()));
            // Twice the same byte, shifted as a word: the byte with its sign.
            let x = (_mm_srai_epi16::<8>(_mm_unpacklo_epi8(x, x)), _mm_srai_epi16::<8>(_mm_unpackhi_epi8(x, x)));
            let w = if SIGNED {
                (_mm_srai_epi16::<8>(_mm_unpacklo_epi8(w, w)), _mm_srai_epi16::<8>(_mm_unpackhi_epi8(w, w)))
            } else {
                (_mm_unpacklo_epi8(w, _mm_setzero_si128()), _mm_unpackhi_epi8(w, _mm_setzero_si128()))
            };
            let low = _mm_castsi128_ps(_mm_madd_epi16(w.0, x.0));
            let high = _mm_castsi128_ps(_mm_madd_epi16(w.1, x.1));
            let even = _mm_castps_si128(_mm_shuffle_ps::<0b10_00_10_00>(low, high));
            let odd = _mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(low, high));
            let sums = _mm_add_epi32(_mm_loadu_si128(out.as_ptr().cast()), _mm_add_epi32(even, odd));
            _mm_storeu_si128(out.as_mut_ptr().cast(), sums);
        }
    }
    out
}

impl Simd for Scalar {
    type F32 = F32;
    type I32 = I32;
    type Bytes = Bytes;
    type WholeScales = WholeScales;

    const NAME: &'static str = "scalar";
    const BIAS: u8 = 0;
    const TILE_ROWS: usize = 1;
    const TILE_TOKENS: usize = 1;

    fn detect() -> Option<Self> {
        Some(Self::NEW)
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F32 {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> F32 {
        first(x)
    }
    #[inline(always)]
    fn store(self, x: F32, out: &mut [f32]) {
        out[..LANES].copy_from_slice(&x);
    }
    #[inline]
    fn load_f16(self, x: &[u16]) -> F32 {
        map(first::<u16, LANES>(x), f16::to_f32)
    }
    #[inline]
    fn load_f16_bytes(self, x: &[u8]) -> F32 {
        let (halves, _) = x[..2 * LANES].as_chunks::<2>();
        map(first::<[u8; 2], LANES>(halves), f16::read)
    }
    #[inline(always)]
    fn load_bf16_bytes(self, x: &[u8]) -> F32 {
        let (halves, _) = x[..2 * LANES].as_chunks::<2>();
        map(first::<[u8; 2], LANES>(halves), bfloat16_to_f32)
    }
    #[inline]
    fn store_f16(self, x: F32, out: &mut [u16]) {
        out[..LANES].copy_from_slice(&map(x, f16::from_f32));
    }
    #[inline(always)]
    fn f16_to_f32(self, x: u16) -> f32 {
        f16::to_f32(x)
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> F32 {
        map(first::<i8, LANES>(x), f32::from)
    }
    #[inline(always)]
    fn load_u8(self, x: &[u8; 16]) -> F32 {
        map(*x, f32::from)
    }
    #[inline]
    fn load_u8_twice(self, x: [u8; 8]) -> F32 {
        let mut out = [0.0; LANES];
        for (i, out) in out.iter_mut().enumerate() {
            *out = f32::from(x[i / 2]);
        }
        out
    }
    #[inline]
    fn load_f16_twice(self, x: [u16; 8]) -> F32 {
        let mut out = [0.0; LANES];
        for (i, out) in out.iter_mut().enumerate() {
            *out = f16::to_f32(x[i / 2]);
        }
        out
    }
    #[inline(always)]
    fn add(self, a: F32, b: F32) -> F32 {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: F32, b: F32) -> F32 {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: F32, b: F32) -> F32 {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: F32, b: F32) -> F32 {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        self.sub(c, self.mul(a, b))
    }
    #[inline(always)]
    fn max(self, a: F32, b: F32) -> F32 {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: F32, b: F32) -> F32 {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn select_less(self, a: F32, b: F32, x: F32, y: F32) -> F32 {
        let mut out = y;
        for i in 0..LANES {
            out[i] = if a[i] < b[i] { x[i] } else { y[i] };
        }
        out
    }
    #[inline(always)]
    fn sqrt(self, x: F32) -> F32 {
        map(x, f32::sqrt)
    }
    #[inline(always)]
    fn abs(self, x: F32) -> F32 {
        map(x, f32::abs)
    }
    #[inline(always)]
    fn reduce_add(self, x: F32) -> f32 {
        fold(x, |a, b| a + b)
    }
    #[inline(always)]
    fn reduce_max(self, x: F32) -> f32 {
        fold(x, |a, b| if a > b { a } else { b })
    }
    #[inline]
    fn round(self, x: F32) -> I32 {
        map(x, round)
    }
    #[inline]
    fn mul_power_of_two(self, x: F32, n: I32) -> F32 {
        self.mul(x, map(n, |n| f32::from_bits((n.wrapping_add(127) as u32) << 23)))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> I32 {
        [x; LANES]
    }
    #[inline(always)]
    fn load_i32(self, x: &[i32]) -> I32 {
        first(x)
    }
    #[inline(always)]
    fn words(self, x: I32) -> I32 {
        x
    }
    #[inline(always)]
    fn mul_add_words(self, sum: I32, x: I32, factor: I32) -> I32 {
        zip(sum, zip(x, factor, |x, factor| x * factor), |sum, product| sum + product)
    }
    #[inline(always)]
    fn to_f32(self, x: I32) -> F32 {
        map(x, |x| x as f32)
    }
    #[inline(always)]
    fn reduce_add_i32(self, x: I32) -> i32 {
        fold(x, i32::wrapping_add)
    }
    #[inline(always)]
    fn float_bits(self, x: I32) -> F32 {
        map(x, |x| f32::from_bits(x as u32))
    }
    #[inline(always)]
    fn sum_fours(self, x: [I32; 4]) -> I32 {
        let mut out = [0; LANES];
        for (i, out) in out.iter_mut().enumerate() {
            *out = x[i / 4][i % 4 * 4..][..4].iter().sum();
        }
        out
    }
    #[inline(always)]
    fn store_i32(self, x: I32, out: &mut [i32]) {
        out[..LANES].copy_from_slice(&x);
    }
    #[inline(always)]
    fn store_i8(self, x: I32, out: &mut [i8]) {
        out[..LANES].copy_from_slice(&map(x, |x| x as i8));
    }

    #[inline(always)]
    fn load_bytes(self, x: &[u8]) -> Bytes {
        first(x)
    }
    #[inline(always)]
    fn load_signed(self, x: &[i8]) -> Bytes {
        map(first::<i8, 64>(x), |x| x as u8)
    }
    #[inline(always)]
    fn load_halves(self, a: &[u8], b: &[u8]) -> Bytes {
        let mut out = [0; 64];
        out[..32].copy_from_slice(&a[..32]);
        out[32..].copy_from_slice(&b[..32]);
        out
    }
    #[inline(always)]
    fn load_quarters(self, a: &[u8], b: &[u8], c: &[u8], d: &[u8]) -> Bytes {
        let mut out = [0; 64];
        out[..16].copy_from_slice(&a[..16]);
        out[16..32].copy_from_slice(&b[..16]);
        out[32..48].copy_from_slice(&c[..16]);
        out[48..].copy_from_slice(&d[..16]);
        out
    }
    #[inline(always)]
    fn store_bytes(self, x: Bytes, out: &mut [u8]) {
        out[..64].copy_from_slice(&x);
    }
    #[inline(always)]
    fn splat_byte(self, x: u8) -> Bytes {
        [x; 64]
    }
    #[inline]
    fn splat_four(self, x: &[i8]) -> Bytes {
        let four: [i8; 4] = first(x);
        let mut out = [0; 64];
        for (i, out) in out.iter_mut().enumerate() {
            *out = four[i % 4] as u8;
        }
        out
    }
    #[inline(always)]
    fn and(self, a: Bytes, b: Bytes) -> Bytes {
        zip(a, b, |a, b| a & b)
    }
    #[inline(always)]
    fn or(self, a: Bytes, b: Bytes) -> Bytes {
        zip(a, b, |a, b| a | b)
    }
    #[inline(always)]
    fn xor(self, a: Bytes, b: Bytes) -> Bytes {
        zip(a, b, |a, b| a ^ b)
    }
    #[inline(always)]
    fn abs_bytes(self, x: Bytes) -> Bytes {
        map(x, |x| (x as i8).unsigned_abs())
    }
    #[inline(always)]
    fn shift_right<const N: u32>(self, x: Bytes) -> Bytes {
        map(x, |x| x >> N)
    }
    #[inline(always)]
    fn shift_left<const N: u32>(self, x: Bytes) -> Bytes {
        map(x, |x| x << N)
    }
    #[inline(always)]
    fn shift_halves(self, x: Bytes, right: [i32; 2]) -> Bytes {
        let mut out = x;
        for (half, right) in out.as_chunks_mut::<32>().0.iter_mut().zip(right) {
            *half = if right < 0 { map(*half, |x| x << -right) } else { map(*half, |x| x >> right) };
        }
        out
    }
    #[inline]
    fn shift_right_quarters<const A: u32, const B: u32, const C: u32, const D: u32>(self, x: Bytes) -> Bytes {
        let mut out = x;
        for i in 0..16 {
            out[i] >>= A;
            out[16 + i] >>= B;
            out[32 + i] >>= C;
            out[48 + i] >>= D;
        }
        out
    }
    #[inline]
    fn lookup(self, table: &[u8; 16], codes: Bytes) -> Bytes {
        map(codes, |code| table[usize::from(code & 15)])
    }
    #[inline]
    fn expand_bits(self, bits: u64) -> Bytes {
        let mut out = [0; 64];
        for (i, out) in out.iter_mut().enumerate() {
            *out = 0u8.wrapping_sub((bits >> i) as u8 & 1);
        }
        out
    }

    #[inline]
    fn dot(self, sum: I32, w: Bytes, x: Bytes) -> I32 {
        dot::<false>(sum, &w, &x)
    }
    #[inline]
    fn dot_signed(self, sum: I32, w: Bytes, x: Bytes) -> I32 {
        dot::<true>(sum, &w, &x)
    }
    #[inline]
    fn mul_add_groups<const QUARTER: usize>(self, sum: F32, products: I32, scales: F32) -> F32 {
        let mut out = sum;
        for i in 0..LANES {
            out[i] += products[i] as f32 * scales[4 * QUARTER + i / 4];
        }
        out
    }

    #[inline]
    fn whole_scales<const GROUP: usize>(self, scales: u128, offset: i16, factor: F32) -> WholeScales {
        WholeScales::new::<GROUP>(scales, offset, factor)
    }
    #[inline]
    fn add_whole_products<const GROUP: usize>(
        self,
        sum: F32,
        w: &[Bytes; 4],
        scales: &WholeScales,
        x: &[i8],
        x_factor: f32,
        offset_sums: Option<&[i16; LANES]>,
    ) -> F32 {
        scales.add_products(sum, w, x, x_factor, offset_sums)
    }

    #[inline]
    fn transpose(self, bytes: &[u8], start: usize, stride: usize) -> [Bytes; 4] {
        let mut out = [[0; 64]; 4];
        for row in 0..LANES {
            let bytes = &bytes[start + row * stride..][..16];
            for (i, out) in out.iter_mut().enumerate() {
                out[4 * row..4 * row + 4].copy_from_slice(&bytes[4 * i..4 * i + 4]);
            }
        }
        out
    }
    #[inline]
    fn byte<const I: u32>(self, x: Bytes) -> I32 {
        let mut out = [0; LANES];
        for (i, out) in out.iter_mut().enumerate() {
            *out = i32::from(x[4 * i + I as usize]);
        }
        out
    }
    #[inline]
    fn signed_byte<const I: u32>(self, x: Bytes) -> I32 {
        map(self.byte::<I>(x), |x| i32::from(x as i8))
    }
    #[inline]
    fn half_to_f32<const I: u32>(self, x: Bytes) -> F32 {
        let mut out = [0.0; LANES];
        for (i, out) in out.iter_mut().enumerate() {
            let at = 4 * i + 2 * I as usize;
            *out = f16::read([x[at], x[at + 1]]);
        }
        out
    }
    #[inline(always)]
    fn f32_from_bytes(self, x: Bytes) -> F32 {
        let mut out = [0.0; LANES];
        for (i, out) in out.iter_mut().enumerate() {
            *out = f32::from_ne_bytes(first(&x[4 * i..]));
        }
        out
    }
    #[inline(always)]
    fn bytes_from_f32(self, x: F32) -> Bytes {
        let mut out = [0; 64];
        for (i, x) in x.iter().enumerate() {
            out[4 * i..4 * i + 4].copy_from_slice(&x.to_ne_bytes());
        }
        out
    }

    #[inline(always)]
    fn prefetch<T>(self, _x: &[T], _ahead: usize) {}
    #[inline(always)]
    fn prefetch_far<T>(self, _x: &[T], _ahead: usize) {}
}
