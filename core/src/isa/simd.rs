//! The thin trait between kernels and instruction sets.
//!
//! Every instruction set shows the same three vectors, however many registers they take: 16 floats, 16 integers and
//! 64 bytes. So one text of a kernel serves all, and integers are exactly equal on all; floats differ by their order.

/// How many 32-bit numbers a vector holds.
pub const LANES: usize = 16;

/// How far ahead of its use a stream is asked for: from memory into the second-level cache, and from there into the
/// first. Either alone costs decode a fifth to a tenth of its speed.
const FAR_BYTES: usize = 4 * 1024;
const NEAR_BYTES: usize = 1024;

/// Work to run with an instruction set. `run` must be `#[inline(always)]`, as must all that it calls with `simd`, and
/// closures must not capture vectors: only what is inlined gets the instruction set's code.
pub trait Kernel {
    /// What `run` gives.
    type Output;

    /// The work.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The first four bytes as one number, as they lie in memory on a little-endian machine.
#[inline(always)]
pub(super) fn word_of_four(x: &[i8]) -> i32 {
    let x = &x[..4];
    i32::from_le_bytes([x[0] as u8, x[1] as u8, x[2] as u8, x[3] as u8])
}

/// An instruction set. A value of a type that implements this proves that the CPU has it.
///
/// Slices that are loaded or stored must hold at least the vector (checked), and only its length is used.
pub trait Simd: Copy + Send + Sync + 'static {
    /// 16 floats.
    type F32: Copy;
    /// 16 integers of 32 bits.
    type I32: Copy;
    /// 64 bytes.
    type Bytes: Copy;

    /// What users write.
    const NAME: &'static str;
    /// What [`Simd::dot_signed`] wants added to its signed codes: 0, or 128 where the CPU multiplies unsigned by signed.
    const BIAS: u8;
    /// Prefill tile: how many vectors of 16 rows it has.
    const TILE_ROWS: usize;
    /// Prefill tile: how many tokens it has at most (at most 8).
    const TILE_TOKENS: usize;
    /// Prefill tile: how many codes of a row, and of a token, lie side by side.
    const TILE_DEPTH: usize = 4;

    /// The token, if this CPU has the instructions.
    fn detect() -> Option<Self>;
    /// Runs a kernel compiled for this instruction set.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;

    // Floats.

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::F32;
    /// The first 16 of `x`.
    fn load(self, x: &[f32]) -> Self::F32;
    /// Writes the first 16 of `out`.
    fn store(self, x: Self::F32, out: &mut [f32]);
    /// 16 half floats, as bits.
    fn load_f16(self, x: &[u16]) -> Self::F32;
    /// 16 half floats, as 32 little-endian bytes.
    fn load_f16_bytes(self, x: &[u8]) -> Self::F32;
    /// 16 bfloat16, as 32 little-endian bytes.
    fn load_bf16_bytes(self, x: &[u8]) -> Self::F32;
    /// Writes 16 half floats, rounded to nearest, ties to even.
    fn store_f16(self, x: Self::F32, out: &mut [u16]);
    /// One half float.
    fn f16_to_f32(self, x: u16) -> f32;
    /// 16 signed bytes as floats.
    fn load_i8(self, x: &[i8]) -> Self::F32;
    /// 16 unsigned bytes as floats.
    fn load_u8(self, x: &[u8; 16]) -> Self::F32;
    /// 8 unsigned bytes as floats, each in two lanes side by side.
    fn load_u8_twice(self, x: [u8; 8]) -> Self::F32;
    /// 8 half floats, each in two lanes side by side.
    fn load_f16_twice(self, x: [u16; 8]) -> Self::F32;
    /// `a + b`.
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`.
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`.
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once where the CPU can.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `c - a * b`, rounded once where the CPU can.
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// The larger of each pair; with a NaN, either.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The smaller of each pair; with a NaN, either.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `x` where `a < b`, else `y`.
    fn select_less(self, a: Self::F32, b: Self::F32, x: Self::F32, y: Self::F32) -> Self::F32;
    /// Square root.
    fn sqrt(self, x: Self::F32) -> Self::F32;
    /// Without the sign.
    fn abs(self, x: Self::F32) -> Self::F32;
    /// Sum of the lanes.
    fn reduce_add(self, x: Self::F32) -> f32;
    /// Largest of the lanes.
    fn reduce_max(self, x: Self::F32) -> f32;
    /// Nearest integers, ties to even; unspecified where they do not fit.
    fn round(self, x: Self::F32) -> Self::I32;
    /// `x * 2^n` for normal `x`; n from -126 to 127, and the result in the normal range.
    fn mul_power_of_two(self, x: Self::F32, n: Self::I32) -> Self::F32;

    // Integers.

    /// All lanes `x`.
    fn splat_i32(self, x: i32) -> Self::I32;
    /// The first 16 of `x`.
    fn load_i32(self, x: &[i32]) -> Self::I32;
    /// As floats.
    fn to_f32(self, x: Self::I32) -> Self::F32;
    /// Numbers that fit 16 bits with their signs, as [`Simd::mul_add_words`] takes its factor.
    fn words(self, x: Self::I32) -> Self::I32;
    /// `sum + x * factor`, for `x` that fits 16 bits with its sign and a factor made by [`Simd::words`].
    fn mul_add_words(self, sum: Self::I32, x: Self::I32, factor: Self::I32) -> Self::I32;
    /// The same bits.
    fn float_bits(self, x: Self::I32) -> Self::F32;
    /// Sum of the lanes.
    fn reduce_add_i32(self, x: Self::I32) -> i32;
    /// Lane `4 * i + j` is the sum of the lanes `4 * j .. 4 * j + 4` of `x[i]`.
    fn sum_fours(self, x: [Self::I32; 4]) -> Self::I32;
    /// Writes the first 16 of `out`.
    fn store_i32(self, x: Self::I32, out: &mut [i32]);
    /// Writes the lanes, which fit a signed byte, to the first 16 of `out`.
    fn store_i8(self, x: Self::I32, out: &mut [i8]);

    // Bytes.

    /// The first 64 bytes.
    fn load_bytes(self, x: &[u8]) -> Self::Bytes;
    /// The first 64 signed bytes.
    fn load_signed(self, x: &[i8]) -> Self::Bytes;
    /// 32 bytes of each.
    fn load_halves(self, a: &[u8], b: &[u8]) -> Self::Bytes;
    /// 16 bytes of each.
    fn load_quarters(self, a: &[u8], b: &[u8], c: &[u8], d: &[u8]) -> Self::Bytes;
    /// Writes 64 bytes.
    fn store_bytes(self, x: Self::Bytes, out: &mut [u8]);
    /// All bytes `x`.
    fn splat_byte(self, x: u8) -> Self::Bytes;
    /// The first 4 bytes of `x`, 16 times.
    fn splat_four(self, x: &[i8]) -> Self::Bytes;
    /// `a & b`.
    fn and(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// `a | b`.
    fn or(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// `a ^ b`.
    fn xor(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// Signed bytes above -128 without their signs.
    fn abs_bytes(self, x: Self::Bytes) -> Self::Bytes;
    /// Each byte shifted right; bits that come in from the neighbour are unspecified, so mask them off.
    fn shift_right<const N: u32>(self, x: Self::Bytes) -> Self::Bytes;
    /// Each byte shifted left; bits that come in from the neighbour are unspecified, so mask them off.
    fn shift_left<const N: u32>(self, x: Self::Bytes) -> Self::Bytes;
    /// As `shift_right`, with a distance of its own for each 16 bytes.
    fn shift_right_quarters<const A: u32, const B: u32, const C: u32, const D: u32>(
        self,
        x: Self::Bytes,
    ) -> Self::Bytes;
    /// `table[code]` of each byte; codes are below 16.
    fn lookup(self, table: &[u8; 16], codes: Self::Bytes) -> Self::Bytes;
    /// Byte `i` is 255 if bit `i` is set, else 0.
    fn expand_bits(self, bits: u64) -> Self::Bytes;

    // Products.

    /// Adds to each lane the products of its four bytes: `w` unsigned, at most 127; `x` signed, above -128.
    fn dot(self, sum: Self::I32, w: Self::Bytes, x: Self::Bytes) -> Self::I32;
    /// As `dot`, for `w` signed with [`Simd::BIAS`] added; the sum includes the bias times the sum of `x`.
    fn dot_signed(self, sum: Self::I32, w: Self::Bytes, x: Self::Bytes) -> Self::I32;
    /// `sum + products * scales`, where four neighbouring lanes of `products` share the scale in lane
    /// `4 * QUARTER + lane / 4`: 64 codes have 4 groups of 16.
    fn mul_add_groups<const QUARTER: usize>(self, sum: Self::F32, products: Self::I32, scales: Self::F32) -> Self::F32;

    /// Adds the products of 256 codes, each times its scale: groups of 16 have one each, equal for those of a `GROUP` (16 or
    /// 32). What each lane adds is unspecified, their sum is not. `SIGNED` says `dot_signed`, else `dot`.
    #[inline(always)]
    fn add_scaled_products<const SIGNED: bool, const GROUP: usize>(
        self,
        sum: Self::F32,
        w: &[Self::Bytes; 4],
        x: &[i8],
        scales: Self::F32,
    ) -> Self::F32 {
        let mut products = [self.splat_i32(0); 4];
        for i in 0..4 {
            let x = self.load_signed(&x[64 * i..]);
            products[i] = if SIGNED { self.dot_signed(products[i], w[i], x) } else { self.dot(products[i], w[i], x) };
        }
        let sum = self.mul_add_groups::<0>(sum, products[0], scales);
        let sum = self.mul_add_groups::<1>(sum, products[1], scales);
        let sum = self.mul_add_groups::<2>(sum, products[2], scales);
        self.mul_add_groups::<3>(sum, products[3], scales)
    }

    // Prefill tiles: lanes are rows.

    /// Puts the codes of a tile, which are (fours, vectors of rows, 16 rows, 4), into the order that
    /// [`Simd::add_products`] reads.
    #[inline(always)]
    fn arrange(self, _codes: &mut [u8]) {}
    /// Adds the products of a multiple of 16 codes of each row, (depths, `M` vectors of rows, 16 rows, [`Simd::TILE_DEPTH`]),
    /// and of each token, (depths, `N` tokens, [`Simd::TILE_DEPTH`]). `SIGNED` says `dot_signed`, else `dot`.
    #[inline(always)]
    fn add_products<const SIGNED: bool, const M: usize, const N: usize>(
        self,
        products: &mut [[Self::I32; M]; N],
        w: &[u8],
        x: &[i8],
    ) {
        for (w, x) in w.chunks_exact(M * 64).zip(x.chunks_exact(N * 4)) {
            let mut rows = [self.splat_byte(0); M];
            for m in 0..M {
                rows[m] = self.load_bytes(&w[64 * m..]);
            }
            for t in 0..N {
                let x = self.splat_four(&x[4 * t..]);
                for m in 0..M {
                    products[t][m] = if SIGNED {
                        self.dot_signed(products[t][m], rows[m], x)
                    } else {
                        self.dot(products[t][m], rows[m], x)
                    };
                }
            }
        }
    }

    // Panels: lanes are rows.

    /// Loads 16 bytes from each of 16 rows, `stride` bytes apart from `start` on: vector `i` has the bytes
    /// `4 * i .. 4 * i + 4` of row `r` in lane `r`.
    fn transpose(self, bytes: &[u8], start: usize, stride: usize) -> [Self::Bytes; 4];
    /// Byte `I` of each lane.
    fn byte<const I: u32>(self, x: Self::Bytes) -> Self::I32;
    /// Signed byte `I` of each lane.
    fn signed_byte<const I: u32>(self, x: Self::Bytes) -> Self::I32;
    /// Half float `I` (0: low, 1: high) of each lane as a float.
    fn half_to_f32<const I: u32>(self, x: Self::Bytes) -> Self::F32;
    /// The same bits.
    fn f32_from_bytes(self, x: Self::Bytes) -> Self::F32;
    /// The same bits.
    fn bytes_from_f32(self, x: Self::F32) -> Self::Bytes;

    /// Asks for the cache lines `ahead` bytes after those of `x`; they need not exist.
    fn prefetch<T>(self, x: &[T], ahead: usize);
    /// As `prefetch`, into the second-level cache, which can wait for more lines at once.
    fn prefetch_far<T>(self, x: &[T], ahead: usize);

    // Made of the above, unless an instruction set knows better.

    /// Asks for what follows `x`, which is part of a long stream that is read once.
    #[inline(always)]
    fn prefetch_stream<T>(self, x: &[T]) {
        self.prefetch(x, NEAR_BYTES);
        self.prefetch_far(x, FAR_BYTES);
    }

    /// All lanes the half float `x`.
    #[inline(always)]
    fn splat_f16(self, x: u16) -> Self::F32 {
        self.splat(self.f16_to_f32(x))
    }

    /// The first 16 of `x`, or all of them and zeros.
    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> Self::F32 {
        if x.len() >= LANES {
            return self.load(x);
        }
        let mut padded = [0.0; LANES];
        padded[..x.len()].copy_from_slice(x);
        self.load(&padded)
    }

    /// Writes the first 16 of `out`, or all of it.
    #[inline(always)]
    fn store_partial(self, x: Self::F32, out: &mut [f32]) {
        if out.len() >= LANES {
            return self.store(x, out);
        }
        let mut padded = [0.0; LANES];
        self.store(x, &mut padded);
        let length = out.len();
        out.copy_from_slice(&padded[..length]);
    }

    /// e to the power of `x`: relative error below 2e-7 for x from -87 to 88; 1.6e-38 below, clamped above.
    ///
    /// Source: 2^n times a polynomial in the rest (Cephes' coefficients for `expf`).
    #[inline(always)]
    fn exp(self, x: Self::F32) -> Self::F32 {
        let x = self.min(self.max(x, self.splat(-87.0)), self.splat(88.0));
        let n = self.round(self.mul(x, self.splat(std::f32::consts::LOG2_E)));
        let whole = self.to_f32(n);
        // ln 2 in two parts, the first exact in few bits.
        let rest = self.neg_mul_add(whole, self.splat(0.693_359_4), x);
        let rest = self.neg_mul_add(whole, self.splat(-2.121_944_4e-4), rest);
        let mut p = self.splat(1.987_569_1e-4);
        p = self.mul_add(p, rest, self.splat(1.398_199_9e-3));
        p = self.mul_add(p, rest, self.splat(8.333_452e-3));
        p = self.mul_add(p, rest, self.splat(4.166_579_6e-2));
        p = self.mul_add(p, rest, self.splat(1.666_666_5e-1));
        p = self.mul_add(p, rest, self.splat(5e-1));
        p = self.mul_add(self.mul(p, rest), rest, rest);
        self.mul_power_of_two(self.add(p, self.splat(1.0)), n)
    }
}
