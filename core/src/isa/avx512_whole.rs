//! Products times whole scales with AVX-512 and VNNI.

#[allow(clippy::wildcard_imports, reason = "intrinsics have names of their own")]
use std::arch::{asm, x86_64::*};

use super::avx512::{load_256, load_512};
use super::simd::LANES;

/// As words.
#[derive(Clone, Copy)]
pub(super) struct WholeScales {
    /// For codes 0 to 127, and 128 to 255, as [`pair_order`] says.
    pairs: [__m512i; 2],
    /// Of each 16 codes, times what is added to the codes.
    offsets: __m256i,
    factor: __m512,
}

/// Packed to words, the products of 128 codes lie so: in 128 bits `j` four of their group `j`, then four of group `4 + j`.
/// This finds the scales of pair `pair` of 64 codes among 8 bytes: those of the pair's 8 groups of 16, or of all 8 groups
/// of 32. Signed ones become upper bytes.
const fn pair_order(group: usize, pair: usize, signed: bool) -> [u8; 64] {
    let mut order = [0x80; 64];
    let mut word = 0;
    while word < 32 {
        let first = word / 8 + word % 8 / 4 * 4;
        let byte = if group == 32 { 4 * pair + first / 2 } else { first };
        order[2 * word + signed as usize] = byte as u8;
        word += 1;
    }
    order
}

/// Adds the products of 16-bit numbers, two to a lane. Of the intrinsic the compiler would make three instructions.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn add_word_products(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    let mut sum = sum;
    // SAFETY: the instruction touches these registers alone, and the CPU has it.
    unsafe {
        asm!(
            "vpdpwssd {sum}, {a}, {b}",
            sum = inout(zmm_reg) sum, a = in(zmm_reg) a, b = in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

impl WholeScales {
    /// As [`super::Simd::whole_scales`].
    ///
    /// # Safety
    ///
    /// The CPU has AVX-512 F, BW and VL.
    #[inline(always)]
    pub(super) unsafe fn new<const GROUP: usize>(bytes: u128, offset: i16, factor: __m512) -> Self {
        // SAFETY: the CPU has what is used, as the caller knows.
        unsafe {
            let low = _mm512_set1_epi64(bytes as i64);
            let high = if GROUP == 32 { low } else { _mm512_set1_epi64((bytes >> 64) as i64) };
            let pairs = if offset == 0 {
                [
                    _mm512_shuffle_epi8(low, load_512(&const { pair_order(GROUP, 0, false) })),
                    _mm512_shuffle_epi8(high, load_512(&const { pair_order(GROUP, 1, false) })),
                ]
            } else {
                [
                    _mm512_srai_epi16::<8>(_mm512_shuffle_epi8(low, load_512(&const { pair_order(GROUP, 0, true) }))),
                    _mm512_srai_epi16::<8>(_mm512_shuffle_epi8(high, load_512(&const { pair_order(GROUP, 1, true) }))),
                ]
            };
            let (low, high) = (_mm512_castsi512_si128(low), _mm512_castsi512_si128(high));
            let natural = if GROUP == 32 { _mm_unpacklo_epi8(low, low) } else { _mm_unpacklo_epi64(low, high) };
            let offsets = _mm256_mullo_epi16(_mm256_cvtepi8_epi16(natural), _mm256_set1_epi16(-offset));
            Self { pairs, offsets, factor }
        }
    }

    /// As [`super::Simd::add_whole_products`].
    ///
    /// # Safety
    ///
    /// The CPU has AVX-512 F, BW, VL and VNNI.
    #[inline(always)]
    pub(super) unsafe fn add_products(
        &self,
        sum: __m512,
        w: &[__m512i; 4],
        x: &[i8],
        x_factor: f32,
        offset_sums: Option<&[i16; LANES]>,
    ) -> __m512 {
        // SAFETY: the CPU has what is used, as the caller knows.
        unsafe {
            let zero = _mm512_setzero_si512();
            let mut products = [zero; 4];
            for i in 0..4 {
                products[i] = _mm512_dpbusd_epi32(zero, w[i], load_512(&x[64 * i..]));
            }
            let mut total = zero;
            if let Some(sums) = offset_sums {
                total = _mm512_zextsi256_si512(_mm256_madd_epi16(load_256(sums), self.offsets));
            }
            total = add_word_products(total, _mm512_packs_epi32(products[0], products[1]), self.pairs[0]);
            total = add_word_products(total, _mm512_packs_epi32(products[2], products[3]), self.pairs[1]);
            let total = _mm512_mul_ps(_mm512_cvtepi32_ps(total), _mm512_set1_ps(x_factor));
            _mm512_fmadd_ps(total, self.factor, sum)
        }
    }
}
