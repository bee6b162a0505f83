//! NEON, which every 64-bit Arm CPU has: each vector is four registers. Later CPUs differ in how they multiply bytes.

use std::arch::{aarch64::*, asm};

use super::neon_memory::{load_four, load_one, store_four, store_one};
use super::simd::{Kernel, LANES, Simd, word_of_four};

/// The token; `P` is the proof of what the CPU has to multiply bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neon<P>(P);

/// How a generation of CPUs multiplies bytes. A value of a type that implements this proves that the CPU can.
pub(super) trait Products: Copy + Send + Sync + 'static {
    /// As [`Simd::NAME`].
    const NAME: &'static str;
    /// As [`Simd::TILE_DEPTH`].
    const TILE_DEPTH: usize = 4;

    /// As [`Simd::detect`].
    fn detect() -> Option<Self>;
    /// As [`Simd::run`].
    fn run<K: Kernel>(self, kernel: K) -> K::Output;
    /// Adds to each lane the products of its four signed bytes.
    fn dot(self, sum: int32x4_t, w: uint8x16_t, x: uint8x16_t) -> int32x4_t;
    /// As [`Simd::arrange`].
    #[inline(always)]
    fn arrange(self, _codes: &mut [u8]) {}
    /// As [`Simd::add_products`], for one vector of rows and at most 4 tokens.
    fn add_products<const N: usize>(self, products: &mut [I32; N], w: &[u8], x: &[i8]);
}

/// An intrinsic, or several.
macro_rules! cpu {
    ($($body:tt)*) => {{
        // SAFETY: NEON is part of the target, and no pointer is involved.
        unsafe { $($body)* }
    }};
}

/// The same intrinsic on all four registers.
macro_rules! each {
    ($f:ident, $a:expr) => {{
        let a = $a;
        cpu!([$f(a[0]), $f(a[1]), $f(a[2]), $f(a[3])])
    }};
    ($f:ident, $a:expr, $b:expr) => {{
        let (a, b) = ($a, $b);
        cpu!([$f(a[0], b[0]), $f(a[1], b[1]), $f(a[2], b[2]), $f(a[3], b[3])])
    }};
    ($f:ident, $a:expr, $b:expr, $c:expr) => {{
        let (a, b, c) = ($a, $b, $c);
        cpu!([$f(a[0], b[0], c[0]), $f(a[1], b[1], c[1]), $f(a[2], b[2], c[2]), $f(a[3], b[3], c[3])])
    }};
}

pub(super) use cpu;

type F32 = [float32x4_t; 4];
pub(super) type I32 = [int32x4_t; 4];
pub(super) type Bytes = [uint8x16_t; 4];

/// 16 half floats in two registers.
#[inline(always)]
fn widen_halves(x: [uint8x16_t; 2]) -> F32 {
    cpu! {
        let [a, b] = [vreinterpretq_f16_u8(x[0]), vreinterpretq_f16_u8(x[1])];
        [vcvt_f32_f16(vget_low_f16(a)), vcvt_high_f32_f16(a), vcvt_f32_f16(vget_low_f16(b)), vcvt_high_f32_f16(b)]
    }
}

/// 16 unsigned bytes.
#[inline(always)]
fn widen_bytes(x: uint8x16_t) -> F32 {
    let words = cpu! {
        let (a, b) = (vmovl_u8(vget_low_u8(x)), vmovl_high_u8(x));
        [vmovl_u16(vget_low_u16(a)), vmovl_high_u16(a), vmovl_u16(vget_low_u16(b)), vmovl_high_u16(b)]
    };
    each!(vcvtq_f32_u32, words)
}

/// A square of 4 times 4 words.
#[inline(always)]
fn transpose_four(rows: Bytes) -> Bytes {
    let [x0, x1, x2, x3] = each!(vreinterpretq_u32_u8, rows);
    let pairs = cpu!([vtrn1q_u32(x0, x1), vtrn2q_u32(x0, x1), vtrn1q_u32(x2, x3), vtrn2q_u32(x2, x3)]);
    let [a, b, c, d] = each!(vreinterpretq_u64_u32, pairs);
    each!(vreinterpretq_u8_u64, cpu!([vtrn1q_u64(a, c), vtrn1q_u64(b, d), vtrn2q_u64(a, c), vtrn2q_u64(b, d)]))
}

impl<P: Products> Neon<P> {
    /// A token for a CPU of this generation.
    pub(super) fn new(products: P) -> Self {
        Self(products)
    }
}

impl<P: Products> Simd for Neon<P> {
    type F32 = F32;
    type I32 = I32;
    type Bytes = Bytes;

    const NAME: &'static str = P::NAME;
    const BIAS: u8 = 0;
    const TILE_ROWS: usize = 1;
    const TILE_TOKENS: usize = 4;
    const TILE_DEPTH: usize = P::TILE_DEPTH;

    fn detect() -> Option<Self> {
        P::detect().map(Self)
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        self.0.run(kernel)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F32 {
        cpu!([vdupq_n_f32(x); 4])
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> F32 {
        each!(vreinterpretq_f32_u8, load_four(x))
    }
    #[inline(always)]
    fn store(self, x: F32, out: &mut [f32]) {
        store_four(each!(vreinterpretq_u8_f32, x), out);
    }
    #[inline(always)]
    fn load_f16(self, x: &[u16]) -> F32 {
        widen_halves([load_one(&x[..8]), load_one(&x[8..])])
    }
    #[inline(always)]
    fn load_f16_bytes(self, x: &[u8]) -> F32 {
        widen_halves([load_one(&x[..16]), load_one(&x[16..])])
    }
    #[inline(always)]
    fn load_bf16_bytes(self, x: &[u8]) -> F32 {
        let (a, b) = (load_one(&x[..16]), load_one(&x[16..]));
        // A zero below each makes it a float.
        let floats = cpu! {
            let (zero, a, b) = (vdupq_n_u16(0), vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b));
            [vzip1q_u16(zero, a), vzip2q_u16(zero, a), vzip1q_u16(zero, b), vzip2q_u16(zero, b)]
        };
        each!(vreinterpretq_f32_u16, floats)
    }
    #[inline(always)]
    fn store_f16(self, x: F32, out: &mut [u16]) {
        let (low, high) = out.split_at_mut(8);
        cpu! {
            store_one(vreinterpretq_u8_f16(vcvt_high_f16_f32(vcvt_f16_f32(x[0]), x[1])), low);
            store_one(vreinterpretq_u8_f16(vcvt_high_f16_f32(vcvt_f16_f32(x[2]), x[3])), high);
        }
    }
    #[inline(always)]
    fn f16_to_f32(self, x: u16) -> f32 {
        cpu!(vgetq_lane_f32::<0>(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(x)))))
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> F32 {
        let x = load_one(x);
        let words = cpu! {
            let x = vreinterpretq_s8_u8(x);
            let (a, b) = (vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x));
            [vmovl_s16(vget_low_s16(a)), vmovl_high_s16(a), vmovl_s16(vget_low_s16(b)), vmovl_high_s16(b)]
        };
        self.to_f32(words)
    }
    #[inline(always)]
    fn load_u8(self, x: &[u8; 16]) -> F32 {
        widen_bytes(load_one(x))
    }
    #[inline(always)]
    fn load_u8_twice(self, x: [u8; 8]) -> F32 {
        widen_bytes(cpu! {
            let x = vcreate_u8(u64::from_le_bytes(x));
            vcombine_u8(vzip1_u8(x, x), vzip2_u8(x, x))
        })
    }
    #[inline(always)]
    fn load_f16_twice(self, x: [u16; 8]) -> F32 {
        let x = cpu!(vreinterpretq_u16_u8(load_one(&x)));
        widen_halves(cpu!([vreinterpretq_u8_u16(vzip1q_u16(x, x)), vreinterpretq_u8_u16(vzip2q_u16(x, x))]))
    }
    #[inline(always)]
    fn add(self, a: F32, b: F32) -> F32 {
        each!(vaddq_f32, a, b)
    }
    #[inline(always)]
    fn sub(self, a: F32, b: F32) -> F32 {
        each!(vsubq_f32, a, b)
    }
    #[inline(always)]
    fn mul(self, a: F32, b: F32) -> F32 {
        each!(vmulq_f32, a, b)
    }
    #[inline(always)]
    fn div(self, a: F32, b: F32) -> F32 {
        each!(vdivq_f32, a, b)
    }
    #[inline(always)]
    fn mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        each!(vfmaq_f32, c, a, b)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: F32, b: F32, c: F32) -> F32 {
        each!(vfmsq_f32, c, a, b)
    }
    #[inline(always)]
    fn max(self, a: F32, b: F32) -> F32 {
        each!(vmaxnmq_f32, a, b)
    }
    #[inline(always)]
    fn min(self, a: F32, b: F32) -> F32 {
        each!(vminnmq_f32, a, b)
    }
    #[inline(always)]
    fn select_less(self, a: F32, b: F32, x: F32, y: F32) -> F32 {
        each!(vbslq_f32, each!(vcltq_f32, a, b), x, y)
    }
    #[inline(always)]
    fn sqrt(self, x: F32) -> F32 {
        each!(vsqrtq_f32, x)
    }
    #[inline(always)]
    fn abs(self, x: F32) -> F32 {
        each!(vabsq_f32, x)
    }
    #[inline(always)]
    fn reduce_add(self, x: F32) -> f32 {
        cpu!(vaddvq_f32(vaddq_f32(vaddq_f32(x[0], x[2]), vaddq_f32(x[1], x[3]))))
    }
    #[inline(always)]
    fn reduce_max(self, x: F32) -> f32 {
        cpu!(vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(x[0], x[2]), vmaxnmq_f32(x[1], x[3]))))
    }
    #[inline(always)]
    fn round(self, x: F32) -> I32 {
        each!(vcvtnq_s32_f32, x)
    }
    #[inline(always)]
    fn mul_power_of_two(self, x: F32, n: I32) -> F32 {
        let biased = each!(vaddq_s32, n, self.splat_i32(127));
        let power = each!(vshlq_s32, biased, self.splat_i32(23));
        self.mul(x, each!(vreinterpretq_f32_s32, power))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> I32 {
        cpu!([vdupq_n_s32(x); 4])
    }
    #[inline(always)]
    fn load_i32(self, x: &[i32]) -> I32 {
        each!(vreinterpretq_s32_u8, load_four(x))
    }
    #[inline(always)]
    fn words(self, x: I32) -> I32 {
        x
    }
    #[inline(always)]
    fn mul_add_words(self, sum: I32, x: I32, factor: I32) -> I32 {
        each!(vmlaq_s32, sum, x, factor)
    }
    #[inline(always)]
    fn to_f32(self, x: I32) -> F32 {
        each!(vcvtq_f32_s32, x)
    }
    #[inline(always)]
    fn reduce_add_i32(self, x: I32) -> i32 {
        cpu!(vaddvq_s32(vaddq_s32(vaddq_s32(x[0], x[2]), vaddq_s32(x[1], x[3]))))
    }
    #[inline(always)]
    fn float_bits(self, x: I32) -> F32 {
        each!(vreinterpretq_f32_s32, x)
    }
    #[inline(always)]
    fn sum_fours(self, x: [I32; 4]) -> I32 {
        let mut out = x[0];
        for (out, x) in out.iter_mut().zip(x) {
            *out = cpu!(vpaddq_s32(vpaddq_s32(x[0], x[1]), vpaddq_s32(x[2], x[3])));
        }
        out
    }
    #[inline(always)]
    fn store_i32(self, x: I32, out: &mut [i32]) {
        store_four(each!(vreinterpretq_u8_s32, x), out);
    }
    #[inline(always)]
    fn store_i8(self, x: I32, out: &mut [i8]) {
        let bytes = cpu! {
            let a = vmovn_high_s32(vmovn_s32(x[0]), x[1]);
            let b = vmovn_high_s32(vmovn_s32(x[2]), x[3]);
            vreinterpretq_u8_s8(vmovn_high_s16(vmovn_s16(a), b))
        };
        store_one(bytes, out);
    }

    #[inline(always)]
    fn load_bytes(self, x: &[u8]) -> Bytes {
        load_four(x)
    }
    #[inline(always)]
    fn load_signed(self, x: &[i8]) -> Bytes {
        load_four(x)
    }
    #[inline(always)]
    fn load_halves(self, a: &[u8], b: &[u8]) -> Bytes {
        [load_one(&a[..16]), load_one(&a[16..]), load_one(&b[..16]), load_one(&b[16..])]
    }
    #[inline(always)]
    fn load_quarters(self, a: &[u8], b: &[u8], c: &[u8], d: &[u8]) -> Bytes {
        [load_one(a), load_one(b), load_one(c), load_one(d)]
    }
    #[inline(always)]
    fn store_bytes(self, x: Bytes, out: &mut [u8]) {
        store_four(x, out);
    }
    #[inline(always)]
    fn splat_byte(self, x: u8) -> Bytes {
        cpu!([vdupq_n_u8(x); 4])
    }
    #[inline(always)]
    fn splat_four(self, x: &[i8]) -> Bytes {
        each!(vreinterpretq_u8_s32, self.splat_i32(word_of_four(x)))
    }
    #[inline(always)]
    fn and(self, a: Bytes, b: Bytes) -> Bytes {
        each!(vandq_u8, a, b)
    }
    #[inline(always)]
    fn or(self, a: Bytes, b: Bytes) -> Bytes {
        each!(vorrq_u8, a, b)
    }
    #[inline(always)]
    fn xor(self, a: Bytes, b: Bytes) -> Bytes {
        each!(veorq_u8, a, b)
    }
    #[inline(always)]
    fn abs_bytes(self, x: Bytes) -> Bytes {
        each!(vreinterpretq_u8_s8, each!(vabsq_s8, each!(vreinterpretq_s8_u8, x)))
    }
    #[inline(always)]
    fn shift_right<const N: u32>(self, x: Bytes) -> Bytes {
        self.shift_right_quarters::<N, N, N, N>(x)
    }
    #[inline(always)]
    fn shift_left<const N: u32>(self, x: Bytes) -> Bytes {
        each!(vshlq_u8, x, cpu!([vdupq_n_s8(N as i8); 4]))
    }
    #[inline(always)]
    fn shift_right_quarters<const A: u32, const B: u32, const C: u32, const D: u32>(self, x: Bytes) -> Bytes {
        // To the left by a negative distance; the compiler makes it a shift by a constant.
        let distance = [-(A as i8), -(B as i8), -(C as i8), -(D as i8)];
        each!(vshlq_u8, x, each!(vdupq_n_s8, distance))
    }
    #[inline(always)]
    fn lookup(self, table: &[u8; 16], codes: Bytes) -> Bytes {
        each!(vqtbl1q_u8, [load_one(table); 4], codes)
    }
    #[inline(always)]
    fn expand_bits(self, bits: u64) -> Bytes {
        const BYTE: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];
        const BIT: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
        let bytes = cpu!(vreinterpretq_u8_u64(vdupq_n_u64(bits)));
        let places = each!(vaddq_u8, [load_one(&BYTE); 4], each!(vdupq_n_u8, [0, 2, 4, 6]));
        each!(vtstq_u8, each!(vqtbl1q_u8, [bytes; 4], places), [load_one(&BIT); 4])
    }

    #[inline(always)]
    fn dot(self, sum: I32, w: Bytes, x: Bytes) -> I32 {
        // Codes of at most 127 are the same signed.
        self.dot_signed(sum, w, x)
    }
    #[inline(always)]
    fn dot_signed(self, sum: I32, w: Bytes, x: Bytes) -> I32 {
        let mut sum = sum;
        for i in 0..4 {
            sum[i] = self.0.dot(sum[i], w[i], x[i]);
        }
        sum
    }
    #[inline(always)]
    fn mul_add_groups<const QUARTER: usize>(self, sum: F32, products: I32, scales: F32) -> F32 {
        let (x, scales) = (self.to_f32(products), scales[QUARTER]);
        cpu!([
            vfmaq_laneq_f32::<0>(sum[0], x[0], scales),
            vfmaq_laneq_f32::<1>(sum[1], x[1], scales),
            vfmaq_laneq_f32::<2>(sum[2], x[2], scales),
            vfmaq_laneq_f32::<3>(sum[3], x[3], scales),
        ])
    }

    #[inline(always)]
    fn add_scaled_products<const SIGNED: bool, const GROUP: usize>(
        self,
        sum: F32,
        w: &[Bytes; 4],
        x: &[i8],
        scales: F32,
    ) -> F32 {
        // One register for each scale: of every group of 16, or of each two that share it.
        let each = GROUP / 16;
        let mut groups = [cpu!(vdupq_n_s32(0)); 16];
        for i in 0..16 {
            groups[i / each] = self.0.dot(groups[i / each], w[i / 4][i % 4], load_one(&x[16 * i..]));
        }
        let mut sum = sum;
        for i in 0..4 / each {
            cpu! {
                // Four groups become the lanes of one register.
                let pairs = [vpaddq_s32(groups[4 * i], groups[4 * i + 1]), vpaddq_s32(groups[4 * i + 2], groups[4 * i + 3])];
                let products = vcvtq_f32_s32(vpaddq_s32(pairs[0], pairs[1]));
                let scales = if GROUP == 32 { vuzp1q_f32(scales[2 * i], scales[2 * i + 1]) } else { scales[i] };
                sum[i] = vfmaq_f32(sum[i], products, scales);
            }
        }
        sum
    }
    #[inline(always)]
    fn arrange(self, codes: &mut [u8]) {
        self.0.arrange(codes);
    }
    #[inline(always)]
    fn add_products<const SIGNED: bool, const M: usize, const N: usize>(
        self,
        products: &mut [[I32; M]; N],
        w: &[u8],
        x: &[i8],
    ) {
        assert!(M == Self::TILE_ROWS, "tiles are as this instruction set has them");
        let products = products.as_flattened_mut().first_chunk_mut().expect("one vector of rows");
        self.0.add_products::<N>(products, w, x);
    }

    #[inline(always)]
    fn transpose(self, bytes: &[u8], start: usize, stride: usize) -> [Bytes; 4] {
        assert!(stride <= bytes.len(), "rows lie inside");
        let bytes = &bytes[start..start + (LANES - 1) * stride + 16];
        let four_rows = |first: usize| {
            let at = |row: usize| bytes.as_ptr().wrapping_add((first + row) * stride);
            // SAFETY: 16 bytes from each of 4 rows, all below 16, were found to be there above.
            transpose_four(unsafe { [vld1q_u8(at(0)), vld1q_u8(at(1)), vld1q_u8(at(2)), vld1q_u8(at(3))] })
        };
        let (a, b, c, d) = (four_rows(0), four_rows(4), four_rows(8), four_rows(12));
        [[a[0], b[0], c[0], d[0]], [a[1], b[1], c[1], d[1]], [a[2], b[2], c[2], d[2]], [a[3], b[3], c[3], d[3]]]
    }
    #[inline(always)]
    fn byte<const I: u32>(self, x: Bytes) -> I32 {
        let shifted = each!(vshlq_u32, each!(vreinterpretq_u32_u8, x), self.splat_i32(-8 * I as i32));
        each!(vreinterpretq_s32_u32, each!(vandq_u32, shifted, cpu!([vdupq_n_u32(0xff); 4])))
    }
    #[inline(always)]
    fn signed_byte<const I: u32>(self, x: Bytes) -> I32 {
        let high = each!(vshlq_s32, each!(vreinterpretq_s32_u8, x), self.splat_i32(24 - 8 * I as i32));
        each!(vshlq_s32, high, self.splat_i32(-24))
    }
    #[inline(always)]
    fn half_to_f32<const I: u32>(self, x: Bytes) -> F32 {
        let shifted = each!(vshlq_u32, each!(vreinterpretq_u32_u8, x), self.splat_i32(-16 * I as i32));
        each!(vcvt_f32_f16, each!(vreinterpret_f16_u16, each!(vmovn_u32, shifted)))
    }
    #[inline(always)]
    fn f32_from_bytes(self, x: Bytes) -> F32 {
        each!(vreinterpretq_f32_u8, x)
    }
    #[inline(always)]
    fn bytes_from_f32(self, x: F32) -> Bytes {
        each!(vreinterpretq_u8_f32, x)
    }

    #[inline(always)]
    fn prefetch<T>(self, x: &[T], ahead: usize) {
        for line in (0..size_of_val(x)).step_by(64) {
            let at = x.as_ptr().addr().wrapping_add(ahead + line);
            // SAFETY: a hint; it neither reads nor faults.
            unsafe { asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nomem, nostack, preserves_flags)) }
        }
    }
    #[inline(always)]
    fn prefetch_far<T>(self, x: &[T], ahead: usize) {
        for line in (0..size_of_val(x)).step_by(64) {
            let at = x.as_ptr().addr().wrapping_add(ahead + line);
            // SAFETY: a hint; it neither reads nor faults.
            unsafe { asm!("prfm pldl2keep, [{at}]", at = in(reg) at, options(nomem, nostack, preserves_flags)) }
        }
    }
}
