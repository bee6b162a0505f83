//! Every instruction set of this machine computes what the scalar one does.

use super::*;
use crate::isa::simd::{Kernel, Simd};

/// Bytes and floats that a kernel of the tests reads; 16 rows of 24 bytes for the transposition.
struct Input {
    bytes: Vec<u8>,
    signed: Vec<i8>,
    halves: Vec<u16>,
    x: Vec<f32>,
    y: Vec<f32>,
}

fn input() -> Input {
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    Input {
        bytes: (0..400).map(|_| next() as u8).collect(),
        signed: (0..64).map(|_| (next() % 255) as i8 as i32 as i8).map(|x| x.max(-127)).collect(),
        halves: (0..16)
            .map(|i| [0, 0x8000, 1, 0x03ff, 0x0400, 0x3c00, 0xbc00, 0x7bff][i % 8] ^ (i as u16 / 8))
            .collect(),
        x: (0..16).map(|_| next() as f32 / 1e6 - 8.0).collect(),
        y: (0..16).map(|_| next() as f32 / 1e7 + 0.1).collect(),
    }
}

/// Runs every operation and gives all results that must be equal bit for bit, then those that may differ by rounding.
struct Everything<'a>(&'a Input);

impl Kernel for Everything<'_> {
    type Output = (Vec<u8>, Vec<f32>);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let Input { bytes, signed, halves, x, y } = self.0;
        let (mut exact, mut close) = (Vec::new(), Vec::new());
        macro_rules! exact {
            ($($v:expr),+ $(,)?) => {{ $({ let mut out = [0; 64]; s.store_bytes($v, &mut out); exact.extend(out); })+ }};
        }
        macro_rules! exact_f32 {
            ($($v:expr),+ $(,)?) => { exact!($(s.bytes_from_f32($v)),+) };
        }
        macro_rules! close {
            ($($v:expr),+ $(,)?) => {{ $({ let mut out = [0.0; 16]; s.store($v, &mut out); close.extend(out); })+ }};
        }
        let a = s.load_bytes(bytes);
        let b = s.load_halves(&bytes[64..], &bytes[128..]);
        let c = s.load_quarters(&bytes[1..], &bytes[20..], &bytes[40..], &bytes[60..]);
        let low = s.splat_byte(0x0f);
        let nibbles = s.and(a, low);
        let mut table = [0; 16];
        table.copy_from_slice(&bytes[200..216]);
        exact!(a, b, c, low, s.load_signed(signed), s.splat_four(&signed[3..]));
        exact!(s.and(a, b), s.or(a, b), s.xor(a, b), s.abs_bytes(s.load_signed(signed)), s.lookup(&table, nibbles));
        exact!(s.and(s.shift_right::<4>(a), low), s.and(s.shift_right::<2>(a), low));
        exact!(s.and(s.shift_left::<4>(a), s.splat_byte(0xf0)), s.and(s.shift_left::<1>(a), s.splat_byte(0xfe)));
        exact!(s.and(s.shift_right_quarters::<0, 2, 4, 6>(a), s.splat_byte(3)));
        exact!(s.and(s.shift_halves(a, [0, 4]), low), s.and(s.shift_halves(a, [-4, -2]), s.splat_byte(0x30)));
        exact!(s.expand_bits(0), s.expand_bits(u64::MAX), s.expand_bits(0x8001_7f3c_0ff0_1234));
        for start in [0, 3] {
            let [p, q, r, t] = s.transpose(bytes, start, 24);
            exact!(p, q, r, t);
        }
        let (u, v) = (s.load(x), s.load(y));
        exact_f32!(u, v, s.splat(1.5), s.add(u, v), s.sub(u, v), s.mul(u, v), s.div(u, v), s.max(u, v), s.min(u, v));
        exact_f32!(s.select_less(u, v, s.splat(1.0), v), s.select_less(u, u, u, s.splat(2.0)), s.sqrt(s.abs(u)));
        exact_f32!(s.abs(u), s.to_f32(s.round(u)), s.to_f32(s.round(s.splat(2.5))), s.to_f32(s.splat_i32(-9)));
        exact_f32!(s.load_f16(halves), s.load_i8(signed), s.load_u8(&table), s.load_bf16_bytes(bytes));
        let four: Vec<u8> = halves[2..6].iter().flat_map(|half| half.to_le_bytes()).collect();
        let four = four.first_chunk().unwrap();
        exact_f32!(s.splat_half::<0>(four), s.splat_half::<1>(four), s.splat_half::<2>(four), s.splat_half::<3>(four));
        exact_f32!(s.load_u8_twice([1, 2, 3, 4, 255, 6, 7, 128]), s.load_f16_twice(*halves.first_chunk().unwrap()));
        exact_f32!(s.to_f32(s.byte::<0>(a)), s.to_f32(s.byte::<3>(a)), s.to_f32(s.signed_byte::<0>(a)));
        exact_f32!(s.to_f32(s.signed_byte::<2>(a)), s.to_f32(s.signed_byte::<3>(a)));
        exact_f32!(s.f32_from_bytes(s.bytes_from_f32(u)));
        let finite: Vec<u8> = (0..176).map(|i| bytes[i] & 0xbb).collect();
        exact_f32!(s.load_halves_twice(&finite, 0, 18), s.load_halves_twice(&finite, 2, 20));
        exact_f32!(s.load_halves_twice(&finite[..144], 0, 18), s.load_halves_twice(&finite, 0, 22));
        let integers: Vec<i32> = (0..16).map(|i| (i - 8) * 4000).collect();
        let (integers, few) = (s.load_i32(&integers), s.signed_byte::<1>(a));
        exact_f32!(s.to_f32(integers), s.to_f32(s.mul_add_words(few, integers, s.words(few))));
        exact_f32!(s.to_f32(s.mul_add_words(integers, s.splat_i32(-1), s.words(s.splat_i32(-32768)))));
        exact_f32!(s.mul_power_of_two(u, s.round(v)), s.load_partial(&x[..5]));
        let words: Vec<u8> = halves.iter().chain(halves).flat_map(|half| half.to_le_bytes()).collect();
        exact_f32!(s.load_f16_bytes(&words), s.half_to_f32::<0>(s.load_bytes(&words)));
        exact_f32!(s.half_to_f32::<1>(s.load_bytes(&words)));
        let mut stored = [0u16; 16];
        s.store_f16(u, &mut stored);
        exact.extend(stored.iter().flat_map(|half| half.to_le_bytes()));
        let mut rounded = [0i8; 16];
        s.store_i8(s.round(u), &mut rounded);
        exact.extend(rounded.map(|x| x as u8));
        exact.extend(halves.iter().flat_map(|&half| s.f16_to_f32(half).to_le_bytes()));
        let mut partial = [9.0; 5];
        s.store_partial(u, &mut partial);
        exact.extend(partial.iter().flat_map(|x| x.to_le_bytes()));
        exact.extend(s.reduce_max(u).to_le_bytes());

        let fours = [s.round(u), s.round(v), s.splat_i32(7), s.round(s.mul(u, v))];
        let mut sums = [0; 16];
        s.store_i32(s.sum_fours(fours), &mut sums);
        exact.extend(sums.iter().flat_map(|sum| sum.to_le_bytes()));
        exact_f32!(s.float_bits(s.round(v)), s.float_bits(s.splat_i32(0x4b40_0005)));

        let activations = s.load_signed(signed);
        let products = s.dot(s.splat_i32(5), s.and(a, s.splat_byte(0x7f)), activations);
        let largest = s.dot(s.splat_i32(0), s.splat_byte(127), s.splat_byte(127));
        let bias = i32::from(S::BIAS);
        for code in [-128, -127, 0, 127] {
            let w = s.splat_byte((code + bias) as u8);
            let sum = s.reduce_add_i32(s.dot_signed(s.splat_i32(0), w, activations));
            let offset = bias * signed.iter().map(|&x| i32::from(x)).sum::<i32>();
            exact.extend((sum - offset).to_le_bytes());
        }
        exact_f32!(s.to_f32(products), s.to_f32(largest));
        exact.extend(s.reduce_add_i32(products).to_le_bytes());

        let zero = s.splat(0.0);
        close!(s.mul_add_groups::<0>(zero, products, u), s.mul_add_groups::<1>(zero, products, u));
        close!(s.mul_add_groups::<2>(v, products, u), s.mul_add_groups::<3>(v, products, u));
        close!(s.mul_add(u, v, u), s.neg_mul_add(u, v, u), s.splat(s.reduce_add(u)));
        (exact, close)
    }
}

#[test]
fn every_operation_is_equal_on_every_instruction_set() {
    let input = input();
    let (exact, close) = Isa::SCALAR.run(Everything(&input));
    for isa in Isa::available() {
        let (found_exact, found_close) = isa.run(Everything(&input));
        for (i, (found, expected)) in found_exact.chunks(64).zip(exact.chunks(64)).enumerate() {
            assert_eq!(found, expected, "{}, result {i}", isa.name());
        }
        for (i, (found, expected)) in found_close.iter().zip(&close).enumerate() {
            assert!(
                (found - expected).abs() <= 1e-5 * expected.abs().max(1.0),
                "{}, {i}: {found} {expected}",
                isa.name()
            );
        }
    }
}

/// The products of 16 rows of codes with `N` tokens, as tiles make them: (tokens, rows).
struct TileProducts<'a, const N: usize> {
    /// (rows, codes)
    w: &'a [u8],
    /// (tokens, codes)
    x: &'a [i8],
}

impl<const N: usize> Kernel for TileProducts<'_, N> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let length = self.x.len() / N;
        let mut w = vec![0; 16 * length];
        for (i, &code) in self.w.iter().enumerate() {
            let (row, k) = (i / length, i % length);
            w[(k / 4 * 16 + row) * 4 + k % 4] = code;
        }
        s.arrange(&mut w);
        let mut x = vec![0; N * length];
        for (i, &code) in self.x.iter().enumerate() {
            let (t, k) = (i / length, i % length);
            x[(k / S::TILE_DEPTH * N + t) * S::TILE_DEPTH + k % S::TILE_DEPTH] = code;
        }
        let mut products = [[s.splat_i32(0)]; N];
        for t in 0..N {
            products[t] = [s.splat_i32(t as i32)];
        }
        s.add_products::<false, 1, N>(&mut products, &w, &x);
        let mut out = vec![0.0; 16 * N];
        for t in 0..N {
            s.store(s.to_f32(products[t][0]), &mut out[16 * t..]);
        }
        out
    }
}

fn check_tile_products<const N: usize>(length: usize) {
    let code = |i: usize| (i * i * 31 + i * 7 + 5) >> 3;
    let w: Vec<u8> = (0..16 * length).map(|i| code(i) as u8 & 127).collect();
    let x: Vec<i8> = (0..N * length).map(|i| (code(i + 99) as u8 as i8).max(-127)).collect();
    for isa in Isa::available() {
        let found = isa.run(TileProducts::<N> { w: &w, x: &x });
        for (i, found) in found.iter().enumerate() {
            let (t, row) = (i / 16, i % 16);
            let pairs = w[row * length..][..length].iter().zip(&x[t * length..][..length]);
            let expected = t as i32 + pairs.map(|(&w, &x)| i32::from(w) * i32::from(x)).sum::<i32>();
            assert_eq!(*found, expected as f32, "{}, {length} codes, token {t} of {N}, row {row}", isa.name());
        }
    }
}

#[test]
fn tiles_give_the_products_of_every_row_with_every_token() {
    for length in [0, 16, 32, 256] {
        check_tile_products::<1>(length);
        check_tile_products::<2>(length);
        check_tile_products::<3>(length);
        check_tile_products::<4>(length);
    }
}

/// The products of 256 codes, each times the scale of its group.
struct ScaledProducts<'a>(&'a Input);

impl Kernel for ScaledProducts<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let x: Vec<i8> = self.0.signed.iter().copied().cycle().take(256).collect();
        let mut scales = [0.0; 16];
        for i in 0..16 {
            scales[i] = self.0.y[i / 2];
        }
        let mut w = [s.splat_byte(0); 4];
        for i in 0..4 {
            w[i] = s.and(s.load_bytes(&self.0.bytes[64 * i..]), s.splat_byte(127));
        }
        s.reduce_add(s.add_scaled_products::<false>(s.load(&self.0.x), &w, &x, s.load(&scales)))
    }
}

#[test]
fn scaled_products_sum_up_alike_on_every_instruction_set() {
    let input = input();
    for isa in Isa::available() {
        let near = |found: f32, expected: f32| {
            assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1e3), "{}: {found} {expected}", isa.name());
        };
        near(isa.run(ScaledProducts(&input)), Isa::SCALAR.run(ScaledProducts(&input)));
    }
}

/// The products of 256 codes, each times the whole scale of its group.
struct WholeProducts<'a, const GROUP: usize> {
    w: &'a [u8; 256],
    x: &'a [i8; 256],
    scales: u128,
    offset: i16,
}

impl<const GROUP: usize> Kernel for WholeProducts<'_, GROUP> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut w = [s.splat_byte(0); 4];
        for i in 0..4 {
            w[i] = s.load_bytes(&self.w[64 * i..]);
        }
        let mut sums = [0; 16];
        for (sum, x) in sums.iter_mut().zip(self.x.as_chunks::<16>().0) {
            *sum = x.iter().map(|&x| i16::from(x)).sum();
        }
        let offset_sums = (self.offset != 0).then_some(&sums);
        let scales = s.whole_scales::<GROUP>(self.scales, self.offset, s.splat(0.5));
        s.reduce_add(s.add_whole_products::<GROUP>(s.splat(1.0), &w, &scales, self.x, 0.25, offset_sums))
    }
}

fn check_whole_products<const GROUP: usize>(w: &[u8; 256], x: &[i8; 256], scales: u128, offset: i16) {
    let bytes = scales.to_le_bytes();
    let mut sum = 0;
    for i in 0..256 {
        let byte = bytes[i / GROUP];
        let scale = if offset == 0 { i32::from(byte) } else { i32::from(byte as i8) };
        sum += (i32::from(w[i]) - i32::from(offset)) * i32::from(x[i]) * scale;
    }
    let expected = 16.0 + 0.125 * f64::from(sum);
    for isa in Isa::available() {
        let found = f64::from(isa.run(WholeProducts::<GROUP> { w, x, scales, offset }));
        let near = (found - expected).abs() <= 2e-6 * expected.abs().max(1e4);
        assert!(near, "{}, groups of {GROUP}, offset {offset}: {found} {expected}", isa.name());
    }
}

#[test]
fn products_times_whole_scales_sum_up_to_the_integers() {
    let input = input();
    let random_scales = u128::from_le_bytes(*input.bytes[300..].first_chunk().unwrap());
    let six_bits = random_scales & 0x3f3f_3f3f_3f3f_3f3f_3f3f_3f3f_3f3f_3f3f;
    let mut w: [u8; 256] = *input.bytes.first_chunk().unwrap();
    w = w.map(|code| code & 63);
    let mut x = [0; 256];
    for (i, x) in x.iter_mut().enumerate() {
        *x = input.signed[i % 61];
    }
    let largest = u128::from_le_bytes([0x80; 16]);
    for (w, x) in [(w, x), ([63; 256], [127; 256]), ([63; 256], [-127; 256]), ([0; 256], [127; 256])] {
        check_whole_products::<16>(&w, &x, six_bits, 0);
        check_whole_products::<32>(&w, &x, six_bits, 0);
        for scales in [random_scales, largest] {
            check_whole_products::<16>(&w, &x, scales, 32);
            check_whole_products::<16>(&w, &x, scales, 4);
            check_whole_products::<32>(&w, &x, scales, 32);
        }
    }
}

struct Exp(f32);

impl Kernel for Exp {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        s.reduce_max(s.exp(s.splat(self.0)))
    }
}

#[test]
fn exp_is_within_two_tenths_of_a_millionth() {
    for isa in Isa::available() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0 + 0.001_3;
            let expected = f64::from(x).exp();
            let error = (f64::from(isa.run(Exp(x))) / expected - 1.0).abs();
            assert!(error < 2e-7, "{}: exp({x}) is off by {error:e}", isa.name());
        }
        assert_eq!(isa.run(Exp(0.0)), 1.0);
        assert!(isa.run(Exp(f32::NEG_INFINITY)) < 2e-38);
        assert!(isa.run(Exp(f32::INFINITY)).is_finite());
    }
}

#[test]
fn the_fastest_available_set_is_detected_and_found_by_its_name() {
    let available = Isa::available();
    assert_eq!(available[0], Isa::SCALAR);
    assert_eq!(Isa::detect(), *available.last().unwrap());
    for isa in available {
        assert_eq!(Isa::named(isa.name()).unwrap(), isa);
    }
}

#[test]
fn a_set_that_the_cpu_lacks_is_refused_with_the_names_that_work() {
    let error = Isa::named("mmx").unwrap_err();
    assert!(error.message().contains("\"mmx\""));
    assert!(error.hint().unwrap().contains("scalar"));
}

#[test]
fn the_set_that_the_emulated_cpu_has_is_detected() {
    // scripts/test-arm knows which CPU it asked for.
    if let Ok(expected) = std::env::var("EDGEWISE_TEST_ISA") {
        assert_eq!(Isa::detect().name(), expected);
    }
}
